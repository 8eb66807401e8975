"""A name of several words stands under what slips in both of them leave."""

import pytest

from classifiers.names.pairs import asked, keys


def held(name: list[str]) -> set[str]:
    return {key for anchor in range(len(name)) for key in keys(name, anchor)}


@pytest.mark.parametrize(
    "words",
    [
        ["oswin", "tarreck"],
        ["oswni", "tarrcek"],
        ["oswin", "txxyyzzk"],  # one word whole
        ["osqin", "tareck"],
    ],
)
def test_slips_leave_a_key(words: list[str]) -> None:
    assert held(["oswin", "tarreck"]) & {key for _, key in asked(words)}


def test_two_common_words_are_not_looked_up() -> None:
    assert list(asked(["the", "water", "table"])) == []


def test_the_key_says_which_word_it_belongs_to() -> None:
    of_last = set(keys(["oswin", "tarreck"], 1))
    assert {place for place, key in asked(["see", "oswni", "tarrcek"]) if key in of_last} == {2}
