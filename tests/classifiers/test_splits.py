"""The one split: nothing on both sides, nothing lost, and the same for a seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.splits import split_rows

prompts = st.lists(st.text(), unique=True, max_size=40)


@given(prompts.filter(lambda rows: len(rows) > 1), prompts, st.integers(0, 99), st.floats(0.01, 0.99))
def test_every_row_is_on_one_side(forget: list[str], retain: list[str], seed: int, share: float) -> None:
    split = split_rows(forget, retain, seed=seed, share=share)
    for rows, part in ((forget, split.forget), (retain, split.retain)):
        assert part.every == tuple(rows)
        assert sorted((*part.train, *part.held_out)) == sorted(rows)
        assert not set(part.train) & set(part.held_out)
        if len(rows) > 1:
            assert part.train
            assert part.held_out
    assert split == split_rows(forget, retain, seed=seed, share=share)


def test_a_fifth_is_held_out_and_another_seed_holds_out_another() -> None:
    rows = [f"Question {number}?" for number in range(100)]
    split = split_rows(rows, rows[:5], seed=1)
    assert (len(split.forget.held_out), len(split.retain.held_out)) == (20, 1)
    assert split.forget.held_out != split_rows(rows, [], seed=2).forget.held_out


@pytest.mark.parametrize("retain", [[], ["Only one?"]])
def test_too_few_retain_rows_are_all_trained_on(retain: list[str]) -> None:
    assert split_rows(["a", "b"], retain, seed=0).retain.held_out == ()


@pytest.mark.parametrize("forget", [[], ["Only one?"]])
def test_too_few_forget_rows_are_refused(forget: list[str]) -> None:
    with pytest.raises(ValueError, match="at least two forget rows"):
        split_rows(forget, [], seed=0)


def test_a_row_that_would_stand_on_both_sides_is_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        split_rows(["Who?", "What?", "Who?"], [], seed=0)
