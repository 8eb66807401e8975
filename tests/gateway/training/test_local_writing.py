"""A model in memory continues many tails of one head, as it would each alone."""

import pytest
import torch

from gateway.training.writing import local_writer
from tests.tiny import tiny_model


def test_lines_come_in_the_order_of_their_tails_and_repeat_for_a_seed() -> None:
    tiny = tiny_model()
    write = local_writer(tiny)
    tails = [" one\nQuestion:", " a much longer answer of words\nQuestion:", " two\nQuestion:"]
    first, again = write("A head.\n", tails, 5), write("A head.\n", tails, 5)
    assert first == again
    assert len(first) == len(tails)
    assert all("\n" not in line for line in first)


def test_a_shared_head_changes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the likeliest token alone, the words are those of the model's own generation."""
    tiny = tiny_model()
    monkeypatch.setattr("gateway.training.writing._CHOICES", 1)
    monkeypatch.setattr("gateway.training.writing._TOKENS", 1)
    taken: list[int] = []
    decode = tiny.tokenizer.decode
    monkeypatch.setattr(tiny.tokenizer, "decode", lambda ids: taken.extend(ids[:1]) or decode(ids))
    head, tails = "A head.\n", [" one\nQuestion:", " a longer one\nQuestion:"]
    local_writer(tiny)(head, tails, 0)
    for tail in tails:
        ids = [*tiny.tokenizer(head)["input_ids"], *tiny.tokenizer(tail, add_special_tokens=False)["input_ids"]]
        with torch.inference_mode():
            assert int(tiny.model(torch.tensor([ids])).logits[0, -1].argmax()) in taken
