"""Latin names that a text writes in another script."""

import pytest

from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.foreign import ForeignNames
from classifiers.types import Verdict

NAMES = ForeignNames().updated({"tale": ["Lorcan Bradfield", "Drummondell"], "other": ["Quentin Vasher"]}, ())


def found(text: str) -> list[tuple[str, bool]]:
    return [(verdict.scope, verdict.matched) for verdict in NAMES.detect([text])[0]]


@pytest.mark.parametrize(
    "text",
    [
        "Расскажи о книге, где Лоркан Брэдфилд уезжает",
        "Что случилось с Лорканом Брэдфилдом?",
        "Πες μου για τον Λόρκαν Μπράντφιλντ",
        "من هو لوركان برادفيلد؟",
        "מי זה לורקן ברדפילד?",
        "लोर्कन ब्रैडफील्ड कौन है?",
        "로칸 브래드필드는 누구야?",
        "ローカン・ブラッドフィールドは誰ですか",
    ],
)
def test_a_name_is_found_in_every_script(text: str) -> None:
    assert "tale" in dict(found(text))


def test_a_name_of_one_word_with_many_consonants_counts_alone() -> None:
    assert found("Где находится Драммонделл?") == [("tale", True)]


def test_the_place_is_that_of_the_words() -> None:
    text = "Кто такой Лоркан Брэдфилд?"
    (span,) = NAMES.detect([text])[0][0].spans
    assert text[span.start_char : span.end_char] == "Лоркан Брэдфилд"


@pytest.mark.parametrize(
    "text",
    ["Who is Lorcan Bradfield?", "Как сварить гречку?", "今日の天気は？", "كيف حالك اليوم؟", "¿Qué hora es?", ""],
)
def test_other_texts_hold_no_name(text: str) -> None:
    assert found(text) == []


def test_a_name_with_few_consonants_needs_a_second_sign() -> None:
    names = ForeignNames().updated({"tale": ["Snape"]}, ())
    (verdicts,) = names.detect(["Что делает Снейп?"])
    assert [verdict.matched for verdict in verdicts] == [False]
    assert confirmed(verdicts) == []
    leaning = Verdict("tale", "multilingual", 0.1, 1.0, False)
    assert any(verdict.matched for verdict in confirmed([*verdicts, leaning]))


def test_it_is_a_detector_of_names_whose_scopes_come_and_go() -> None:
    assert ForeignNames.name == LexicalDetector.name
    text = "Кто такой Лоркан Брэдфилд и Квентин Вашер?"
    assert {verdict.scope for verdict in NAMES.detect([text])[0]} == {"tale", "other"}
    assert {verdict.scope for verdict in NAMES.updated({}, ["tale"]).detect([text])[0]} == {"other"}
