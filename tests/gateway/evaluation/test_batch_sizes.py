"""Rows are together as far as there is memory, and every row is answered all the same."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_model
from torch import Tensor

import gateway.evaluation.batch_sizes
from gateway.evaluation.batch_sizes import by_memory, row_bytes
from gateway.evaluation.generation import Rollout
from gateway.models.language_model import LanguageModel

GIB = 2**30
LLAMA_8B = SimpleNamespace(
    hidden_size=4096,
    num_attention_heads=32,
    num_hidden_layers=32,
    num_key_value_heads=8,
    intermediate_size=14336,
    vocab_size=128256,
)


def of_8b(device: str) -> Any:
    config = SimpleNamespace(get_text_config=lambda: LLAMA_8B)
    return SimpleNamespace(device=device, dtype=torch.bfloat16, config=config)


@pytest.mark.parametrize(
    ("device", "free", "size"),
    [
        ("cuda:0", 60 * GIB, 128),
        ("cuda:0", GIB, 4),
        ("cuda:0", 2**20, 1),
        ("cpu", 60 * GIB, 16),
        ("cpu", GIB, 4),
        ("cpu", None, 16),
    ],
)
def test_the_size_follows_the_free_memory(
    device: str, free: int | None, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.evaluation.batch_sizes, "free_bytes", lambda _: free)
    assert by_memory(of_8b(device))(160, 100) == size
    assert by_memory(of_8b(device))(160, 1) >= size
    if free and size > 1:
        of_one = row_bytes(LLAMA_8B, 160, 100, 2)
        assert of_one
        assert size * of_one <= free / 2


def test_a_configuration_without_the_usual_numbers_gets_the_usual_size() -> None:
    odd = SimpleNamespace(device="cpu", dtype=torch.float32, config=SimpleNamespace(get_text_config=SimpleNamespace))
    assert row_bytes(SimpleNamespace(), 10, 10, 4) is None
    assert by_memory(odd)(10, 10) == 16


class Narrow:
    """A model whose memory holds so many rows at a time."""

    def __init__(self, base: LanguageModel, most: int) -> None:
        self._model, self._most, self.sizes = base.model, most, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *, inputs_embeds: Tensor, **rest: Any) -> Any:
        self._take(len(inputs_embeds))
        return self._model(inputs_embeds=inputs_embeds, **rest)

    def generate(self, *, inputs_embeds: Tensor, **rest: Any) -> Any:
        self._take(len(inputs_embeds))
        return self._model.generate(inputs_embeds=inputs_embeds, **rest)

    def _take(self, rows: int) -> None:
        self.sizes.append(rows)
        if rows > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_batch_that_does_not_fit_is_answered_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    base, draw = tiny_model(), torch.Generator().manual_seed(0)
    width = base.embeddings.shape[1]
    prompts = [torch.randn(3 + row % 4, width, generator=draw) for row in range(11)]
    responses = [f"answer {row}" for row in range(11)]
    whole = Rollout(base.model, base.tokenizer, batch_size=1)
    narrow = Narrow(base, most=3)
    halved = Rollout(narrow, base.tokenizer, batch_size=8)
    assert halved.answers(prompts, max_new_tokens=4) == whole.answers(prompts, max_new_tokens=4)
    assert narrow.sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    assert halved.mean_nll(prompts, responses) == pytest.approx(whole.mean_nll(prompts, responses), abs=1e-4)
    for found, score in zip(halved.logprobs(prompts, responses), whole.token_scores(prompts, responses), strict=True):
        assert found == pytest.approx(score.logprob.tolist(), abs=1e-4)


def test_a_row_that_does_not_fit_alone_is_an_error() -> None:
    base = tiny_model()
    narrow = Rollout(Narrow(base, most=0), base.tokenizer, batch_size=4)
    with pytest.raises(torch.OutOfMemoryError):
        narrow.answers([base.embeddings[:3]] * 2, max_new_tokens=2)
