"""A model's prompts: rendered, counted, and embedded with its own table."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import resources

import torch
from torch import Tensor

from classifiers.cache import Recent
from corruption.operators import EmbeddingTable
from gateway.core import Endpoint, Message, Request
from gateway.errors import InvalidRequest, PlanError
from gateway.prompts.rendering import Prompt, Tokenizer, instructed, read_back, render

__all__ = ["Prompts", "decoy_table"]

_RENDERED_TOKENS = 200_000
_Turns = tuple[Endpoint, tuple[Message, ...]]
_Rendering = tuple[Endpoint, tuple[Message, ...], bool]


class Prompts:
    """A tokenizer with the embedding table of its model, and not the model itself. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, weight: Tensor) -> None:
        """`weight` [vocabulary, hidden] holds the rows that the model takes as input embeddings."""
        self.tokenizer = tokenizer
        self._weight = weight
        self._rendered: Recent[_Rendering, Prompt] = Recent(_RENDERED_TOKENS, size_of=lambda prompt: len(prompt.ids))
        self._read: Mapping[_Turns, Prompt] = {}

    @property
    def hidden(self) -> int:
        """The width of an embedding."""
        return int(self._weight.shape[1])

    @property
    def vocabulary(self) -> int:
        """The number of tokens that the model knows."""
        return len(self._weight)

    @cached_property
    def table(self) -> EmbeddingTable:
        """What corruption operators know of the model."""
        return decoy_table(self.tokenizer, self._weight)

    def render(self, request: Request, *, locate: bool = False) -> Prompt:
        """The request's prompt; with `locate`, the messages' places in it. Raises InvalidRequest as `rendering.render`
        does, and for a token without a row: a tokenizer may know more than its model (Gemma 3's has one for images).

        Recent prompts are remembered: a flagged request is counted, judged and corrupted, each from its prompt.
        """
        if read := self._read.get((request.endpoint, request.messages)):
            return read
        asked = (request.endpoint, request.messages, locate)
        known = self._rendered.known([asked])
        if asked not in known:
            known = {asked: self._checked(render(self.tokenizer, request, locate=locate))}
            self._rendered.keep(known)
        return known[asked]

    def _checked(self, prompt: Prompt) -> Prompt:
        if max(prompt.ids, default=0) >= self.vocabulary:
            raise InvalidRequest(
                f"the prompt has a token that is not in the model's vocabulary of {self.vocabulary}; take special "
                "tokens out of the text"
            )
        return prompt

    def as_read(self, request: Request, ids: Sequence[int]) -> "Prompts":
        """The same, for which this request's prompt has the token ids that a server read. Raises PlanError for ids that
        the table lacks."""
        if not all(0 <= token < self.vocabulary for token in ids):
            raise PlanError("the upstream's prompt has tokens that the gateway's copy of the model lacks")
        prompts = copy.copy(self)
        prompts._read = {(request.endpoint, request.messages): read_back(self.tokenizer, request, ids)}
        return prompts

    def instructed(self, request: Request, instruction: str) -> tuple[tuple[Message, ...], Prompt]:
        """The request's messages with an instruction in front, and their prompt. Raises InvalidRequest."""
        messages = instructed(self.tokenizer, request, instruction)
        return messages, self.render(replace(request, messages=messages))

    def answer_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of an answer, or of the beginning of one."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def embed(self, ids: Sequence[int]) -> Tensor:
        """[tokens, hidden] of token ids, in the model's dtype."""
        return self._weight[torch.tensor(ids, dtype=torch.long)]

    def like_rows(self, embeddings: Tensor) -> Tensor:
        """Embeddings in the dtype and on the device of the table."""
        return embeddings.to(self._weight)


def decoy_table(tokenizer: Tokenizer, weight: Tensor) -> EmbeddingTable:
    """The corruption table of a model, its decoys being the tokens of the shipped invented names and plain words."""

    def tokens(file: str, first_only: bool) -> Tensor:
        words = (resources.files("corruption") / "data" / file).read_text(encoding="utf-8").split()
        ids = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
        return torch.tensor(sorted({token for of_word in ids for token in (of_word[:1] if first_only else of_word)}))

    return EmbeddingTable.of(weight, names=tokens("names.txt", False), words=tokens("words.txt", True))
