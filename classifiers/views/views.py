"""Other ways to read a text: what an attacker wrote so that a reader understands it and a detector does not.

A text that is written plainly has no view beside its odd words, and looking for one takes less than a microsecond a
character. The work is bounded: `_MOST_TIMES` the characters of the text, and what was decoded is decoded once more and
no further.
"""

import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from classifiers.views.arithmetic import computed
from classifiers.views.by_ear import by_ear
from classifiers.views.capitalised import capitalised_names
from classifiers.views.cells import in_cells
from classifiers.views.concatenation import concatenated
from classifiers.views.corrected import corrected
from classifiers.views.cut import uncut
from classifiers.views.decoders import BASE64, CODES, ESCAPES, HEX, HIDDEN, PACKED
from classifiers.views.fillers import without_fillers
from classifiers.views.folding import confusables, folded
from classifiers.views.instructed import instructed
from classifiers.views.keyed import keyed
from classifiers.views.legend import by_legend
from classifiers.views.looks import fancy_names
from classifiers.views.numbers import numbered, numbered_names
from classifiers.views.odd_words import odd_names
from classifiers.views.picked import picked_letters, picked_words
from classifiers.views.pieces import in_pieces
from classifiers.views.radix import as_one_number
from classifiers.views.reading import Decoder
from classifiers.views.spelled import in_columns, spelled
from classifiers.views.spelling import joined, respelled
from classifiers.views.transposed import transposed, transposed_names
from classifiers.views.turned import backwards, rot47, upside_down
from classifiers.views.view import Decoded, Edit, View, plain, rewritten

__all__ = ["View", "views", "warm_up"]

_MOST_TIMES = 8
_LEAST_CHARACTERS = 4_000
_DEPTH = 2
_MOST_LAYERS, _LEAST_LAYER = 6, 12  # codes in codes that hold nothing else; characters of one
_LAYER = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
# A run of some code: digits, both cases in one word, capitals, signs in a row, or characters beyond ASCII.
_CODED = re.compile(
    r"\d[\d\W_]{0,3}[\dA-Fa-f]|\d\D{1,16}\d{1,4}\D{1,16}\d{1,4}\D{1,16}\d"
    r"|[a-z][A-Z]|[A-Z]{2}[a-z]|[a-zA-Z]\d|[A-Z]{8}|[.\-_]\s?[.\-_]\s|[A-Z0-9][%&<>=@;#$^*+?|~]{1,2}[A-Z0-9]"
    r"|[ABab]{5}[\s,/|-]{1,3}[ABab]{5}|(?<!\w)\w(?:[\W_]{1,2}\w){3}(?!\w)|[^\x00-\x7f]"
)
_LONG_RUN = re.compile(r"[!-~]{16}|(?:[0-9A-Fa-f]{2}[ ,:]){8}")
_ESCAPED = re.compile(r"[%\\&]|[Uu]\+")


@lru_cache(maxsize=1)
def warm_up() -> None:
    """Reads the tables that views need, so that no text waits for a disk."""
    confusables()
    views("Qu1te s.t.r.a.n.g.e \u1d1b\u1d07x\u1d1b, \u041ertb SGVsbG8h xqzrw vwpk")


def views(text: str, *, cut: bool = True) -> list[View]:
    """The views of a text that differ from it, the ones first that explain most. Each stands for the whole text.

    Args:
        text: any text.
        cut: whether words that are cut in parts are put together, and what only a whole text can say is read: of a
            request, not of an answer that goes on.
    """
    left = _MOST_TIMES * len(text) + _LEAST_CHARACTERS
    found: list[View] = []
    seen = {text}
    for view in _views(plain(text), _DEPTH, cut=cut):
        if view.text in seen or not view.text.strip():
            continue
        if len(view.text) > left:
            if view.names_alone:
                continue
            break
        left -= len(view.text)
        seen.add(view.text)
        found.append(view)
    return found


def _views(view: View, depth: int, *, cut: bool) -> Iterator[View]:
    """A view that is found is read once more: other letters in base64, or base64 in base64. What is made of it differs
    from it."""
    for change in (*_CHANGES, *_CHANGES_OF_REQUESTS) if cut else _CHANGES:
        found = change(view)
        if found:
            yield found
            if depth > 1:
                yield from _views(replace(found, changed=()), depth - 1, cut=cut)
    yield from odd_names(view)
    yield from fancy_names(view)
    for change in (corrected, numbered_names, in_columns, in_pieces, in_cells, computed, by_legend, capitalised_names):
        if found := change(view):
            yield found
    if cut:
        yield from uncut(view)
        yield from _in_words(view)


def _in_words(view: View) -> Iterator[View]:
    """What a reader understands by words: fillers that are skipped, and instructions that are followed."""
    for change in (without_fillers, instructed, picked_letters, transposed_names):
        if found := change(view):
            yield found
    yield from by_ear(view)
    yield from picked_words(view)
    yield from keyed(view)


def _bare(view: View) -> View | None:
    """Plain letters, and none of them apart."""
    latin = folded(view)
    return joined(latin or view) or latin


def _decoded(view: View) -> View | None:
    """Every run of some code by what it says."""
    runs: list[Edit] = []
    if not view.text.isascii():
        runs += _runs(view.text, HIDDEN)
    if _ESCAPED.search(view.text):
        runs += _runs(view.text, (ESCAPES,))
    if _LONG_RUN.search(view.text):
        runs += _runs(view.text, PACKED)
    if _CODED.search(view.text):
        runs += _runs(view.text, CODES)
    return rewritten(view, "decoded", _apart(runs)) if runs else None


def _runs(text: str, decoders: tuple[Decoder, ...]) -> Iterator[Edit]:
    for decoder in decoders:
        for run in decoder.pattern.finditer(text):
            decoded = decoder.decode(run.group())
            if decoded and decoded.text != run.group()[: decoded.length]:
                yield Edit(run.start(), _deepest(decoded))


def _deepest(decoded: Decoded) -> Decoded:
    """What a code says that is nothing but a code, and so on."""
    for _ in range(_MOST_LAYERS):
        text = decoded.text.strip()
        if len(text) < _LEAST_LAYER or not _LAYER.fullmatch(text):
            return decoded
        said = next((one for coded in (HEX, BASE64) if (one := _whole(coded, text))), None)
        if said is None:
            return decoded
        first = decoded.text.index(text)
        decoded = Decoded(said.text, [decoded.starts[first + start] for start in said.starts], decoded.length)
    return decoded


def _whole(decoder: Decoder, text: str) -> Decoded | None:
    said = decoder.decode(text) if decoder.pattern.fullmatch(text) else None
    return said if said and said.length == len(text) else None


def _apart(edits: list[Edit]) -> list[Edit]:
    """Edits that do not overlap, in order: of those that do, the one that explains most of the text."""
    kept: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (-edit.decoded.length, edit.start)):
        at = bisect(kept, edit.start, key=_start)
        if (at == 0 or kept[at - 1].end <= edit.start) and (at == len(kept) or edit.end <= kept[at].start):
            kept.insert(at, edit)
    return kept


def _start(edit: Edit) -> int:
    return edit.start


_CHANGES = (_decoded, backwards, upside_down, rot47, spelled, numbered, _bare, respelled, concatenated)
# Of an answer that goes on nobody knows yet how long the number, or the fence, will be.
_CHANGES_OF_REQUESTS = (as_one_number, transposed)
