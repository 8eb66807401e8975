"""Batches of embedded prompts through a frozen model: greedy or sampled answers, and likelihoods of given ones."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gateway.evaluation.batch_sizes import BatchSize, by_memory

__all__ = ["Answers", "Asked", "Rollout", "TokenScores"]

_log = logging.getLogger("unrecall.evaluation")
Asked = Tensor | Sequence[int]
"""A prompt: embedded, [tokens, hidden], or its token ids."""
_Row = TypeVar("_Row")
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class TokenScores:
    """For each token of a given response, [tokens]: its log probability, whether it was the likeliest token, and the
    mean and standard deviation of the log probability over the tokens that the model might have said, by its own
    probabilities."""

    logprob: Tensor
    likeliest: Tensor
    mean: Tensor
    deviation: Tensor


class Answers(Protocol):
    """A model that is asked with embedded prompts [tokens, hidden], in memory or behind a server. Likelihoods of plain
    prompts are cheaper to ask for by token ids."""

    def answers(
        self, prompts: Sequence[Tensor], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer a prompt.

        Args:
            prompts: embedded prompts, [tokens, hidden] each.
            max_new_tokens: the longest answer.
            temperature: 0 takes the likeliest token each time.
            seed: of the draws above temperature 0.
        """

    def mean_nll(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[float]:
        """Mean negative log likelihood of each response's tokens after its prompt, in nats a token."""

    def logprobs(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """Log likelihoods, in nats, of the tokens of each response after its prompt."""


class Rollout:
    """A causal language model and its tokenizer. It takes embedded prompts [tokens, hidden]."""

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int | None = None) -> None:
        """`batch_size` is how many rows are together. None: as many as there is memory for."""
        self._model = model
        self._tokenizer = tokenizer
        self._rows_at_once: BatchSize = (lambda *_: batch_size) if batch_size else by_memory(model)

    def answers(
        self, prompts: Sequence[Tensor], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """See Answers. `seed` sets torch's global seed."""
        sampling = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}

        def said(batch: Sequence[Tensor]) -> list[str]:
            embeddings, mask = _left_padded(batch)
            torch.manual_seed(seed)
            with torch.inference_mode():
                output = self._model.generate(
                    inputs_embeds=embeddings.to(self._model.device),
                    attention_mask=mask.to(self._model.device),
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self._padding,
                    **(sampling if temperature > 0 else {"do_sample": False}),
                )
            return [str(text) for text in self._tokenizer.batch_decode(output, skip_special_tokens=True)]

        longest = max((len(prompt) for prompt in prompts), default=0) + max_new_tokens
        size = self._rows_at_once(longest, 1)
        return [answer.strip() for part in _in_batches(prompts, size, said) for answer in part]

    def mean_nll(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[float]:
        """Mean negative log likelihood of each response's tokens after its prompt, in nats a token."""
        return [float(cross_entropy(logits, tokens)) for logits, tokens in self._predicted(prompts, responses)]

    def logprobs(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """Log likelihoods, in nats, of the tokens of each response after its prompt."""
        return [
            tuple(logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist())
            for logits, tokens in self._predicted(prompts, responses)
        ]

    def token_scores(self, prompts: Sequence[Asked], responses: Sequence[str]) -> list[TokenScores]:
        """How likely the model finds each response after its prompt, token by token."""
        return [_scores(logits, tokens) for logits, tokens in self._predicted(prompts, responses)]

    def _predicted(self, prompts: Sequence[Asked], responses: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each response the logits [tokens, vocabulary] in front of its tokens, and those tokens."""
        embed = self._model.get_input_embeddings()  # called, not indexed: some families scale its rows
        pairs = [
            (prompt if isinstance(prompt, Tensor) else embed(self._tensor(prompt)), self._response_ids(response))
            for prompt, response in zip(prompts, responses, strict=True)
        ]

        def predicted(batch: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
            rows = [torch.cat([prompt.to(embed.weight), embed(tokens)]) for prompt, tokens in batch]
            first = min(len(prompt) for prompt, _ in batch) - 1
            found = []
            for row, (_, tokens), logits in zip(rows, batch, self._logits(rows, first), strict=True):
                end = len(row) - 1 - first
                found.append((logits[end - len(tokens) : end], tokens.to(logits.device)))
            return found

        longest = max((len(prompt) + len(tokens) for prompt, tokens in pairs), default=0)
        shortest = min((len(prompt) for prompt, _ in pairs), default=0)
        for part in _in_batches(pairs, self._rows_at_once(longest, longest - shortest + 1), predicted):
            yield from ((logits.float(), tokens) for logits, tokens in part)

    def _logits(self, rows: Sequence[Tensor], first: int) -> Tensor:
        """[rows, tokens - first, vocabulary], without what stands in front of the `first` that is asked for."""
        embeddings = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row)) for row in rows], batch_first=True).long()
        columns = embeddings.shape[1] - first
        with torch.inference_mode():
            logits: Tensor = self._model(
                inputs_embeds=embeddings, attention_mask=mask.to(embeddings.device), logits_to_keep=columns
            ).logits
        return logits[:, -columns:]  # a model may not know the option

    def _response_ids(self, response: str) -> Tensor:
        return self._tensor(self._tokenizer(response or " ", add_special_tokens=False)["input_ids"])

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(list(ids), dtype=torch.long, device=self._model.device)

    @property
    def _padding(self) -> int:
        padding = self._tokenizer.pad_token_id
        return int(padding if padding is not None else self._tokenizer.eos_token_id)


def _in_batches(
    rows: Sequence[_Row], size: int, work: Callable[[Sequence[_Row]], list[_Found]]
) -> Iterator[list[_Found]]:
    """The work's results, batch by batch. A batch for which a GPU's memory is short is done again in halves."""
    start = 0
    while start < len(rows):
        try:
            found = work(rows[start : start + size])
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            _log.warning("the GPU's memory is short for %d rows at once: going on with %d", size, size // 2)
            size //= 2
            torch.cuda.empty_cache()
            continue
        start += size
        yield found


def _scores(logits: Tensor, tokens: Tensor) -> TokenScores:
    logprobs = logits.log_softmax(-1)
    shares = logprobs.exp()
    mean = (shares * logprobs).sum(-1)
    variance = (shares * logprobs.square()).sum(-1) - mean.square()
    return TokenScores(
        logprob=logprobs.gather(1, tokens[:, None])[:, 0].cpu(),
        likeliest=(logits.argmax(-1) == tokens).cpu(),
        mean=mean.cpu(),
        deviation=variance.clamp_min(0).sqrt().cpu(),
    )


def _left_padded(prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    embeddings = torch.zeros((len(prompts), longest, prompts[0].shape[1]), dtype=prompts[0].dtype)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        embeddings[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return embeddings, mask
