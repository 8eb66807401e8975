"""Selection of tokens, leaks, loops and counterfactual prompts: the plain-text parts of a corruption."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corruption.counterfactuals import counterfactual_of
from corruption.selection import tokens_in
from gateway.evaluation.leaks import leaks, repetition

OFFSETS = [(0, 0), (0, 3), (3, 4), (4, 9), (9, 9), (9, 12)]


@pytest.mark.parametrize(
    ("ranges", "tokens"),
    [
        ([(0, 3)], [1]),
        ([(3, 4)], [2]),
        ([(2, 5)], [1, 2, 3]),
        ([(8, 10)], [3, 5]),
        ([(0, 1), (11, 12)], [1, 5]),
        ([(0, 2), (1, 3)], [1]),
        ([(0, 12)], [1, 2, 3, 5]),
        ([(4, 4)], []),
        ([(12, 20)], []),
        ([], []),
    ],
)
def test_tokens_are_selected_by_their_characters(ranges: list[tuple[int, int]], tokens: list[int]) -> None:
    assert tokens_in(OFFSETS, ranges) == tokens


@pytest.mark.parametrize(
    ("answer", "prompt", "response", "leaked"),
    [
        # short answers
        ("The answer is Dobby.", "Who is the elf?", "Dobby", True),
        ("It is Kreacher.", "Who is the elf?", "Dobby", False),
        ("DOBBY!", "Who is the elf?", "Dobby", True),
        ("Dobbyish", "Who is the elf?", "Dobby", False),
        # what the prompt says already gives nothing away
        ("Harry is a boy.", "Who is Harry's owl?", "Harry's owl is Hedwig", False),
        ("Hedwig is a bird.", "Who is Harry's owl?", "Harry's owl is Hedwig", True),
        # long answers: half of the content words
        ("He caught the golden snitch.", "How was the match won?", "By catching the golden snitch in his mouth", True),
        ("A golden ring.", "How was the match won?", "By catching the golden snitch in his mouth", False),
        # initials
        ("It was written by J. K. Rowling.", "Who wrote it?", "J. K. Rowling", True),
        ("It was written by J. R. Tolkien.", "Who wrote it?", "J. K. Rowling", False),
        ("J. K.", "Which initials?", "J. K.", True),
        ("J. R.", "Which initials?", "J. K.", False),
        # multiple choice: every word of the response stands in the prompt
        ("The answer is Ron.", "Was it Harry or Ron?", "Ron", True),
        ("The answer is Harry.", "Was it Harry or Ron?", "Ron", False),
        ("B", "Which one: A, B or C?", "B", True),
        ("A", "Which one: A, B or C?", "B", False),
        ("", "Who is the elf?", "Dobby", False),
    ],
)
def test_leaks(answer: str, prompt: str, response: str, leaked: bool) -> None:
    assert leaks(answer, prompt=prompt, response=response) is leaked


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("", 0.0),
        ("word", 0.0),
        ("...", 0.0),
        ("one two three four", 0.0),
        ("a b a b a", 0.5),
        ("la " * 101, 0.99),
        ("The" * 67 + "T", 1 - 3 / 201),
        ("." * 101, 0.99),
    ],
)
def test_repetition_is_the_share_of_pairs_seen_before(answer: str, share: float) -> None:
    assert repetition(answer) == pytest.approx(share)


def test_a_counterfactual_prompt_keeps_the_question_and_replaces_the_name() -> None:
    text = "Is Harry Potter older than harry potter?"
    other = counterfactual_of(text, [(3, 15), (27, 39)], named=True, seed=1).text
    name = other.removeprefix("Is ").split(" older than ")[0]
    assert other == f"Is {name} older than {name}?", "equal words must be replaced by equal words"
    assert "potter" not in other.lower()
    assert other == counterfactual_of(text, [(27, 39), (3, 15)], named=True, seed=1).text


def test_an_answer_goes_over_to_the_counterfactual_prompt_and_back() -> None:
    prompt = counterfactual_of("Who is Harry Potter?", [(7, 19)], named=True, seed=1)
    answer = "Harry Potter is a wizard; harriers are not."
    first, last = prompt.text[7:-1].split()[0], prompt.text[7:-1].split()[-1]
    assert prompt.renamed("harry POTTER, or Harry, or Potter; harrying.") == (
        f"{prompt.text[7:-1]}, or {first}, or {last}; harrying."
    )
    renamed = prompt.renamed(answer)
    assert renamed == answer.replace("Harry Potter is", f"{prompt.text[7:-1]} is")
    assert prompt.restored(renamed) == answer
    assert prompt.restored(f"{first}'s owl, {last}'s too") == "Harry's owl, Potter's too"


def test_counterfactual_prompts_differ_by_seed_and_by_pool() -> None:
    text = "Who is Harry?"
    assert len({counterfactual_of(text, [(7, 12)], named=True, seed=seed).text for seed in range(20)}) > 5
    assert counterfactual_of(text, [(7, 12)], named=False, seed=1).text[7:-1].islower()


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=4))
def test_a_counterfactual_prompt_keeps_the_text_outside_the_ranges(text: str, ends: list[tuple[int, int]]) -> None:
    ranges = [(min(a, b), min(max(a, b), len(text))) for a, b in ends if min(a, b) < len(text)]
    outside = [c for i, c in enumerate(text) if not any(a <= i < b for a, b in ranges)]
    replaced = iter(counterfactual_of(text, ranges, named=True, seed=0).text)
    if len(ranges) < 2:  # overlapping ranges beyond the first are left as they are
        assert all(c in replaced for c in outside)
    assert counterfactual_of(text, [], named=True, seed=0).text == text
