"""Names of a scope, found as whole words in one pass over the text, however many scopes there are."""

import re
from collections.abc import Iterable, Mapping, Sequence

import ahocorasick

from classifiers.names.text import normalise
from classifiers.types import Span, Verdict

__all__ = ["LexicalDetector", "alias_forms"]

_CAPITALS = re.compile(r"\b[A-Z]{2,3}\b")


class LexicalDetector:
    """Aho-Corasick automaton (Aho & Corasick 1975) over the aliases of all scopes."""

    name = "lexical"

    def __init__(self, aliases: Mapping[str, Sequence[str]]) -> None:
        """`aliases` maps a scope's id to its names. An alias without any letter or digit is a ValueError."""
        owners: dict[str, set[str]] = {}
        for scope, names in aliases.items():
            for name in names:
                for form in alias_forms(name):
                    owners.setdefault(form, set()).add(scope)
        self._automaton = _automaton(owners)

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """Verdicts of the scopes whose aliases occur; spans merged where aliases overlap."""
        return [self._detect_one(text) for text in texts]

    def _detect_one(self, text: str) -> list[Verdict]:
        if self._automaton is None:
            return []
        normalised = normalise(text)
        found: dict[str, list[tuple[int, int]]] = {}
        for last, (form, scopes) in self._automaton.iter(normalised.text):
            # the form carries a space on either side: they make it a whole word and are no part of the span
            source = normalised.source_range(last - len(form) + 2, last)
            for scope in scopes:
                found.setdefault(scope, []).append(source)
        return [
            Verdict(scope, self.name, 1.0, 0.5, True, tuple(Span(0, a, b) for a, b in _merged(ranges)))
            for scope, ranges in sorted(found.items())
        ]


def alias_forms(alias: str) -> frozenset[str]:
    """The spellings that count as this alias: as given, initials joined ('jk rowling')
    and parted, plural, words joined.

    Raises ValueError for an alias of which normalisation leaves nothing.
    """
    words = normalise(alias).text.split()
    if not words:
        raise ValueError(f"alias {alias!r} has no letter or digit; remove it from the scope file")
    spaced = [words, _initials_joined(words), _initials_parted(alias)]
    forms = {" ".join(form) for form in spaced}
    if len(words) > 1:
        forms |= {"".join(words)}
    if len(words[-1]) > 3 and not words[-1].endswith("s"):
        forms |= {f"{form}s" for form in tuple(forms)}
    return frozenset(f" {form} " for form in forms)


def _initials_joined(words: Sequence[str]) -> list[str]:
    joined: list[str] = []
    previous_is_initial = False
    for word in words:
        is_initial = len(word) == 1 and word.isalpha()
        if is_initial and previous_is_initial:
            joined[-1] += word
        else:
            joined.append(word)
        previous_is_initial = is_initial
    return joined


def _initials_parted(alias: str) -> list[str]:
    """'JK Rowling' as 'j k rowling'; words of two or three capitals are taken for initials."""
    parted = _CAPITALS.sub(lambda match: " ".join(match.group()), alias)
    return normalise(parted).text.split()


def _automaton(owners: Mapping[str, set[str]]) -> "ahocorasick.Automaton | None":
    if not owners:
        return None
    automaton = ahocorasick.Automaton()
    for form, scopes in owners.items():
        automaton.add_word(form, (form, tuple(sorted(scopes))))
    automaton.make_automaton()
    return automaton


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
