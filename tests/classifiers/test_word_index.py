"""The index of words: whatever was added, replaced and removed before, it finds what a new one would find."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.names import index as module
from classifiers.names.aliases import LexicalDetector
from classifiers.names.index import PrefixIndex, WordIndex


@dataclass(frozen=True)
class Name:
    scope: str
    letters: str
    breaks: tuple[int, ...] = ()
    glued: bool = False


INDEXES = (WordIndex, PrefixIndex)
TEXT = "abracadabraabbaccabadacab"
words = st.lists(st.text("abcd", min_size=1, max_size=4), max_size=6, unique=True)
changes = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("STUVW"), words, max_size=3), st.sets(st.sampled_from("STUVWX"))),
    max_size=12,
)


def entries(added: dict[str, list[str]]) -> dict[str, list[tuple[str, Name]]]:
    return {scope: [(word, Name(scope, word)) for word in of_scope] for scope, of_scope in added.items()}


def found(index: WordIndex[Name], text: str = TEXT) -> Counter[tuple[int, Name]]:
    return Counter(index.occurrences(text))


def by_hand(held: dict[str, list[str]]) -> Counter[tuple[int, Name]]:
    return Counter(
        (last, Name(scope, word))
        for scope, of_scope in held.items()
        for word in of_scope
        for last in range(len(TEXT))
        if TEXT[: last + 1].endswith(word)
    )


@pytest.mark.parametrize("kind", INDEXES)
@pytest.mark.parametrize(("fresh", "part"), [(2, 4), (3, 3), (5, 30), (1024, 8192)])
@settings(max_examples=60, deadline=None)
@given(steps=changes)
def test_any_changes_leave_what_a_new_index_has(
    steps: list[tuple[dict[str, list[str]], set[str]]], fresh: int, part: int, kind: type[WordIndex[Name]]
) -> None:
    with pytest.MonkeyPatch.context() as small:  # so that a few words are merged, masked and thrown away
        small.setattr(module, "_FRESH_WORDS", fresh)
        small.setattr(kind, "_part_words", part)
        index = kind()
        held: dict[str, list[str]] = {}
        for added, removed in steps:
            before = index, found(index)
            index = index.updated(entries(added), removed)
            held = {scope: of_scope for scope, of_scope in held.items() if scope not in removed} | added
            assert found(index) == by_hand(held)
            assert found(before[0]) == before[1], "whoever holds the old index sees no change"


@settings(max_examples=300, deadline=None)
@given(
    held=st.dictionaries(st.sampled_from("ST"), words, max_size=2),
    places=st.lists(st.integers(1, 3), max_size=2),
    text=st.text("abcd", max_size=12),
)
def test_both_indexes_say_the_same(held: dict[str, list[str]], places: list[int], text: str) -> None:
    named = {
        scope: [(word, Name(scope, word, tuple(places), glued=scope == "S")) for word in of_scope]
        for scope, of_scope in held.items()
    }
    one, other = WordIndex[Name]().updated(named, ()), PrefixIndex[Name]().updated(named, ())
    assert found(one, text) == found(other, text)
    for end in range(1, len(text) + 1):
        begun = text[:end]
        assert set(one.owners(begun)) == set(other.owners(begun))
        assert set(one.beginnings(begun)) == set(other.beginnings(begun))
        assert one.begun(begun) == other.begun(begun)
        assert one.goes_on(begun) == other.goes_on(begun) == (0 in one.beginnings(begun))
        assert one.breaks_after(begun) == other.breaks_after(begun)
        assert one.glues(begun) == other.glues(begun)


def test_one_change_builds_a_small_part_alone() -> None:
    many = {f"scope{number}": [f"word{number}x"] for number in range(3000)}
    index = WordIndex[Name]().updated(entries(many), ())
    grown = index.updated(entries({"new": ["abra"]}), ["scope7"])
    assert grown._parts[0].words is index._parts[0].words
    assert sorted(last for last, _ in grown.occurrences("word7xabraword8x")) == [9, 15]


def test_many_small_changes_leave_few_parts() -> None:
    index = WordIndex[Name]()
    with pytest.MonkeyPatch.context() as small:
        small.setattr(module, "_FRESH_WORDS", 4)
        small.setattr(WordIndex, "_part_words", 32)
        for number in range(200):
            index = index.updated(entries({f"s{number}": [f"w{number}x"]}), [f"s{number - 64}"])
    assert sum(len(part.words) for part in index._parts) <= 2 * 64 + 4
    assert len(index._parts) <= 2 * (128 // 32) + 1


def test_names_come_and_go_without_a_word_of_the_old_detector() -> None:
    old = LexicalDetector({"wizards": ["Harry Potter"], "oz": ["Dorothy"]})
    new = old.updated({"wizards": ["Merlin"], "narnia": ["Aslan"]}, ["oz"])
    text = "Harry Potter, Dorothy, Merlin and Aslan"
    assert [verdict.scope for verdict in old.detect([text])[0]] == ["oz", "wizards"]
    assert [verdict.scope for verdict in new.detect([text])[0]] == ["narnia", "wizards"]
    assert new.counted(text) == {"narnia": {"Aslan"}, "wizards": {"Merlin"}}
    with pytest.raises(ValueError, match="no letter or digit"):
        old.updated({"oz": ["..."]}, ())


def test_two_scopes_with_one_name_are_both_flagged_until_one_goes() -> None:
    both = LexicalDetector({"books": ["Oz"]}).updated({"films": ["Oz"]}, ())
    assert [verdict.scope for verdict in both.detect(["In Oz"])[0]] == ["books", "films"]
    assert [verdict.scope for verdict in both.updated({}, ["books"]).detect(["In Oz"])[0]] == ["films"]
