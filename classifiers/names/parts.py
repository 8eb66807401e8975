"""Words of a scope's names, such as 'Ron' of 'Ron Weasley': alone they say little, beside a learned score a lot."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from classifiers.names.ordinary import Alias, name_of
from classifiers.names.vocabulary import is_known

__all__ = ["PartIndex", "parts_of"]

_WORD = re.compile(r"[^\W\d_]+")
_FEWEST_LETTERS = 3
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
        """The scopes with a part of a name in a text. It must have a capital, unless nothing in the text has one."""
        if not self._scopes:
            return frozenset()
        plain = text == text.lower()
        words = {word.casefold() for word in _WORD.findall(text) if plain or _is_name(word)}
        return frozenset(scope for word in words & self._scopes.keys() for scope in self._scopes[word])


def _is_name(word: str) -> bool:
    """Whether a word has a capital, or its script has none."""
    return word[0].isupper() or word[0].lower() == word[0].upper()


def _tells(word: str) -> bool:
    return len(word) >= _FEWEST_LETTERS and word not in _TITLES and not is_known(word)
