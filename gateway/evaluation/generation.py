"""Batches of embedded prompts through a frozen model: greedy or sampled answers, and likelihoods of given ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

__all__ = ["Rollout", "TokenScores"]


@dataclass(frozen=True, slots=True)
class TokenScores:
    """For each token of a given response, [tokens]: its log probability, whether it was the likeliest token, and the
    mean and standard deviation of the log probability over the tokens that the model might have said, by its own
    probabilities."""

    logprob: Tensor
    likeliest: Tensor
    mean: Tensor
    deviation: Tensor


class Rollout:
    """A causal language model and its tokenizer. It takes embedded prompts [tokens, hidden]."""

    def __init__(self, model: Any, tokenizer: Any, *, batch_size: int = 16) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._batch_size = batch_size

    def answers(
        self, prompts: Sequence[Tensor], *, max_new_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[str]:
        """One answer a prompt.

        Args:
            prompts: embedded prompts, [tokens, hidden] each.
            max_new_tokens: the longest answer.
            temperature: 0 takes the likeliest token each time.
            seed: of the draws above temperature 0. It sets torch's global seed.
        """
        found: list[str] = []
        for batch in self._batches(prompts):
            embeddings, mask = _left_padded(batch)
            sampling = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
            torch.manual_seed(seed)
            with torch.inference_mode():
                output = self._model.generate(
                    inputs_embeds=embeddings.to(self._model.device),
                    attention_mask=mask.to(self._model.device),
                    max_new_tokens=max_new_tokens,
                    pad_token_id=self._padding,
                    **(sampling if temperature > 0 else {"do_sample": False}),
                )
            found += self._tokenizer.batch_decode(output, skip_special_tokens=True)
        return [answer.strip() for answer in found]

    def mean_nll(self, prompts: Sequence[Tensor], responses: Sequence[str]) -> list[float]:
        """Mean negative log likelihood of each response's tokens after its prompt, in nats a token."""
        return [float(cross_entropy(logits, tokens)) for logits, tokens in self._predicted(prompts, responses)]

    def token_scores(self, prompts: Sequence[Tensor], responses: Sequence[str]) -> list[TokenScores]:
        """How likely the model finds each response after its prompt, token by token."""
        return [_scores(logits, tokens) for logits, tokens in self._predicted(prompts, responses)]

    def _predicted(self, prompts: Sequence[Tensor], responses: Sequence[str]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each response the logits [tokens, vocabulary] in front of its tokens, and those tokens."""
        embed = self._model.get_input_embeddings()  # called, not indexed: some families scale its rows
        pairs = list(zip(prompts, responses, strict=True))
        for start in range(0, len(pairs), self._batch_size):
            batch = pairs[start : start + self._batch_size]
            ids = [self._response_ids(response) for _, response in batch]
            rows = [
                torch.cat([prompt.to(embed.weight), embed(tokens)])
                for (prompt, _), tokens in zip(batch, ids, strict=True)
            ]
            first = min(len(row) - len(tokens) for row, tokens in zip(rows, ids, strict=True)) - 1
            for row, tokens, logits in zip(rows, ids, self._logits(rows, first), strict=True):
                end = len(row) - 1 - first
                yield logits[end - len(tokens) : end].float(), tokens.to(logits.device)

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
        ids = self._tokenizer(response or " ", add_special_tokens=False)["input_ids"]
        return torch.tensor(ids, dtype=torch.long, device=self._model.device)

    def _batches(self, prompts: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        return [prompts[i : i + self._batch_size] for i in range(0, len(prompts), self._batch_size)]

    @property
    def _padding(self) -> int:
        padding = self._tokenizer.pad_token_id
        return int(padding if padding is not None else self._tokenizer.eos_token_id)


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
