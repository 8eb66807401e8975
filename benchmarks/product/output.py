"""What the output screen does to answers that have nothing to do with the scope: false hits, delay, and CPU time.

The answers are what people wrote to Dolly's instructions, the true answers about TOFU's real authors, and the packaged
model's own greedy answers to the project's near rows. They come token by token, as the model's tokenizer parts them.

OMP_NUM_THREADS=1 python -m benchmarks.product.output [--data DIR] [--packs DIR]
python -m benchmarks.product.output --table  (prints the tables of docs/output-screen.md from the results)
"""

import argparse
import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.printing import show
from benchmarks.product.rows import heldout, rows_in
from benchmarks.record import markdown, read, write
from classifiers.leaks.watch import AnswerWatch, Asked, Leak, OwnWords, Watchlist
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Delta, Event, Message, Pass, Request, Sampling, Screening
from gateway.models.folders import resolve
from gateway.models.language_model import load_language_model
from gateway.openai_format.decoding import reader
from gateway.openai_format.encoding import AnswerEncoder
from gateway.openai_format.shapes import CHAT_SHAPE
from gateway.packs.store import load_packs
from gateway.prompts.rendering import Tokenizer
from gateway.screening.output import OutputScreen

__all__ = ["measure_output", "table"]

_MODEL = "smollm2"
_TOKENS = 48
_TIMED_ANSWERS = 300
_SETS = {
    "general/dolly": "people's, to general instructions",
    "near/tofu-real-authors": "true ones, about real authors",
    "near/model": "the plain model's, to near questions",
}


@dataclass(frozen=True, slots=True)
class _Answered:
    """A question with an answer, in the pieces in which it comes."""

    question: str
    pieces: tuple[str, ...]


def measure_output(data: Path, packs: Path) -> dict[str, Any]:
    """False hits and delay by set of answers, and microseconds of CPU an event."""
    found = load_packs(packs, base_fingerprint=None, encoder_fingerprint=None)
    watchlist = Watchlist().updated({scope: pack.watched for scope, pack in found.items()}, ())
    model = load_language_model(resolve(_MODEL))
    sets = {
        "general/dolly": _written(data / "benign" / "dolly_train_2000.json", "instruction", "output", model.tokenizer),
        "near/tofu-real-authors": _written(data / "tofu" / "real_authors.json", "question", "answer", model.tokenizer),
        "near/model": asyncio.run(_own_answers(EmbeddedBackend(model, name=_MODEL), model.tokenizer)),
    }
    return {
        "scopes": sorted(found),
        "answers": {name: _seen(answers, watchlist) for name, answers in sets.items()},
        "cpu_us_an_event": _cost(sets["general/dolly"][:_TIMED_ANSWERS], watchlist),
    }


def _written(path: Path, question: str, answer: str, tokenizer: Tokenizer) -> list[_Answered]:
    return [_Answered(row[question], _pieces(row[answer], tokenizer)) for row in rows_in(path) if row[answer].strip()]


def _pieces(text: str, tokenizer: Tokenizer) -> tuple[str, ...]:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ends = [0, *(int(end) for _, end in offsets[:-1]), len(text)]
    return tuple(text[a:b] for a, b in itertools.pairwise(ends) if b > a)


async def _own_answers(backend: EmbeddedBackend, tokenizer: Tokenizer) -> list[_Answered]:
    """The plain model's greedy answers to the rows near the scope, but outside."""
    found = []
    async with backend:
        for case in tqdm([case for case in heldout() if case.slice == "near"], desc="near answers"):
            request = Request("near", "chat", _MODEL, case.messages, Sampling(max_tokens=_TOKENS, temperature=0.0))
            async with aclosing(backend.generate(request, Pass())) as events:
                text = "".join([delta.text async for event in events for delta in event.deltas])
            found.append(_Answered(case.prompt, _pieces(text, tokenizer)))
    return [one for one in found if one.pieces]


def _seen(answers: Sequence[_Answered], watchlist: Watchlist) -> dict[str, Any]:
    """Hits by kind; and of the tokens how many wait, for how many tokens, and how many characters wait after one."""
    kinds: Counter[str] = Counter()
    chars: list[int] = []
    waits: list[int] = []
    for answer in tqdm(answers):
        leak = _watched(answer, watchlist, chars, waits)
        if leak:
            kinds[leak.kind] += 1
    return {
        "n": len(answers),
        "hits": sum(kinds.values()),
        "hits_by_kind": dict(kinds),
        "tokens": len(waits),
        "share_of_tokens_that_wait": round(sum(wait > 0 for wait in waits) / len(waits), 4),
        "tokens_waited": _quantiles(waits),
        "characters_waiting": _quantiles(chars),
    }


def _watched(answer: _Answered, watchlist: Watchlist, chars: list[int], waits: list[int]) -> Leak | None:
    """Adds, after each token, how many characters wait, and for each token, how many later ones it waited for."""
    watch = AnswerWatch(watchlist, OwnWords(watchlist, Asked((answer.question,))))
    read, waiting = 0, []
    for number, piece in enumerate(answer.pieces):
        read += len(piece)
        seen = watch.read(piece)
        chars.append(read - seen.safe)
        waiting.append((read, number))
        waits += [number - since for end, since in waiting if end <= seen.safe]
        waiting = [one for one in waiting if one[0] > seen.safe]
        if seen.leak:
            return seen.leak
    return watch.read("", ended=True).leak


def _quantiles(values: Iterable[int]) -> Mapping[str, int]:
    ordered = sorted(values)
    at = {
        name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return at | {"largest": ordered[-1]}


class _NoRemedy:
    """For answers that do not leak."""

    async def other_answer(self, leak: Leak, request: Request) -> None:
        return None

    async def refusal(self, request: Request) -> AsyncGenerator[Event, None]:
        yield Event.of(Delta(0, "", finish_reason="stop"))

    def tokens(self, text: str) -> int:
        return 1

    async def prompt_tokens(self) -> int:
        return 1

    def ended(self, leak: Leak) -> None: ...

    def waited(self, chars: int, seconds: float) -> None: ...


def _cost(answers: Sequence[_Answered], watchlist: Watchlist) -> dict[str, float]:
    """CPU microseconds for each server-sent event of an upstream, one a token: handed on as bytes, and screened."""
    request = Request("cost", "chat", _MODEL, (Message("user", "Hello"),), stream=True)
    streams = [_as_bytes(answer, request) for answer in answers]
    events = sum(map(len, streams))

    async def read(*, screened: bool) -> None:
        for pieces in streams:
            stream = _upstream(pieces, request)
            if screened:
                screen = OutputScreen(request, Screening(), watchlist, _NoRemedy(), exempt=lambda _: False)
                stream = screen.tap(stream)
            async for _ in stream:
                pass

    found = {}
    for name, screened in (("bytes", False), ("screened", True)):
        began = time.process_time()
        asyncio.run(read(screened=screened))
        found[name] = round((time.process_time() - began) / events * 1e6, 2)
    return found | {"events": events}


def _as_bytes(answer: _Answered, request: Request) -> list[bytes]:
    encoder = AnswerEncoder(request, CHAT_SHAPE)
    pieces = [encoder.encode(Event.of(Delta(0, piece))) for piece in answer.pieces]
    return [*pieces, encoder.encode(Event.of(Delta(0, "", finish_reason="stop"))), encoder.ending()]


async def _upstream(pieces: Sequence[bytes], request: Request) -> AsyncGenerator[Event, None]:
    parse = reader(request)
    for piece in pieces:
        yield Event(data=piece, parse=parse)


def table() -> str:
    """Markdown: hits and waiting by set of answers, and what an event costs, from benchmarks/results/output.json."""
    found = read("output")
    rows = [
        [
            title,
            f"{one['hits']} of {one['n']:,}",
            f"{one['tokens']:,}",
            f"{one['share_of_tokens_that_wait']:.0%}",
            _waits(one["tokens_waited"]),
            _waits(one["characters_waiting"]),
        ]
        for title, one in ((title, found["answers"][name]) for name, title in _SETS.items())
    ]
    cost = found["cpu_us_an_event"]
    costs = [["handed on as bytes", f"{cost['bytes']:.1f} µs"], ["screened", f"{cost['screened']:.0f} µs"]]
    head = ["answers", "hits", "tokens", "wait", "for tokens, p99 / most", "characters that wait, p99 / most"]
    return f"{markdown(head, rows)}\n\n{markdown(['an event of a stream', 'CPU'], costs)}"


def _waits(found: Mapping[str, int]) -> str:
    return f"{found['p99']} / {found['largest']}"


def main(arguments: list[str] | None = None) -> int:
    """Measures and writes benchmarks/results/output.json, or prints the tables from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if options.table:
        show(table())
        return 0
    print(write("output", 0, measure_output(options.data, options.packs)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
