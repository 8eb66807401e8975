"""The lexical detector: names as whole words, however they are spelled, pointed at in the text as sent."""

import pytest

from classifiers.names.aliases import LexicalDetector, alias_forms


def found(text: str, *aliases: str) -> list[str]:
    """The source texts of the spans that one scope's aliases have in a text."""
    verdicts = LexicalDetector({"scope": aliases}).detect([text])[0]
    return [text[span.start_char : span.end_char] for verdict in verdicts for span in verdict.spans]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Who is Harry Potter?", ["Harry Potter"]),
        ("who is HARRY   POTTER", ["HARRY   POTTER"]),
        ("Harry\nPotter", ["Harry\nPotter"]),
        ("harrypotter", ["harrypotter"]),
        ("#HarryPotter fans", ["HarryPotter"]),
        ("Harry-Potter's wand", ["Harry-Potter"]),
        ("all the Harry Potters of this world", ["Harry Potters"]),
        ("Ha\u200brry Роttеr", ["Ha\u200brry Роttеr"]),
        ("Harry Potter and Harry Potter", ["Harry Potter", "Harry Potter"]),
        ("Harry likes pottery; Potter Harry; harry potterish", []),
        ("", []),
    ],
)
def test_a_name_is_found_as_whole_words(text: str, spans: list[str]) -> None:
    assert found(text, "Harry Potter") == spans


@pytest.mark.parametrize("text", ["J.K. Rowling", "J. K. Rowling", "JK Rowling", "jk rowling", "J K Rowling's"])
@pytest.mark.parametrize("alias", ["J.K. Rowling", "J. K. Rowling"])
def test_initials_are_found_however_they_are_set(text: str, alias: str) -> None:
    spans = found(f"Is {text} an author?", alias)
    assert len(spans) == 1
    assert text.removesuffix("'s").rstrip(".") in spans[0]


def test_short_words_and_words_in_s_get_no_plural() -> None:
    assert found("the Rons met", "Ron") == []
    assert found("Dursleyss", "Dursleys") == []
    assert found("Muggles", "Muggle") == ["Muggles"]


def test_many_scopes_in_one_pass_and_each_text_on_its_own() -> None:
    detector = LexicalDetector({"wizards": ["Potter", "Hermione"], "authors": ["Rowling"], "shared": ["Potter"]})
    first, second, third = detector.detect(["Rowling wrote of Potter.", "Nothing here.", "Hermione"])
    assert [verdict.scope for verdict in first] == ["authors", "shared", "wizards"]
    assert all(verdict.matched and verdict.score > verdict.threshold for verdict in first)
    assert second == []
    assert [(verdict.scope, verdict.spans[0].start_char, verdict.spans[0].end_char) for verdict in third] == [
        ("wizards", 0, 8)
    ]


def test_overlapping_aliases_are_one_span() -> None:
    assert found("the wizard Harry Potter himself", "Harry Potter", "wizard Harry", "Potter") == ["wizard Harry Potter"]


def test_an_alias_that_ends_where_the_next_begins_is_not_lost() -> None:
    assert found("Potter Potter", "Potter") == ["Potter", "Potter"]


def test_no_aliases_match_nothing() -> None:
    assert LexicalDetector({}).detect(["Harry Potter"]) == [[]]
    assert LexicalDetector({"scope": []}).detect(["Harry Potter"]) == [[]]


@pytest.mark.parametrize("alias", ["", "  ", "!!!", "\u200b", "🙂"])
def test_an_alias_without_letters_is_refused_by_name(alias: str) -> None:
    with pytest.raises(ValueError, match="no letter or digit") as error:
        alias_forms(alias)
    assert repr(alias) in str(error.value)


def test_initials_are_found_joined_and_parted_whichever_the_alias_has() -> None:
    for alias in ("JK Rowling", "J.K. Rowling", "J. K. Rowling"):
        detector = LexicalDetector({"scope": [alias]})
        for text in ("did JK Rowling write it", "J.K. Rowling's book", "by j. k. rowling"):
            assert detector.detect([text])[0], (alias, text)
