"""Words spelled so that only a reader understands them: letters apart, backwards, shifted, or digits for letters."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from classifiers.names.vocabulary import is_known, known_share, parted
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = ["joined", "odd_names", "respelled"]

# One or two letters, then the same sort of gap again and again.
_APART = re.compile(r"(?<![^\W_])[^\W_]{1,2}(?:[\W_]{1,4}[^\W_]{1,2}){3,}(?![^\W_])")
_LETTERS = re.compile(r"[^\W_]+")
_COMMON_SHARE = 0.5
_TOKEN = re.compile(r"\S+")
_AROUND = ".,;:!?\"'()[]{}<>“”‘’…*_`#=/\\"
_INNER = re.compile(r"[^A-Za-z0-9@$!|+]+")
_LEET = re.compile(r"[0-9@$!|+€£]")
_LEET_INSIDE = re.compile(r"[A-Za-z][0-9@$!|+€£]+[A-Za-z]|(?<![A-Za-z0-9])[0-9@$|€£][A-Za-z]")
_DIGITS = str.maketrans("4@83€6901|!5$7+2£", "aabeeggoiiisstt" + "zl")
_DIGITS_L = str.maketrans("4@83€6901|!5$7+2£", "aabeeggolllsstt" + "zl")
_A, _Z = "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba"
_SMALL_WORD = 3  # letters of a word that may stand between odd ones
_STRETCH = 3  # odd words in a row that are worth a closer look
_READ_SHARE, _GAIN = 0.45, 0.25
_SAMPLE = 240  # characters that decide how a stretch is to be read
_RUN_TOGETHER = 16  # letters of a word that may be several
_LONGEST_WORD = 60


def _shift(places: int) -> dict[int, int]:
    turned = _A[places:] + _A[:places]
    return str.maketrans(_A + _A.upper(), turned + turned.upper())


_SHIFTS = [_shift(places) for places in range(1, 26)]
_ROT13 = _SHIFTS[12]
_ATBASH = str.maketrans(_A + _A.upper(), _Z + _Z.upper())


def joined(view: View) -> View | None:
    """The view with letters that stand apart put together; None if there are none."""
    edits = [edit for run in _APART.finditer(view.text) if (edit := _together(run))]
    return rewritten(view, "letters apart", edits) if edits else None


def _together(run: re.Match[str]) -> Edit | None:
    groups = list(_LETTERS.finditer(run.group()))
    common = sum(
        is_known(group.group().lower()) if len(group.group()) > 1 else group.group() in "aI" for group in groups
    )
    digits = sum(group.group().isdigit() for group in groups)
    if max(common, digits) > _COMMON_SHARE * len(groups):
        return None
    text: list[str] = []
    starts: list[int] = []
    first: tuple[bool, bool, int] | None = None
    for before, group in zip([None, *groups], groups, strict=False):
        if before is not None:
            gap = run.group()[before.end() : group.start()]
            first = first or _kind(gap)
            if not _is_inner(gap, first):
                text.append(" ")
                starts.append(before.end())
        text += group.group()
        starts += range(group.start(), group.end())
    return Edit(run.start(), _with_gaps("".join(text), starts, len(run.group())))


def _is_word(letters: str) -> bool:
    return letters in "aAI" if len(letters) == 1 else is_known(letters.lower())


def _kind(gap: str) -> tuple[bool, bool, int]:
    return any(map(str.isspace, gap)), not gap.isspace(), len(gap)


def _is_inner(gap: str, first: tuple[bool, bool, int]) -> bool:
    """Whether a gap is of the kind of the first one, which stands inside a word."""
    spaced, other, length = _kind(gap)
    return (spaced, other) == first[:2] and (other or length <= first[2])


def _with_gaps(text: str, starts: Sequence[int], length: int) -> Decoded:
    """Letters without any gap between words are parted into words."""
    if " " in text or len(text) < _RUN_TOGETHER or not text.isascii() or not text.isalpha():
        return Decoded(text, starts, length)
    return _parted(text, starts, length)


def _parted(text: str, starts: Sequence[int], length: int) -> Decoded:
    pieces: list[str] = []
    places: list[int] = []
    cursor = 0
    for word in parted(text.lower()):
        if cursor:
            pieces.append(" ")
            places.append(starts[cursor])
        pieces.append(text[cursor : cursor + len(word)])
        places += starts[cursor : cursor + len(word)]
        cursor += len(word)
    return Decoded("".join(pieces), places, length)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Odd words that follow each other, small words between them: from `start` to `end`; `odd` of them are odd."""

    start: int
    end: int
    odd: int


def _stretches(text: str) -> Iterator[_Stretch]:
    start = end = odd = 0
    for token in _TOKEN.finditer(text):
        word = token.group()
        if _is_odd(word):
            start = token.start() if not odd else start
            end, odd = token.end(), odd + 1
        elif odd and len(word) > _SMALL_WORD:
            yield _Stretch(start, end, odd)
            odd = 0
    if odd:
        yield _Stretch(start, end, odd)


def _is_odd(token: str) -> bool:
    """Whether a token holds letters that are no common word."""
    if not token.isascii() or "://" in token:
        return False
    word = token.strip(_AROUND).lower()
    if len(word) < 3 and not _LEET_INSIDE.search(token):
        return False
    if word.isalpha():
        return not is_known(word)
    return not all(part.isdigit() or len(part) < 2 or is_known(part) for part in _INNER.split(word)) or bool(
        _LEET_INSIDE.search(word)
    )


def respelled(view: View) -> View | None:
    """The view with stretches of odd words read in the way that makes them English; None if no way does."""
    edits = [edit for stretch in _stretches(view.text) if (edit := _read(view.text, stretch))]
    return rewritten(view, "respelled", edits) if edits else None


def _read(text: str, stretch: _Stretch) -> Edit | None:
    source = text[stretch.start : stretch.end]
    if stretch.odd < _STRETCH:
        return _run_together(source, stretch.start) if stretch.odd == 1 else None
    sample = source[:_SAMPLE]
    before = known_share(sample)
    share, best = max(((known_share(change(sample)), number) for number, change in enumerate(_CHANGES)))
    if share < _READ_SHARE or share < before + _GAIN:
        return None
    said, starts = _CHANGES[best](source), range(len(source))
    if best == 0:
        return Edit(stretch.start, Decoded(said, starts[::-1], len(source)))
    return Edit(stretch.start, Decoded(said, starts, len(source)))


def _run_together(source: str, start: int) -> Edit | None:
    if len(source) < _RUN_TOGETHER or not source.rstrip("?!.").isalpha() or not source.isascii():
        return None
    letters = source.rstrip("?!.")
    said = _parted(letters, range(len(letters)), len(letters))
    return Edit(start, said) if known_share(said.text) > _READ_SHARE else None


def _reversed(text: str) -> str:
    return text[::-1]


def _each_reversed(text: str) -> str:
    return _LETTERS.sub(lambda word: word.group()[::-1], text)


def _translated(table: dict[int, int]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


_CHANGES: Sequence[Callable[[str], str]] = (
    _reversed,
    _each_reversed,
    *map(_translated, (_DIGITS, _DIGITS_L, _ATBASH, *_SHIFTS)),
)


def odd_names(view: View) -> View | None:
    """Every stretch of odd words, spelled in the ways that hide a name; None if there are no odd words."""
    lines: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for stretch in _stretches(view.text):
        source = view.text[stretch.start : stretch.end].strip(_AROUND)
        if len(source) > _LONGEST_WORD * stretch.odd:
            continue
        start, end = view.source_range(stretch.start, stretch.end)
        for variant in dict.fromkeys(_variants(source)):
            lines.append(variant)
            starts += [start] * (len(variant) + 1)
            ends += [end] * (len(variant) + 1)
    if not lines:
        return None
    return View("odd words", "\n".join(lines) + "\n", starts, ends, names_alone=True)


def _variants(source: str) -> Iterator[str]:
    yield source[::-1]
    if " " in source:
        yield _each_reversed(source)
    yield source.translate(_ROT13)
    bare = _INNER.sub("", source)
    if bare != source:
        yield bare
        yield " ".join(_INNER.sub("", token) for token in source.split())
    if _LEET.search(source):
        yield source.translate(_DIGITS)
        yield source.translate(_DIGITS_L)
    if source.lower().endswith("ay"):
        yield from _pig_latin(source)


def _pig_latin(source: str) -> Iterator[str]:
    """The first consonants of each word stand behind it, before 'ay'."""
    for moved in (1, 2):
        yield " ".join(
            word[-2 - moved : -2] + word[: -2 - moved] if word.lower().endswith("ay") else word
            for word in source.split()
        )
