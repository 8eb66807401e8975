"""Words spelled so that only a reader understands them: letters apart, backwards, shifted, or digits for letters."""

import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from classifiers.names.vocabulary import common_pairs, is_known, known_share, parted
from classifiers.views.drawn import holds_drawn
from classifiers.views.view import Decoded, Edit, View, rewritten

__all__ = [
    "AROUND",
    "ATBASH",
    "INNER",
    "KEYS_BESIDE",
    "LEET",
    "LEET_L",
    "SHIFTS",
    "SIGNS_BESIDE",
    "each_reversed",
    "is_small_word",
    "joined",
    "letters_apart",
    "respelled",
    "stretches",
]

# One or two letters again and again: with signs between them, with spaces, or with both, as in a list.
_PART = r"[^\W\d_]{1,2}"
_APART = re.compile(
    rf"(?<![^\W_]){_PART}(?:(?:"
    rf"(?:(?!['’][^\W\d_])(?:[^\w\s]|_){{1,4}}{_PART}){{2,}}"
    rf"|(?:\s{{1,4}}{_PART}){{2,}}"
    # each gap can be read in one way: in two, a run that fails would be tried in 2^n
    rf"|(?:(?:[^\w\s]{{1,4}}\s?|[^\w\s]{{0,2}}\s[^\w\s]{{1,2}}\s?){_PART}){{3,}}"
    # short words in front end before letters that stand apart by other signs
    r")(?![^\W_]|(?!['’]s(?![^\W_]))(?:[^\w\s]|_){1,2}[^\W\d_](?![^\W_]))"
    # a long run that ends nowhere is skipped but for its end: else it would be tried from each of its letters
    rf"|(?P<endless>(?:(?:[^\w\s]|_){{1,4}}{_PART}){{50,}})(?=(?:(?:[^\w\s]|_){{1,4}}{_PART}){{8}}))"
)
_SHORT_APART = re.compile(r"(?<![^\s])[^\W\d_](?:(?:[^\w\s]|_){1,4}[^\W\d_]){1,2}(?![^\W_])")
_LETTERS = re.compile(r"[^\W_]+")
_FEWEST_PARTS = 3
_SHORT_WORDS = frozenset(
    "am an as at be by do go he hi if in is it me mr ms my no of oh ok on or pm re so to up us vs we".split()
)
_SINGLE_WORDS = ("a", "A", "I")
_COMMON_SHARE = 0.5
_TOKEN = re.compile(r"\S+")
# Six words or more as one identifier: in snake, kebab, dotted or camel case.
_GLUED = re.compile(
    r"(?<![^\W_])(?:[^\W\d_]{1,20}+(?:(?P<by>[_\-.+/])[^\W\d_]{1,20}+)(?:(?P=by)[^\W\d_]{1,20}+){4,}+"
    r"|[A-Za-z][a-z]{0,20}+(?:[AI]?[A-Z][a-z]{1,20}+){5,}+)(?![^\W\d_])"
)
_LETTERS_A_WORD = 3  # of identifiers, the space behind it with them; letters that stand apart have two
_WORD_OF_GLUED = re.compile(r"[A-Z]++(?![^\W\d_A-Z])|[AI](?=[A-Z])|[A-Z]?[^\W\d_A-Z]++|[A-Z]")
AROUND = ".,;:!?\"'()[]{}<>“”‘’…*_`#=/\\"
INNER = re.compile(r"[^A-Za-z0-9@$!|+]+")
_LEET_INSIDE = re.compile(r"[A-Za-z][0-9@$!|+€£]+[A-Za-z]|(?<![A-Za-z0-9])[0-9@$|€£][A-Za-z]")
LEET = str.maketrans("4@83€6901|!5$7+2£", "aabeeggoiiisstt" + "zl")
LEET_L = str.maketrans("4@83€6901|!5$7+2£", "aabeeggolllsstt" + "zl")
_KEYS, _KEYS_AND_SIGNS = "qwertyuiop asdfghjkl zxcvbnm", "qwertyuiop[ asdfghjkl; zxcvbnm,"
_A, _Z = "abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba"
_REMEMBERED_LETTERS = 24  # of a token: longer ones hardly come again
_SAME_TEXT = 8  # texts: several views of one look at the same
_SMALL_WORD = 3  # letters of a word that may stand between odd ones
_STRETCH = 3  # odd words in a row that are worth a closer look
_READ_SHARE, _GAIN = 0.45, 0.25
_SAMPLE = 240  # characters that decide how a stretch is to be read
_RUN_TOGETHER, _JOINED_LETTERS = 16, 10  # letters of a word that may be several; of one whose letters stood apart


def _beside(keys: str, step: int) -> dict[int, int]:
    """The keys beside those that were hit, as by hands that lie one key off."""
    turned = " ".join(row[step:] + row[:step] for row in keys.split())
    return str.maketrans(keys + keys.upper(), turned + turned.upper())


def _shift(places: int) -> dict[int, int]:
    turned = _A[places:] + _A[:places]
    return str.maketrans(_A + _A.upper(), turned + turned.upper())


SHIFTS = [_shift(places) for places in range(1, 26)]
KEYS_BESIDE = (_beside(_KEYS, 1), _beside(_KEYS, -1))
SIGNS_BESIDE = _beside(_KEYS_AND_SIGNS, -1)  # hands that lie to the right hit signs, too
ATBASH = str.maketrans(_A + _A.upper(), _Z + _Z.upper())


def joined(view: View) -> View | None:
    """The view with letters that stand apart put together; None if there are none."""
    edits = [edit for run in _runs_apart(view.text) if (edit := _together(run))]
    if not edits:
        return None
    every = [*edits, *_short_words(view.text, edits)]
    return rewritten(view, "letters apart", sorted(every, key=lambda edit: edit.start))


@lru_cache(maxsize=_SAME_TEXT)
def _runs_apart(text: str) -> tuple[re.Match[str], ...]:
    return tuple(run for run in _APART.finditer(text) if not run["endless"])


def _short_words(text: str, taken: Sequence[Edit]) -> Iterator[Edit]:
    """Words of two or three letters with signs between them, where longer ones are written so, too."""
    ends = [edit.end for edit in taken]
    for run in _SHORT_APART.finditer(text):
        next_one = bisect(ends, run.start())
        if next_one == len(taken) or run.end() <= taken[next_one].start:
            letters = [(place, letter) for place, letter in enumerate(run.group()) if letter.isalpha()]
            said = "".join(letter for _, letter in letters)
            yield Edit(run.start(), Decoded(said, [place for place, _ in letters], len(run.group())))


def _together(run: re.Match[str]) -> Edit | None:
    """The letters of a run without their gaps; a gap that is wider than the others parts words."""
    groups = _without_words(list(_LETTERS.finditer(run.group())))
    letters = sum(len(group.group()) for group in groups)
    if len(groups) < _FEWEST_PARTS or letters <= _FEWEST_PARTS or _are_words(groups):
        return None
    first, last = groups[0].start(), groups[-1].end()
    gaps = [after.start() - before.end() for before, after in pairwise(groups)]
    inner = sorted(gaps)[len(gaps) // 2]
    text, starts = groups[0].group(), [*range(*groups[0].span())]
    for gap, group in zip(gaps, groups[1:], strict=True):
        if gap > inner and run.group()[group.start() - 1].isspace():
            text += " "
            starts.append(group.start() - 1)
        text += group.group()
        starts += range(*group.span())
    return Edit(run.start() + first, _with_gaps(text, [start - first for start in starts], last - first))


def letters_apart(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Where letters stand apart (start, end), and what they may be without the gaps: with the short words around them,
    and without."""
    for run in _runs_apart(text):
        groups = list(_LETTERS.finditer(run.group()))
        if not all(_is_word(group.group()) or group.group() in _SINGLE_WORDS for group in groups):
            said = ("".join(group.group() for group in some) for some in (groups, _without_words(groups)))
            yield run.start(), run.end(), tuple(dict.fromkeys(said))


def _without_words(groups: list[re.Match[str]]) -> list[re.Match[str]]:
    """Without the short words around letters that stand apart: 'is' and 'of' are words."""
    start, end = 0, len(groups)
    while start < end and _is_word(groups[start].group()):
        start += 1
    while end > start and _is_word(groups[end - 1].group()):
        end -= 1
    return groups[start:end]


def _are_words(groups: Sequence[re.Match[str]]) -> bool:
    words = sum(_is_word(group.group()) or group.group() in _SINGLE_WORDS for group in groups)
    return words > _COMMON_SHARE * len(groups)


def _is_word(letters: str) -> bool:
    return letters.lower() in _SHORT_WORDS


def is_small_word(letters: str) -> bool:
    """Whether letters are a word of one or two letters that English prose is full of."""
    return len(letters) == 1 or _is_word(letters)


def _with_gaps(text: str, starts: Sequence[int], length: int) -> Decoded:
    """Letters without any gap between words are parted into words."""
    found: list[str] = []
    places: list[int] = []
    cursor = 0
    for word in text.split(" "):
        if cursor:
            found.append(" ")
            places.append(starts[cursor - 1])
        own = starts[cursor : cursor + len(word)]
        together = len(word) >= _JOINED_LETTERS and word.isascii() and word.isalpha()
        said = _parted(word, own, length) if together else Decoded(word, own, length)
        found.append(said.text)
        places += said.starts
        cursor += len(word) + 1
    return Decoded("".join(found), places, length)


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
class Stretch:
    """Odd words that follow each other, small words between them: from `start` to `end`; `odd` of them are odd."""

    start: int
    end: int
    odd: int


@lru_cache(maxsize=_SAME_TEXT)
def stretches(text: str) -> tuple[Stretch, ...]:
    """The stretches of a text, in order."""
    return tuple(_stretches(text))


def _stretches(text: str) -> Iterator[Stretch]:
    start = end = odd = 0
    for token in _TOKEN.finditer(text):
        word = token.group()
        if _is_odd(word):
            start = token.start() if not odd else start
            end, odd = token.end(), odd + 1
        elif odd and len(word) > _SMALL_WORD:
            yield Stretch(start, end, odd)
            odd = 0
    if odd:
        yield Stretch(start, end, odd)


def _is_odd(token: str) -> bool:
    """Whether a token holds letters that are no common word."""
    return _is_odd_word(token) if len(token) <= _REMEMBERED_LETTERS else _holds_odd_letters(token)


@lru_cache(maxsize=65536)
def _is_odd_word(token: str) -> bool:
    return _holds_odd_letters(token)


def _holds_odd_letters(token: str) -> bool:
    if not token.isascii() or "://" in token:
        return False
    if holds_drawn(token):
        return True
    word = token.strip(AROUND).lower()
    if len(word) < 3 and not _LEET_INSIDE.search(token):
        return False
    if word.isalpha():
        return not is_known(word)
    return not all(part.isdigit() or len(part) < 2 or is_known(part) for part in INNER.split(word)) or bool(
        _LEET_INSIDE.search(word)
    )


def respelled(view: View) -> View | None:
    """The view with stretches of odd words read in the way that makes them English; None if no way does."""
    edits = [edit for run in _GLUED.finditer(view.text) if (edit := _unglued(run))]
    ends = [edit.end for edit in edits]
    for stretch in stretches(view.text):
        next_one = bisect(ends, stretch.start)
        free = next_one == len(ends) or stretch.end <= edits[next_one].start
        if free and (edit := _read(view.text, stretch)):
            edits.append(edit)
    return rewritten(view, "respelled", sorted(edits, key=lambda edit: edit.start)) if edits else None


def _unglued(run: re.Match[str]) -> Edit | None:
    """The words of an identifier, with a space in front of each but the first; None if they are letters apart."""
    said: list[str] = []
    starts: list[int] = []
    for word in _WORD_OF_GLUED.finditer(run.group()):
        if said:
            said.append(" ")
            starts.append(word.start() - 1)
        said.append(word.group())
        starts += range(*word.span())
    if len(starts) < _LETTERS_A_WORD * len(said) / 2:
        return None
    return Edit(run.start(), Decoded("".join(said), starts, len(run.group())))


def _read(text: str, stretch: Stretch) -> Edit | None:
    source = text[stretch.start : stretch.end]
    if stretch.odd < _STRETCH:
        return _run_together(source, stretch.start) if stretch.odd == 1 else None
    sample = source[:_SAMPLE]
    before = known_share(sample)
    read = [change(sample) for change in _CHANGES]
    shares = [known_share(said) for said in read]
    best = max(range(len(read)), key=lambda number: (round(shares[number], 2), common_pairs(read[number])))
    share = shares[best]
    if share < _READ_SHARE or share < before + _GAIN:
        return None
    said = _CHANGES[best](source)
    starts: Sequence[int] = range(len(source))
    if best == 0:
        starts = starts[::-1]
    elif len(said) < len(source):
        starts = _THINNED[best - len(_CHANGES)](source)
    return Edit(stretch.start, Decoded(said, starts, len(source)))


def _run_together(source: str, start: int) -> Edit | None:
    if len(source) < _RUN_TOGETHER or not source.rstrip("?!.").isalpha() or not source.isascii():
        return None
    letters = source.rstrip("?!.")
    said = _parted(letters, range(len(letters)), len(letters))
    return Edit(start, said) if known_share(said.text) > _READ_SHARE else None


def _reversed(text: str) -> str:
    return text[::-1]


def each_reversed(text: str) -> str:
    return _LETTERS.sub(lambda word: word.group()[::-1], text)


def _translated(table: dict[int, int]) -> Callable[[str], str]:
    return lambda text: text.translate(table)


def _half_of_each_word(text: str) -> list[int]:
    return [place for word in _TOKEN.finditer(text + " ") for place in (*range(*word.span(), 2), word.end())][:-1]


# Which characters stay of a text whose others were put between.
_THINNED: Sequence[Callable[[str], Sequence[int]]] = (
    lambda text: range(0, len(text), 2),
    lambda text: range(1, len(text), 2),
    _half_of_each_word,
)


def _kept(places: Callable[[str], Sequence[int]]) -> Callable[[str], str]:
    return lambda text: "".join(text[place] for place in places(text))


_CHANGES: Sequence[Callable[[str], str]] = (
    _reversed,
    each_reversed,
    *map(_translated, (LEET, LEET_L, ATBASH, *KEYS_BESIDE, *SHIFTS)),
    *(_kept(places) for places in _THINNED),
)
