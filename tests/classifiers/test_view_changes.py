"""What a view says of itself: outside of what it calls changed, it is what it was made of, letter by letter."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.views.view import Decoded, Edit, View, plain, rewritten
from classifiers.views.views import views

CODED = base64.b64encode(b"the lamp by the wardrobe").decode()
TEXTS = (
    f"See {CODED} and a = 'war'; b = 'drobe'; print(a + b) in the h a l l of the house.",
    "Ask “Ḥow” of the l a m p, the Ⓦardrobe and the d-o-o-r.",
    "one = 'lan' + 'tern'\ntwo = 'post'\nWhat is one two? It is &#108;ight, %6camp and l4mp.",
    "Wh4t st4nds in th3 f0r3st? A l4mp p0st, and 0n3 f4un, b3h1nd th3 w4rdr0b3.",
)


def unchanged(view: View) -> list[tuple[int, int]]:
    """The ranges between what is changed."""
    changed = view.changed or ()
    starts, ends = [0, *(stop for _, stop in changed)], [*(start for start, _ in changed), len(view.text)]
    return list(zip(starts, ends, strict=True))


def assert_source(view: View, source: str) -> None:
    for start, end in unchanged(view):
        if start < end:
            assert view.text[start:end] == source[slice(*view.source_range(start, end))]


@pytest.mark.parametrize("text", TEXTS)
def test_a_view_is_its_source_where_nothing_is_changed(text: str) -> None:
    earlier = [text]
    known = 0
    for view in views(text):
        if view.changed:
            known += 1
            parts = [view.text[start:end] for start, end in unchanged(view)]
            assert any(all(part in one for part in parts) for one in earlier), view.name
        earlier.append(view.text)
    assert known, "some view of the text tells what it changed"


edits = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4), st.text("xyz", max_size=3)), max_size=5)


def applied(view: View, wanted: list[tuple[int, int, str]]) -> View:
    """The view with those edits that fit."""
    cursor, some = 0, []
    for start, length, said in sorted(wanted):
        if start >= cursor and start + length <= len(view.text) and length:
            some.append(Edit(start, Decoded(said, [0] * len(said), length)))
            cursor = start + length
    return rewritten(view, "edited", some) if some else view


@given(first=edits, second=edits, third=edits)
def test_edits_of_edits_are_all_told(
    first: list[tuple[int, int, str]], second: list[tuple[int, int, str]], third: list[tuple[int, int, str]]
) -> None:
    source = "".join(chr(ord("A") + number) for number in range(26)) + "abcdef"  # no letter twice
    view = plain(source)
    for wanted in (first, second, third):
        view = applied(view, wanted)
        changed = list(view.changed or ())
        assert all(start <= stop for start, stop in changed)
        assert changed == sorted(changed)
        assert_source(view, source)
