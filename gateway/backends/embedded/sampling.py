"""How the next token is chosen, in the order of vLLM: bias, penalty, temperature, then the likeliest tokens."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gateway.core import Sampling

__all__ = ["Sampler", "unsupported"]

_SUPPORTED = {"top_k", "min_p", "repetition_penalty", "logit_bias", "ignore_eos", "min_tokens", "stop_token_ids"}
# One request runs alone, token by token, and there is no beam search: these change no answer.
_WITHOUT_EFFECT = {"length_penalty", "priority", "stream_interval", "spaces_between_special_tokens"}
_DEFAULTS = {"include_stop_str_in_output": False, "skip_special_tokens": True}


def unsupported(sampling: Sampling) -> str | None:
    """The first field that would change the answer and that this backend does not have."""
    for name in ("frequency_penalty", "presence_penalty"):
        if getattr(sampling, name):
            return name
    for name, value in sampling.extra:
        if name not in _SUPPORTED | _WITHOUT_EFFECT and value != _DEFAULTS.get(name):
            return name
    return None


_LEAST_TEMPERATURE = 1e-5  # as vLLM has it; less is greedy, and logits divided by it could be no numbers
_LEAST_PENALTY = 1e-6


@dataclass(frozen=True, slots=True)
class Sampler:
    """One request's way to choose tokens. `end_tokens` end an answer, `stop_tokens` do so for this request alone."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    bias: tuple[tuple[int, float], ...]
    min_tokens: int
    end_tokens: frozenset[int]
    stop_tokens: frozenset[int]

    @classmethod
    def of(cls, sampling: Sampling, end_tokens: frozenset[int]) -> "Sampler":
        """The sampler of a request. A setting that the request does not have has no effect."""
        extra: dict[str, Any] = dict(sampling.extra)
        return cls(
            temperature=1.0 if sampling.temperature is None else sampling.temperature,
            top_p=1.0 if sampling.top_p is None else sampling.top_p,
            top_k=max(0, extra.get("top_k", 0)),
            min_p=extra.get("min_p", 0.0),
            repetition_penalty=max(_LEAST_PENALTY, extra.get("repetition_penalty", 1.0)),
            bias=tuple((int(token), float(value)) for token, value in extra.get("logit_bias", {}).items()),
            min_tokens=extra.get("min_tokens", 0),
            end_tokens=frozenset() if extra.get("ignore_eos") else end_tokens,
            stop_tokens=frozenset(extra.get("stop_token_ids", ())),
        )

    def pick(self, logits: Tensor, rng: torch.Generator, *, prompt: Collection[int], written: Sequence[int]) -> int:
        """The id of the next token.

        Args:
            logits: of the next token, [vocabulary].
            rng: draws the token where the temperature is above 0.
            prompt: the token ids of the prompt.
            written: the token ids of the answer so far.
        """
        logits = self._adjusted(logits, prompt, written)
        if self.temperature < _LEAST_TEMPERATURE:
            return int(logits.argmax())
        probabilities = (logits / self.temperature).softmax(-1)
        if self.min_p:
            probabilities = probabilities.where(probabilities >= self.min_p * probabilities.max(), 0.0)
        if self.top_k:
            others = probabilities.argsort(descending=True, stable=True)[self.top_k :]  # of equals the first is kept
            probabilities = probabilities.index_fill(0, others, 0.0)
        if self.top_p < 1:
            probabilities = _nucleus(probabilities / probabilities.sum(), self.top_p)
        return int(torch.multinomial(probabilities, 1, generator=rng))

    def _adjusted(self, logits: Tensor, prompt: Collection[int], written: Sequence[int]) -> Tensor:
        if not self.bias and self.repetition_penalty == 1 and len(written) >= self.min_tokens:
            return logits
        logits = logits.clone()
        for token, value in self.bias:
            logits[token] += value
        if len(written) < self.min_tokens:
            ends = [token for token in self.end_tokens | self.stop_tokens if token < len(logits)]
            logits[ends] = -torch.inf
        if self.repetition_penalty != 1:
            seen = list({*prompt, *written})
            before = logits[seen]
            logits[seen] = torch.where(before > 0, before / self.repetition_penalty, before * self.repetition_penalty)
        return logits


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The smallest set of likeliest tokens whose probability reaches top_p (Holtzman et al., arXiv 1904.09751)."""
    ordered, indices = probabilities.sort(descending=True)
    keep = ordered.cumsum(-1) - ordered < top_p
    keep[0] = True
    return torch.zeros_like(probabilities).scatter(0, indices[keep], ordered[keep])
