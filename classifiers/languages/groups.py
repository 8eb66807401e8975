"""Which languages lie close to each other, so that one can stand in for another whose prompts we do not ship."""

import re
from collections.abc import Mapping

__all__ = ["LANGUAGES", "OTHER", "east_asian", "group_of", "letters_of"]

LANGUAGES = ("es", "fr", "de", "it", "pt", "tr", "ru", "uk", "zh", "ja", "ko", "hi", "ar")
"""ISO 639-1 codes of the languages whose out-of-scope prompts the project ships."""

OTHER = "other"
"""The group of every language that is in no other group."""

_GROUPS: Mapping[str, str] = {
    "latin": "es fr de it pt tr ca gl oc ro nl af sv no nn da fi et hu pl cs sk sl hr bs sh lt lv sq eu ga cy is mt "
    "id ms tl ceb vi sw az uz tk la eo ia ht br so yo ha zu xh lb fy war jv su",
    "cyrillic": "ru uk be bg sr mk kk ky mn tg tt ba cv sah",
    "cjk": "zh ja ko yue wuu",
    "indic": "hi mr ne sa bn as gu pa or ta te kn ml si",
    "arabic": "ar fa ur ps ckb ug sd arz azb he yi",
}
_GROUP_OF = {language: group for group, languages in _GROUPS.items() for language in languages.split()}
# neither Latin letters nor signs; vowel signs of Indian scripts are no letters for Python, and belong to words
_FOREIGN = re.compile("[^\u0000-\u036f\u1e00-\u1eff\u2000-\u2bff\u3000-\u303f\ufe00-\uff5a\U0001d400-\U0010ffff]+")
_HAN, _KANA, _HANGUL = (re.compile(pattern) for pattern in ("[\u4e00-\u9fff]", "[\u3041-\u30ff]", "[\uac00-\ud7a3]"))


def group_of(language: str) -> str:
    """The group of a language, `OTHER` for one that we know nothing of."""
    return _GROUP_OF.get(language, OTHER)


def letters_of(text: str) -> str:
    """What of a text is in letters other than Latin ones, its words parted by spaces."""
    return "" if text.isascii() else " ".join(_FOREIGN.findall(text))


def east_asian(letters: str) -> str | None:
    """The language of letters that their script alone tells: kana are Japanese, Hangul is Korean, Han without either
    is Chinese. None for other scripts."""
    if _KANA.search(letters):
        return "ja"
    if _HANGUL.search(letters):
        return "ko"
    return "zh" if _HAN.search(letters) else None
