"""One answer, token by token, from a model in this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gateway.backends.embedded.sampling import Sampler
from gateway.core import Delta, Sampling, TokenLogprob
from gateway.prompts.execution import ModelInput
from gateway.prompts.rendering import Tokenizer

__all__ = ["Decoder", "TextStream"]

_REPLACEMENT = "\ufffd"


class TextStream:
    """Turns tokens into text that is safe to send: no half characters, nothing that may begin a stop string."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._ids: list[int] = []
        self._sent = 0
        self.stopped_by: str | None = None

    def push(self, token: int) -> str:
        """The new text that this token makes safe; sets `stopped_by` once a stop string is complete."""
        self._ids.append(token)
        text = self._text()
        return self._advance(text, len(text) - self._held_back(text))

    def flush(self) -> str:
        """The rest of the text, at the end of the answer."""
        text = self._text(final=True)
        return self._advance(text, len(text))

    def _text(self, *, final: bool = False) -> str:
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        return text if final else text.rstrip(_REPLACEMENT)

    def _advance(self, text: str, safe: int) -> str:
        found = [(text.find(stop), stop) for stop in self._stop if stop in text]
        if found:
            safe, self.stopped_by = min(found)
        fresh = text[self._sent : max(self._sent, safe)]
        self._sent += len(fresh)
        return fresh

    def _held_back(self, text: str) -> int:
        """The length of the longest end of the text that begins a stop string."""
        longest = max((len(stop) for stop in self._stop), default=0)
        for length in range(min(longest - 1, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stop):
                return length
        return 0


@dataclass(frozen=True, slots=True)
class Decoder:
    """A frozen causal model and how to read its tokens. It holds no state of a request."""

    model: Any
    tokenizer: Tokenizer
    end_tokens: frozenset[int]

    def deltas(
        self, given: ModelInput, sampling: Sampling, *, index: int, limit: int, aborted: Callable[[], bool]
    ) -> Iterator[tuple[Delta, int]]:
        """Deltas of one choice with the number of tokens behind each. The last one has a finish reason.

        Ends early, without a reason, once `aborted`.

        Args:
            given: what the model gets.
            sampling: how to decode.
            index: the choice's number.
            limit: the largest number of tokens.
            aborted: whether nobody waits for the answer any more.
        """
        stream = TextStream(self.tokenizer, sampling.stop)
        rng = torch.Generator().manual_seed(_seed(sampling, index))
        sampler = Sampler.of(sampling, self.end_tokens)
        ids = [] if given.embeddings is not None else list(given.ids)
        written: list[int] = []
        logits, cache = self._prefill(given)
        for position in range(1, limit + 1):
            if aborted():
                return
            if given.logits_transform:
                logits = given.logits_transform(torch.tensor(written, dtype=torch.long), logits)
            token = sampler.pick(logits, rng, prompt=ids, written=written)
            written.append(token)
            logprobs = self._logprobs(logits, token, sampling.logprobs)
            if token in sampler.end_tokens | sampler.stop_tokens:
                stopped_by = token if token in sampler.stop_tokens else None
                yield Delta(index, stream.flush(), logprobs, "stop", stopped_by), 1
                return
            text = stream.push(token)
            if stream.stopped_by is not None:
                yield Delta(index, text, logprobs, "stop", stream.stopped_by), 1
                return
            if position == limit:
                yield Delta(index, text + stream.flush(), logprobs, "length", None), 1
                return
            yield Delta(index, text, logprobs), 1
            logits, cache = self._step(token, cache)

    def _prefill(self, given: ModelInput) -> tuple[Tensor, Any]:
        if given.embeddings is not None:
            return self._forward(inputs_embeds=given.embeddings[None].to(self.model.device), cache=None)
        return self._forward(input_ids=torch.tensor([given.ids], device=self.model.device), cache=None)

    def _step(self, token: int, cache: Any) -> tuple[Tensor, Any]:
        return self._forward(input_ids=torch.tensor([[token]], device=self.model.device), cache=cache)

    def _forward(
        self, *, cache: Any, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        with torch.inference_mode():
            output = self.model(
                input_ids=input_ids,
                inputs_embeds=inputs_embeds,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return output.logits[0, -1].float().cpu(), output.past_key_values

    def _logprobs(self, logits: Tensor, token: int, alternatives: int | None) -> tuple[TokenLogprob, ...]:
        if alternatives is None:
            return ()
        values = logits.log_softmax(-1)
        best = values.topk(alternatives)
        top = tuple(
            (self._read(int(other)), float(value)) for value, other in zip(best.values, best.indices, strict=True)
        )
        return (TokenLogprob(self._read(token), float(values[token]), top),)

    def _read(self, token: int) -> str:
        return self.tokenizer.decode([token])


def _seed(sampling: Sampling, index: int) -> int:
    if sampling.seed is None:
        return int(torch.randint(2**31, ()).item())
    return (sampling.seed + index) % 2**63
