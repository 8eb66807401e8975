"""How sure a model is of its words, for words that it did not choose.

A refusal is written by no model, so its tokens would be certain, and a client that asks for logprobs would know it at
once. The numbers are therefore those that the served model had for its own last answers, or for answers to questions
that the project ships, until enough have passed. The alternatives are what the model would have said at each place of
the refusal's text. No word of a client's prompt or answer goes into either.
"""

import asyncio
import hashlib
import math
import random
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, NoReturn

import orjson

from classifiers.traffic import general_traffic
from gateway.core import Event, Message, Pass, Plan, Request, Sampling, TokenLogprob
from gateway.errors import UpstreamError
from gateway.prompts.rendering import Tokenizer, render

__all__ = ["Voice"]

_LIKELIEST = 5  # alternatives are learned at least
_ANSWERS, _TOKENS = 12, 12
_CONTEXT = "Can you help me with something?"
_KEPT, _ENOUGH, _LONGEST = 64, 16, 64  # passing answers that are kept, that are enough, and tokens of each
_JITTER = 0.1
_Generate = Callable[[Request, Plan], AsyncGenerator[Event, None]]
_Row = tuple[float, ...]
_Words = tuple[str, ...]


class Voice:
    """A served model's numbers, learned from itself when a client first asks for logprobs of a refusal."""

    def __init__(
        self, generate: _Generate, tokenizer: Tokenizer, model: Callable[[], str], *, token_first: bool = False
    ) -> None:
        """
        Args:
            generate: answers a request as it is, under Pass.
            tokenizer: the model's own.
            model: the name of the served model.
            token_first: whether the server puts a token before its alternatives, as vLLM does.
        """
        self._generate = generate
        self.tokenizer = tokenizer
        self._model = model
        self._token_first = token_first
        self._heard: dict[int, deque[list[_Row]]] = {}
        self._answers: dict[int, list[list[_Row]]] = {}
        self._words: dict[tuple[str, int], list[_Words]] = {}
        self._learning = asyncio.Lock()

    def heard(self, request: Request, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The events of a passing answer as they are. If its client asked for alternatives, their numbers are kept,
        without a word of the answer: a refusal is then as sure as answers to what clients ask here."""
        return self._kept(request.sampling.logprobs, events) if request.sampling.logprobs else events

    async def _kept(self, asked: int, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        rows: list[_Row] = []
        async with aclosing(events):
            async for event in events:
                if len(rows) < _LONGEST:
                    rows += _rows(event)
                yield event
        if rows:
            self._heard.setdefault(asked, deque(maxlen=_KEPT)).append(rows)

    async def logprobs(self, request: Request, tokens: Sequence[str], choice: int) -> list[TokenLogprob]:
        """For each of the tokens, which the model did not choose, its logprob and alternatives as the request asks for
        them. The same request gets the same ones where an answer of the model would be the same.

        Raises AnswerError, as an answer of the model would, if the model cannot be asked.
        """
        asked = request.sampling.logprobs or 0
        count = max(_LIKELIEST, asked)
        async with self._learning:
            if count not in self._answers:
                self._answers[count] = await self._learned_answers(count)
            said = "".join(tokens[:-1]), count
            if said not in self._words:
                self._words[said] = await self._learned_words(tokens, count)
        rng = _rng(request, choice)
        heard = self._heard.get(asked, ())
        rows = rng.choice(heard if len(heard) >= _ENOUGH else self._answers[count])
        pairs = zip(tokens, self._words[said], strict=True)
        return [
            self._one(request, token, _jittered(rows[place % len(rows)], rng), others, rng)
            for place, (token, others) in enumerate(pairs)
        ]

    def _one(self, request: Request, token: str, row: _Row, words: _Words, rng: random.Random) -> TokenLogprob:
        """One token at a rank that the request's temperature makes likely."""
        asked = request.sampling.logprobs or 0
        rank = _rank(row, request.sampling.temperature, rng)
        others = [word for word in words if word != token]
        if rank is None and len(others) < asked:
            rank = len(row) - 1
        if rank is None:  # it was none of the likeliest
            own = row[-1] - rng.expovariate(1.0)
            top = list(zip(others, row, strict=False))
        else:
            own = row[rank]
            likeliest = [*others[:rank], token, *others[rank:]]
            top = list(zip(likeliest, row, strict=False))
        top = top[:asked]
        if self._token_first or request.endpoint == "completions":
            missing = all(word != token for word, _ in top)
            first = [(token, own)] if missing or self._token_first else []
            top = [*first, *(pair for pair in top if pair[0] != token or not first)]
            top = top[: asked if request.endpoint == "chat" else asked + missing]
        return TokenLogprob(token, own, tuple(top))

    async def _learned_answers(self, count: int) -> list[list[_Row]]:
        """The likeliest logprobs at each place of some answers."""
        prompts = await asyncio.to_thread(general_traffic)
        prompts = prompts[:: len(prompts) // _ANSWERS][:_ANSWERS]
        found = [await self._asked(self._question(prompt), count, _TOKENS) for prompt in prompts]
        rows = [[_row(one) for one in of if one.top] for of in found]
        return [of for of in rows if of] or _no_logprobs()

    async def _learned_words(self, tokens: Sequence[str], count: int) -> list[_Words]:
        """What the model would have said in place of each token, the likeliest first."""
        request = self._question(_CONTEXT)
        context = render(self.tokenizer, request).text
        found = []
        for place in range(len(tokens)):
            text = context + "".join(tokens[:place])
            said = await self._asked(Request("voice", "completions", self._model(), _prompt(text)), count, 1)
            top = said[0].top if said else _no_logprobs()
            found.append(tuple(word for word, _ in sorted(top, key=lambda pair: -pair[1])))
        return found

    def _question(self, text: str) -> Request:
        if getattr(self.tokenizer, "chat_template", True):
            return Request("voice", "chat", self._model(), (Message("user", text),))
        return Request("voice", "completions", self._model(), _prompt(f"{text}\n\n"))

    async def _asked(self, request: Request, count: int, tokens: int) -> list[TokenLogprob]:
        sampling = Sampling(max_tokens=tokens, temperature=0.0, logprobs=count)
        body: dict[str, Any] = {"model": request.model, "max_tokens": tokens, "temperature": 0}
        if request.endpoint == "chat":
            turns = [{"role": message.role, "content": message.text} for message in request.messages]
            body |= {"messages": turns, "logprobs": True, "top_logprobs": count}
        else:
            body |= {"prompt": request.messages[0].text, "logprobs": count}
        asked = replace(request, sampling=sampling, raw=orjson.dumps(body))
        async with aclosing(self._generate(asked, Pass())) as events:
            return [one async for event in events for delta in event.deltas for one in delta.logprobs]


def _no_logprobs() -> NoReturn:
    raise UpstreamError("the model server gives no logprobs")


def _rows(event: Event) -> list[_Row]:
    """The numbers of the first choice; none of bytes that the gateway cannot read, which go to the client all the
    same."""
    with suppress(UpstreamError):
        return [_row(one) for delta in event.deltas if delta.index == 0 for one in delta.logprobs if one.top]
    return []


def _row(one: TokenLogprob) -> _Row:
    return tuple(sorted((value for _, value in one.top), reverse=True))


def _prompt(text: str) -> tuple[Message, ...]:
    return (Message("prompt", text),)


def _rng(request: Request, choice: int) -> random.Random:
    """Drawn by the request itself where its answers repeat."""
    sampling = request.sampling
    if sampling.temperature != 0 and sampling.seed is None:
        return random.Random()  # no secret hangs on it
    said = "\0".join(f"{message.role}\0{message.text}" for message in request.messages)
    drawn_by = f"{sampling.seed}\0{choice}\0{said}" if sampling.temperature != 0 else said
    return random.Random(hashlib.sha256(drawn_by.encode("utf-8", "surrogatepass")).digest())


def _jittered(row: _Row, rng: random.Random) -> _Row:
    """The distances between the likeliest tokens a little larger or smaller, the probability of all of them kept."""
    scale = math.exp(rng.gauss(0.0, _JITTER))
    moved = [scale * value for value in row]
    total = math.fsum(math.exp(value) for value in row)
    shift = math.log(total) - math.log(math.fsum(math.exp(value) for value in moved))
    return tuple(min(0.0, value + shift) for value in moved)


def _rank(row: _Row, temperature: float | None, rng: random.Random) -> int | None:
    """Of a token that is drawn at this temperature; None if it is none of the row's."""
    if temperature == 0:
        return 0
    heat = temperature or 1.0
    # By the likeliest one: at a low temperature the weight of each alone would be too small for a number.
    weights = [math.exp((value - row[0]) / heat) for value in row]
    rest = max(0.0, 1.0 - math.fsum(math.exp(value) for value in row)) * math.exp(-row[0] / heat) if heat >= 1 else 0.0
    ranks: list[int | None] = [*range(len(row)), None]
    return rng.choices(ranks, [*weights, rest])[0]
