"""The model that a vLLM server serves, asked in place of one in memory: here are its tokenizer and its embedding table.

A likelihood after a prompt of embeddings takes one request a token: the server may say nothing but that token, and
tells how likely it was. vLLM tells likelihoods within a prompt for token ids alone; those take one request.
"""

import asyncio
import math
import os
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import torch
from torch import Tensor

from gateway.backends.vllm.bodies import encoded
from gateway.backends.vllm.capabilities import CapabilityCheck
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.transport import HttpTransport
from gateway.errors import AnswerError, SetupError
from gateway.evaluation.generation import Asked
from gateway.files.addresses import upstream_address
from gateway.models.language_model import embedding_table
from gateway.prompts.embedding import Prompts

__all__ = ["KEY_VARIABLE", "ServedModel", "ServedRollout", "served_model"]

KEY_VARIABLE = "UNRECALL_UPSTREAM_KEY"
"""Holds the bearer key of the server, as for `unrecall serve`."""
_AT_ONCE = 64
_CONNECT_S, _READ_S = 5.0, 600.0
_CERTAIN = -0.01  # no two tokens are both as likely as that, in nats

Json = dict[str, Any]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """As `LanguageModel`, with `rollout` in place of the model. `embeddings` [vocabulary, hidden] are as vLLM takes
    them."""

    tokenizer: Any
    embeddings: Tensor
    rollout: "ServedRollout"
    model: None = None


class ServedRollout:
    """See `gateway.evaluation.generation.Answers`: what `Rollout` does with a model in memory, done by a server.

    It raises SetupError if the server fails. It runs an event loop of its own, so that it must not be used in one.
    """

    def __init__(self, url: str, tokenizer: Any, embeddings: Tensor, *, key: str | None = None) -> None:
        """
        Args:
            url: the server's address, without /v1.
            tokenizer: of the model that it serves.
            embeddings: [vocabulary, hidden], the rows that it takes as prompts.
            key: the bearer key that it asks for.
        """
        self.url = url
        self.key = key
        self._tokenizer = tokenizer
        self._embeddings = embeddings
        transport = HttpTransport(connect_timeout_s=_CONNECT_S, read_timeout_s=_READ_S, max_connections=_AT_ONCE)
        self._upstream = Upstream(url, transport, api_key=key)
        self._runner = asyncio.Runner()
        self._model = ""

    def check(self) -> None:
        """Raises SetupError unless the server serves this model, takes prompt embeddings and tells likelihoods."""
        check = CapabilityCheck(Prompts(self._tokenizer, self._embeddings), ())
        served = self._run(check.known(self._upstream, None)).served
        if why := served.unsupported(frozenset({"prompt_embeds"})):
            raise SetupError(f"{self.url} cannot help to learn: {why}")
        self._model = served.models[0].id
        prompt, tokens = self._embeddings[:1], range(2)
        if all(self._run(self._logprob(prompt, token))[0] > _CERTAIN for token in tokens):
            raise SetupError(
                f"{self.url} tells how likely a token is among those that were allowed, and learning needs how likely "
                "the model finds it: start vLLM with --logprobs-mode raw_logprobs, which is its default"
            )

    def answers(
        self, prompts: Sequence[Tensor], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """See Answers. Above temperature 0 each prompt has a seed of its own, made of `seed` and its place."""
        bodies = [
            {
                "prompt_embeds": encoded(self._rows(prompt)),
                "max_tokens": max_new_tokens,
                "temperature": temperature,
                **({"top_p": 1.0, "top_k": 0, "seed": seed + place} if temperature > 0 else {}),
            }
            for place, prompt in enumerate(prompts)
        ]
        return [str(choice["text"]).strip() for choice in self._run(self._together(map(self._choice, bodies)))]

    def mean_nll(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[float]:
        """See Answers."""
        return [-sum(row) / len(row) if row else math.nan for row in self.logprobs(prompts, responses)]

    def logprobs(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """See Answers."""
        asked: list[Coroutine[Any, Any, tuple[float, ...]]] = []
        lengths = []
        for prompt, response in zip(prompts, responses, strict=True):
            ids = list(self._tokenizer(response or " ", add_special_tokens=False)["input_ids"])
            parts = self._by_embeddings(prompt, ids) if isinstance(prompt, Tensor) else [self._by_ids(prompt, ids)]
            lengths.append(len(parts))
            asked += parts
        found = iter(self._run(self._together(asked)))
        return [tuple(value for _ in range(length) for value in next(found)) for length in lengths]

    def close(self) -> None:
        """Closes the connections."""
        self._runner.run(self._upstream.aclose())
        self._runner.close()

    def _rows(self, prompt: Tensor) -> Tensor:
        return prompt.to(self._embeddings)

    def _by_embeddings(self, prompt: Tensor, ids: list[int]) -> list[Coroutine[Any, Any, tuple[float, ...]]]:
        """One request a token."""
        rows = torch.cat([self._rows(prompt), self._embeddings[torch.tensor(ids, dtype=torch.long)]])
        return [self._logprob(rows[: len(prompt) + place], token) for place, token in enumerate(ids)]

    async def _logprob(self, rows: Tensor, token: int) -> tuple[float]:
        """Nats of a token after the prompt `rows` [tokens, hidden]."""
        body = {"prompt_embeds": encoded(rows), "max_tokens": 1, "temperature": 0, "logprobs": 1}
        choice = await self._choice({**body, "allowed_token_ids": [token]})
        return (float(choice["logprobs"]["token_logprobs"][0]),)

    async def _by_ids(self, prompt: Sequence[int], ids: list[int]) -> tuple[float, ...]:
        """Nats of each token of an answer after a plain prompt."""
        body = {"prompt": [*prompt, *ids], "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        places = (await self._choice(body))["prompt_logprobs"][len(prompt) :]
        return tuple(float(place[str(token)]["logprob"]) for place, token in zip(places, ids, strict=True))

    async def _choice(self, body: Json) -> Json:
        async with self._upstream.post("completions", orjson.dumps({"model": self._model, **body})) as reply:
            choice: Json = orjson.loads(await reply.read())["choices"][0]
        return choice

    async def _together(self, asked: Any) -> list[Any]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(coroutine: Coroutine[Any, Any, Any]) -> Any:
            async with room:
                return await coroutine

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(coroutine)) for coroutine in asked]
        return [task.result() for task in tasks]

    def _run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        try:
            return self._runner.run(coroutine)
        except (AnswerError, LookupError, TypeError, ValueError, ExceptionGroup) as error:
            first: BaseException = error
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            said = first.message if isinstance(first, AnswerError) else f"its answer lacks {first}"
            raise SetupError(
                f"the model server at {self.url} does not do its part of the learning: {said}; it must be a vLLM 0.26 "
                f"or newer, started with --enable-prompt-embeds (its key, if it has one: {KEY_VARIABLE})"
            ) from first


def served_model(url: str, folder: Path, tokenizer: Any) -> ServedModel:
    """Reads the embedding table of a model's folder, and asks the server at `url` for the rest. Raises SetupError, and
    ModelError for the folder."""
    try:
        address = upstream_address(url)
    except ValueError as error:
        raise SetupError(f"--upstream: {error}") from error
    embeddings = embedding_table(folder)
    rollout = ServedRollout(address, tokenizer, embeddings, key=os.environ.get(KEY_VARIABLE))
    try:
        rollout.check()
    except BaseException:
        rollout.close()
        raise
    return ServedModel(tokenizer, embeddings, rollout)
