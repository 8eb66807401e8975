"""What was worked out lately is not worked out again, and no more than so much is kept."""

from collections.abc import Sequence

from classifiers.cache import Recent


class Counter:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def lengths(self, texts: Sequence[str]) -> list[int]:
        self.asked.append(list(texts))
        return [len(text) for text in texts]


def test_only_new_texts_are_worked_out_and_each_once() -> None:
    recent, work = Recent[str, int](), Counter()
    assert recent.of(["a", "bb", "a"], work.lengths) == {"a": 1, "bb": 2}
    assert recent.of(["bb", "ccc"], work.lengths) == {"bb": 2, "ccc": 3}
    assert recent.of(["bb"], work.lengths) == {"bb": 2}
    assert work.asked == [["a", "bb"], ["ccc"]]


def test_those_not_asked_for_longest_go_first() -> None:
    recent, work = Recent[str, int](2), Counter()
    recent.of(["a", "bb"], work.lengths)
    recent.of(["a"], work.lengths)
    recent.of(["ccc"], work.lengths)
    recent.of(["a", "ccc"], work.lengths)
    assert work.asked == [["a", "bb"], ["ccc"]]
    recent.of(["bb"], work.lengths)
    assert work.asked[-1] == ["bb"]


def test_more_texts_at_once_than_are_kept() -> None:
    assert Recent[str, int](1).of(["a", "bb", "ccc"], Counter().lengths) == {"a": 1, "bb": 2, "ccc": 3}
