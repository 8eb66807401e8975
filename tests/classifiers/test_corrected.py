"""A sentence with several misspelt words is read with the words that are meant; other sentences stay what they are."""

import pytest

from classifiers.traffic import general_traffic
from classifiers.views.corrected import corrected
from classifiers.views.view import plain
from classifiers.views.views import views


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Waht is the naem of the old kepeer of the lamp?", "what is the name of the old keeper of the lamp?"),
        ("who lihgts the lamp in teh towwer", "who lights the lamp in the tower"),
        ("Fine. And wehre is the haebour of it? Good.", None),  # one of them is nothing that one slip explains
        ("All is well. Waht does the kepeer of it lihgt?", "All is well. what does the keeper of it light?"),
    ],
)
def test_the_words_that_are_meant(text: str, meant: str | None) -> None:
    found = corrected(plain(text))
    assert (found.text if found else None) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Where is the lamp of the keeper?",
        "Wehre is the lamp of the keeper?",  # one slip is not worth another reading
        "Who are Oswni and Tarrcek of the sea?",  # names
        "Mi gata no come desde ayer, el perro tampoco",
        "def parse_cfg(fname): retrun json.laod(fname)",
        "",
    ],
)
def test_other_sentences_have_no_such_view(text: str) -> None:
    assert corrected(plain(text)) is None


def test_the_view_points_to_the_misspelt_words() -> None:
    text = "so, who lihgts the lamp in teh towwer"
    (view,) = [view for view in views(text) if view.name == "corrected"]
    start = view.text.index("tower")
    assert text[slice(*view.source_range(start, start + 5))] == "towwer"


def test_plain_prompts_have_no_such_view() -> None:
    rows = general_traffic()[::7]
    assert [row for row in rows if corrected(plain(row))] == []
