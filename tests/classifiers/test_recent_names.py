"""What is remembered of a text is what the detector of names says of it."""

from classifiers.names.aliases import LexicalDetector
from classifiers.names.recent import RecentNames

TEXTS = ["Who is Mira Tolund?", "Who is Mira Tolumd?", "", "Nobody", "Who is Mira Tolund?"]


def test_texts_are_judged_as_by_the_detector_however_often_they_come() -> None:
    names = LexicalDetector({"scope": ["Mira Tolund"]})
    recent = RecentNames(names)
    for misspelt in (True, False, True):
        assert recent.detect(TEXTS, misspelt=misspelt) == names.detect(TEXTS, misspelt=misspelt)
    assert recent.detect(TEXTS[1:2]) != recent.detect(TEXTS[1:2], misspelt=False)


def test_a_text_is_read_once() -> None:
    read: list[str] = []

    class Counting(LexicalDetector):
        def detect(self, texts, *, misspelt=True):  # type: ignore[no-untyped-def]
            read.extend(texts)
            return super().detect(texts, misspelt=misspelt)

    recent = RecentNames(Counting({"scope": ["Mira Tolund"]}))
    recent.detect(TEXTS)
    recent.detect(TEXTS)
    assert sorted(read) == sorted(set(TEXTS))
