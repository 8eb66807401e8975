"""Words of a scope's names, such as 'Ron' of 'Ron Weasley': alone they say little, beside a learned score a lot."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from classifiers.names.ordinary import Alias, name_of
from classifiers.names.vocabulary import is_known

__all__ = ["PartIndex", "parts_of"]

_WORD = re.compile(r"[^\W\d_]+")
_FEWEST_LETTERS = 3
_JOINS = re.compile(r"[ \t]+|\.[ \t]*|-")  # between the words of one name
_QUOTES = " \t\"'“”‘’«»([{*_#>-"
_LOOK_BACK = 20  # characters
_COURTESY = frozenset("aunt miss mister mr mrs ms professor uncle".split())
_TITLES = frozenset(
    "aunt baron captain count dame doctor duke father king lady lord madam madame miss mister mrs mother prince "
    "princess professor queen saint san santa sir uncle von van the".split()
)


def parts_of(aliases: Iterable[str | Alias]) -> tuple[str, ...]:
    """The words of the names of two or more words, in small letters and in order. Names that need a second sign give no
    parts, and are none themselves. Words that general prompts hold in small letters, titles, and words that a name has
    in small letters itself ('of') are left out."""
    names = list(aliases)
    doubtful = {name.name.casefold() for name in names if isinstance(name, Alias) and name.match != "word"}
    sure = (name_of(name) for name in names if name_of(name).casefold() not in doubtful)
    parts = {
        word.casefold() for words in map(_WORD.findall, sure) if len(words) > 1 for word in words if _is_name(word)
    }
    return tuple(sorted(word for word in parts - doubtful if _tells(word)))


class PartIndex:
    """Which scopes have a part of a name in a text. Immutable and thread-safe."""

    def __init__(self, parts: Mapping[str, Collection[str]]) -> None:
        """`parts` are those of `parts_of`, by scope."""
        found: dict[str, list[str]] = {}
        for scope, words in parts.items():
            for word in words:
                found.setdefault(word, []).append(scope)
        self._scopes: Mapping[str, Sequence[str]] = found

    def scopes(self, text: str) -> frozenset[str]:
        """The scopes with a part of a name in a text: a word with a capital that is no part of another's name."""
        if not self._scopes:
            return frozenset()
        words = list(_WORD.finditer(text))
        found: set[str] = set()
        for place, word in enumerate(words):
            owners = self._scopes.get(word.group().casefold())
            if owners and _is_name(word.group()) and not self._of_another(text, words, place):
                found.update(owners)
        return frozenset(found)

    def _of_another(self, text: str, words: Sequence[re.Match[str]], place: int) -> bool:
        """Whether the word stands in a longer name with words that are no parts, as in 'Harry S. Truman' or 'Prince
        Harry'. A common word that opens a sentence has its capital for that."""
        word = words[place]
        if place + 1 < len(words):
            after = words[place + 1]
            if _JOINS.fullmatch(text, word.end(), after.start()) and self._is_strange(after.group()):
                return True
        if place == 0:
            return False
        before = words[place - 1]
        if not _JOINS.fullmatch(text, before.end(), word.start()) or not self._is_strange(before.group()):
            return False
        earlier = text[max(0, before.start() - _LOOK_BACK) : before.start()].rstrip(_QUOTES)
        opens = before.start() == 0 or earlier[-1:] in (*".?!:\n", "")
        known = opens and is_known(before.group().lower())
        return not known and before.group().casefold() not in _COURTESY

    def _is_strange(self, word: str) -> bool:
        return word[0].isupper() and word.casefold() not in self._scopes


def _is_name(word: str) -> bool:
    """Whether a word has a capital, or its script has none."""
    return word[0].isupper() or word[0].lower() == word[0].upper()


def _tells(word: str) -> bool:
    return len(word) >= _FEWEST_LETTERS and word not in _TITLES and not is_known(word)
