"""Signs that a text says to read as letters: '🍎=a, 🏠=h', '1 -> e'. For the detector of names alone."""

import re

from classifiers.views.lines import lines
from classifiers.views.view import View

__all__ = ["by_legend"]

_ENTRY = re.compile(
    r"(?<![^\s,;:.()\[{\"'“‘])(?:(?P<sign>[^\w\s,;:.()\[\]{}\"'“”‘’=]{1,3}|\d{1,2}|[^\W_])\s?"
    r"(?:=|->|→|⇒|:|means|stands for|is)\s?[\"'“‘]?(?P<letter>[A-Za-z]{1,3})(?![^\W_]))"
)
_FEWEST, _MOST = 2, 80  # entries
_TOKEN = re.compile(r"\S+")
_LEAST, _LONGEST = 4, 400  # letters; characters of a run


def by_legend(view: View) -> View | None:
    """The words that hold signs of a legend, with its letters in their place; None if there is no legend."""
    entries = {found["sign"]: found["letter"] for found in list(_ENTRY.finditer(view.text))[:_MOST]}
    entries = {sign: letter for sign, letter in entries.items() if sign.lower() != letter.lower()}
    if len(entries) < _FEWEST:
        return None
    signs = re.compile("|".join(re.escape(sign) for sign in sorted(entries, key=len, reverse=True)))
    rows = []
    words: list[re.Match[str]] = []
    for token in [*_TOKEN.finditer(view.text), None]:
        if token and signs.search(token.group()) and not _ENTRY.match(view.text, token.start()):
            words.append(token)
        elif words:
            said = signs.sub(lambda sign: entries[sign.group()], " ".join(word.group() for word in words))
            if len(said) >= _LEAST:
                rows.append((words[0].start(), words[-1].end(), (said[:_LONGEST],)))
            words = []
    return lines(view, "legend", rows) if rows else None
