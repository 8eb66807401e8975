"""Names in pieces: quoted strings that are put together, and variables that hold them."""

import re
from itertools import islice

from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["concatenated"]

# In these patterns a gap can be read in one way: a long one must not be tried in all.
_SAID = r"(?:and\s)?then|(?:immediately\s)?followed by|plus|(?:joined|concatenated) (?:to|with)|next to"
_JOINT = re.compile(
    rf"([\"'`])(\s*(?:(?:\+|\.\.|\.|&|\|\||<>|~|\\|(?<=\s)(?:{_SAID}))\s*)?)([\"'`])(?=[\w ])", re.IGNORECASE
)
_VARIABLE = re.compile(
    r"(?<![\w.])\$?([A-Za-z_]\w{0,20})\s*(?::=|=|:|\bis\b|\bbe\b)\s*(?:\"([^\"\n]{1,80})\"|'([^'\n]{1,80})'|`([^`\n]{1,80})`)"
)
_LEAST_VARIABLES = 2
_MOST_VARIABLES = 64
_INSIDE = r"(?:(?<=\w)[$#]?{{{{1,2}}|[$#]?{{{{1,2}}(?=\w+}}{{1,2}}\w))({names})}}{{1,2}}"
_USE = (
    r"[{{$ ]{{0,8}}\b(?:{names})\b}}?"
    r"(?:\s*(?:(?:\+|\.\.|\.|&|,|~|and|then|plus)\s*)?(?:[{{$][{{$ ]*)?\b(?:{names})\b}}?)+"
)


def concatenated(view: View) -> View | None:
    """The view with strings joined and variables replaced by what they hold; None if there are none."""
    if not any(quote in view.text for quote in "\"'`"):
        return None
    found = _strings_joined(view)
    return _variables_filled(found or view) or found


def _strings_joined(view: View) -> View | None:
    """'Har' + 'ry' as 'Harry'."""
    edits = [
        Edit(joint.start(), Decoded("", (), joint.end() - joint.start()))
        for joint in _JOINT.finditer(view.text)
        if joint.group(1) == joint.group(3) and joint.start() > 0 and joint.group(2)
    ]
    return rewritten(view, "strings joined", edits) if edits else None


def _variables_filled(view: View) -> View | None:
    """Each row of variables as the values in a row, with the places of the names of the variables."""
    values: dict[str, str] = {}
    for assigned in islice(_VARIABLE.finditer(view.text), _MOST_VARIABLES):
        values[assigned.group(1)] = assigned.group(2) or assigned.group(3) or assigned.group(4)
    if len(values) < _LEAST_VARIABLES:
        return None
    names = "|".join(re.escape(name) for name in values)
    edits = [
        _put_in(use, values)
        for use in re.finditer(_INSIDE.format(names=names), view.text)
    ]  # fmt: skip
    edits = edits or [_filled(use, values) for use in re.finditer(_USE.format(names=names), view.text)]
    if not edits:  # it says in words how to join them
        edits = [_appended(view.text, values)]
    return rewritten(view, "variables", edits)


def _put_in(use: re.Match[str], values: dict[str, str]) -> Edit:
    """A variable in braces that touches a word: f"H{x}y"."""
    value = values[use.group(1)]
    return Edit(use.start(), Decoded(value, [0] * len(value), len(use.group())))


def _filled(use: re.Match[str], values: dict[str, str]) -> Edit:
    text: list[str] = [" "]
    starts: list[int] = [0]
    for name in re.finditer(r"\w+", use.group()):
        value = values.get(name.group(), "")
        text.append(value)
        starts += [name.start()] * len(value)
    text.append(" ")
    starts.append(len(use.group()) - 1)
    return Edit(use.start(), Decoded("".join(text), starts, len(use.group())))


def _appended(text: str, values: dict[str, str]) -> Edit:
    last = len(text) - 1
    said = f"{text[last]}\n{''.join(values.values())}"
    return Edit(last, Decoded(said, [0] * len(said), 1))
