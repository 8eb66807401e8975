"""Batches: where their labels are, and what of a model's work is done for them."""

from typing import Any

import torch
from memory import LIVE, NAMES, Memory
from torch import Tensor

from adapters.batches import Batch, Example, answer_logits, collate


def of(memory: Memory) -> Batch:
    """Questions and answers of different lengths, no question of a single token."""
    rows = [memory.true(NAMES[0]), memory.neutral(NAMES[1]), Example(memory.ids(LIVE), memory.ids(" somewhere"))]
    return collate(rows, device=torch.device("cpu"))


def test_labels_begin_in_front_of_the_first_answer_of_all() -> None:
    batch = collate([Example((5, 6, 7), (1, 2)), Example((5, 6), (3,))], device=torch.device("cpu"))
    assert batch.ids.tolist() == [[5, 6, 7, 1, 2], [5, 6, 3, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch.labels.tolist() == [[-100, -100, 1, 2], [-100, 3, -100, -100]]
    assert batch.questions == 1


@torch.no_grad()
def test_logits_for_labels_are_those_of_the_whole_batch(memory: Memory) -> None:
    batch = of(memory)
    whole = memory.base.model(input_ids=batch.ids, attention_mask=batch.mask).logits
    assert batch.questions > 0
    torch.testing.assert_close(answer_logits(memory.base.model, batch), whole[:, batch.questions :])


@torch.no_grad()
def test_questions_are_not_projected_onto_the_vocabulary(memory: Memory) -> None:
    batch, seen = of(memory), []
    hook = memory.base.model.get_output_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0]))
    answer_logits(memory.base.model, batch)
    hook.remove()
    assert [tuple(one.shape[:2]) for one in seen] == [tuple(batch.labels.shape)]


@torch.no_grad()
def test_a_model_that_gives_all_logits_is_served_too(memory: Memory) -> None:
    def deaf(*, logits_to_keep: int, **inputs: Tensor) -> Any:
        return memory.base.model(**inputs)

    batch = of(memory)
    torch.testing.assert_close(answer_logits(deaf, batch), answer_logits(memory.base.model, batch))
