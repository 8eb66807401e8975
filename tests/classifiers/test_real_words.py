"""The list of words that people write holds common ones and common names."""

import pytest

from classifiers.names.real_words import is_common, is_real, neighbours


@pytest.mark.parametrize("word", ["brook", "stewart", "porter", "wizard", "lantern", "lanterns"])
def test_words_and_names_that_people_write_are_common(word: str) -> None:
    assert is_common(word)
    assert is_real(word)


@pytest.mark.parametrize("word", ["brrook", "stewrat", "qxz", "lanterrn", "", "x" * 1000])
def test_bent_words_are_not_real(word: str) -> None:
    assert not is_real(word)


def test_some_real_words_are_rare() -> None:
    assert is_real("voussoir")
    assert not is_common("voussoir")


def test_neighbours_are_one_slip_away_and_the_more_frequent_ones_weigh_more() -> None:
    found = neighbours("teh")
    assert found["the"] > found["tea"]
    assert "table" not in found
    assert not neighbours("xqzvkj")
