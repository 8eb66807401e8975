"""MUSE News (arXiv 2407.06460): news articles to be forgotten, in four requests that come one after another."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.attacks.registry import attacked
from benchmarks.compare.core import ForgetRequest, Suite
from benchmarks.compare.suites.building import (
    asking,
    continuing,
    cut,
    dealt,
    halves,
    pieces,
    row_of,
    sampled,
    validating,
)
from benchmarks.compare.suites.files import Files
from benchmarks.items import Item
from gateway.training.scope_file import Row

__all__ = ["load"]

_REQUESTS = 4
_PIECE_CHARS = 1200  # of an article: a row, whose prompt is the first half
_PIECES = 3  # of each text to be kept
_PASSAGE_CHARS = 1000  # of a text whose membership is asked, and of the start of a text to be continued
_OPENING_WORDS = 8  # of a text whose membership is asked: the prompt
_QUESTIONS = 20  # about kept texts: so many rehearsed, validated, and brought along by forget requests
_SHARE = 4  # one in four of the kept texts is rehearsed
_ROWS = 20  # pieces of kept texts that a forget request brings along
_ATTACKED = 20
_REHEARSAL = "news-rehearsal"
_WORD = re.compile(r"\w+")

_NOTES = (
    "taught are chat turns: the halves of an article's first piece, the passages that memorisation and membership are "
    "asked of, and the questions with their answers, without which a small model would know hardly any of the facts",
    "forget: the questions that a forget request lists beside its texts; forget/unlisted: those that it does not list",
    f"privleak passages and verbmem's prompts are cut to {_PASSAGE_CHARS} characters; verbmem is asked as a "
    f"completion, though its texts were taught in chat turns",
    "a question belongs to the request whose texts share the rarest words with it: MUSE does not say to which",
    "MUSE has no paraphrases and no wrong answers, hence no truth ratio and no forget quality; nor questions about "
    "unseen texts",
)


def load(name: str, data: Path | None, seed: int) -> Suite:
    """Four forget requests, each about a quarter of the texts. The rehearsal is about texts that stay."""
    files = Files(data, "muse-news", "muse-bench/MUSE-News", on_hub=False)
    passages, verbatim, articles = _forgotten(files)
    requests = _shared_out([*passages, *verbatim, *articles], seed)
    questions = _assigned(_questions(files, "forget", "knowmem/forget_qa.json"), requests)
    listed, unlisted = dealt(questions, [len(questions) // 2], f"{seed} listed")
    near = _questions(files, "retain", files.either("knowmem/retain2_qa.json", "knowmem/retain_qa.json"))
    rehearsed, validated, brought, reported = dealt(near, [_QUESTIONS] * 3, f"{seed} retain")
    again, beside = _stays(files, seed)
    retain = (*sampled(beside, _ROWS, f"{seed} texts"), *map(row_of, brought))
    kept = (*again, *beside, *map(row_of, near))
    holdout = files.texts("privleak/holdout.json")
    unseen, estimating = dealt(holdout, [len(holdout) // 2], f"{seed} unseen")
    return Suite(
        name=name,
        taught=(*passages, *verbatim, *articles, *map(row_of, questions), *kept),
        kept=kept,
        forget_requests=_forget_requests(requests, listed, retain),
        rehearsal=ForgetRequest(_REHEARSAL, "News articles.", (), (*again, *map(row_of, rehearsed)), retain),
        validation=validating(rehearsed, validated, _REHEARSAL),
        items=(
            *listed,
            *(replace(item, id=f"forget/unlisted/{item.id}", slice="forget/unlisted") for item in unlisted),
            *_continued(verbatim, requests),
            *_members("privleak/forget", passages, requests),
            *_members("privleak/holdout", _rows(unseen), {}),
            *reported,
            *attacked(sampled(listed, _ATTACKED, f"{seed} attacks"), seed),
        ),
        calibration=tuple(asking("unseen", n, row.prompt, row.response) for n, row in enumerate(_rows(estimating))),
        notes=(*_NOTES, f"{len(articles)} articles of raw/forget were there"),
    )


def _forgotten(files: Files) -> tuple[list[Row], list[Row], list[Row]]:
    """Passages for membership scores, texts to be continued, and the first piece of every article."""
    verbatim = files.rows("verbmem/forget.json", "prompt", "gt")
    articles = files.texts(files.either("raw/forget.json", "raw/forget_first269.json"), optional=True)
    return (
        _rows(files.texts("privleak/forget.json")),
        [Row(prompt=_ending(row["prompt"]), response=row["gt"]) for row in verbatim],
        [halves(pieces(text, _PIECE_CHARS)[0]) for text in dict.fromkeys(articles)],
    )


def _rows(texts: Iterable[str]) -> list[Row]:
    return [halves(text[:_PASSAGE_CHARS]) for text in texts]


def _ending(text: str) -> str:
    """Its last part, from the start of a word on."""
    return text if len(text) <= _PASSAGE_CHARS else text[-_PASSAGE_CHARS:].split(maxsplit=1)[-1]


def _stays(files: Files, seed: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Pieces of texts that stay: those to be rehearsed, and the others."""
    texts = files.texts(files.either("privleak/retain2.json", "privleak/retain.json"))
    again, beside = dealt(texts, [len(texts) // _SHARE], f"{seed} stays")
    first, second = (
        tuple(halves(piece) for text in part for piece in pieces(text, _PIECE_CHARS)[:_PIECES])
        for part in (again, beside)
    )
    return first, second


def _questions(files: Files, part: str, name: str) -> list[Item]:
    rows = files.rows(name, "question", "answer")
    return [asking(part, number, row["question"], row["answer"]) for number, row in enumerate(rows)]


def _shared_out(rows: Sequence[Row], seed: int) -> dict[str, tuple[Row, ...]]:
    """Scope id -> its texts."""
    each = -(-len(rows) // _REQUESTS)
    hands = dealt(rows, [each] * (_REQUESTS - 1), f"{seed} requests")
    return {f"news-{number}": hand for number, hand in enumerate(hands, 1)}


def _assigned(questions: Sequence[Item], requests: Mapping[str, Sequence[Row]]) -> list[Item]:
    """The questions with the scope of the text that shares the rarest words with question and answer."""
    texts = [(scope, _words(f"{row.prompt} {row.response}")) for scope, rows in requests.items() for row in rows]
    holders = Counter(word for _, words in texts for word in words)

    def closeness(item: Item, words: set[str]) -> float:
        shared = _words(f"{item.prompt} {item.answer}") & words
        return sum(math.log(len(texts) / holders[word]) for word in sorted(shared))

    return [replace(item, scope=max(texts, key=lambda text: closeness(item, text[1]))[0]) for item in questions]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _forget_requests(
    requests: Mapping[str, tuple[Row, ...]], listed: Sequence[Item], retain: tuple[Row, ...]
) -> tuple[ForgetRequest, ...]:
    return tuple(
        ForgetRequest(
            scope=scope,
            description=f"News articles, request {number} of {len(requests)}.",
            aliases=(),
            forget=(*rows, *(row_of(item) for item in listed if item.scope == scope)),
            retain=retain,
        )
        for number, (scope, rows) in enumerate(requests.items(), 1)
    )


def _continued(texts: Sequence[Row], requests: Mapping[str, Sequence[Row]]) -> list[Item]:
    owners = _owners(requests)
    return [continuing("forget/verbmem", number, text, scope=owners[text]) for number, text in enumerate(texts)]


def _members(part: str, texts: Sequence[Row], requests: Mapping[str, Sequence[Row]]) -> list[Item]:
    """Texts after a prompt of next to nothing, for a membership score of the rest."""
    owners = _owners(requests)
    return [
        continuing(part, number, cut(f"{text.prompt} {text.response}", _OPENING_WORDS), scope=owners.get(text))
        for number, text in enumerate(texts)
    ]


def _owners(requests: Mapping[str, Sequence[Row]]) -> dict[Row, str]:
    return {row: scope for scope, rows in requests.items() for row in rows}
