"""Names, facts and passages inside codes (base64, hexadecimal, Morse ...) and odd letters, in a text that goes on.

A run that may be a code is decoded from its beginning, again and again while it goes on; so of a name in a code at most
the first characters are sent by which the code is known as one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from classifiers.leaks.disguises import Glance, glance_at, together
from classifiers.leaks.leak import Leak
from classifiers.leaks.named import LEAST_LETTERS
from classifiers.names.aliases import LexicalDetector
from classifiers.names.boundaries import Letters
from classifiers.names.prose import Prose
from classifiers.views.spelled import SPELLING
from classifiers.views.views import views

ReadWords = Callable[..., tuple[Leak | None, int]]
__all__ = ["CodeReader", "ends_plainly", "run_from"]

_CODE_CHARACTERS = 4  # so many characters of a code say one character at most: the last of them may not be there yet
_LONG_PIECE = 12  # characters; a token is shorter
# Of a code only the end is read again, from a multiple of what any code (and one within another) takes for a character.
_RUN_CHARS, _RUN_STEP = 288, 144
_LOOK_CHARS = 2_048  # at the end of a text that are searched for a run: a search takes quadratic time
_STEPS = 6  # a long run is read anew when a sixth of it is new; the new part waits
_GROUPS = (4, 5, 6, 8)  # characters of base64 that stand together
# What may be the beginning of a code, or of odd letters, at the end of a text. From one place nothing is tried twice.
_MIXED = r"(?:[a-z][A-Z]|[A-Z]{2}[a-z]|\d[A-Za-z]|[A-Za-z]\d)"
_RUNS = tuple(
    re.compile(pattern + r"\Z")
    for pattern in (
        r"(?<![^\W_])(?:[^\W_]{1,2}+(?:[^\w]|_){1,4}+){2,}+(?:[^\W_]{1,2}+)?",
        r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/=_-]{6,}+",
        r"(?<![A-Za-z0-9])(?:(?:0x|\\x?|[%=$])?+[0-9A-Fa-f]{2}h?+[ ,:;|/.\n-]{0,2}+){2,}+"
        r"(?:0x?|\\x?|[%=$])?+[0-9A-Fa-f]?",
        r"(?<!\d)(?:(?:0o)?+\d{1,8}+[ ,;|/_.\n-]{1,2}+){2,}+(?:0o)?+\d{0,8}+",
        r"(?<![A-Za-z])(?:[A-Za-z]{3,8}+\(\s?+(?:0x)?+[0-9A-Fa-f]{2,3}\)[\s+&|.,;]{0,5}+)++"
        r"[A-Za-z]{0,8}+\(?+[0-9A-Fa-fx]{0,5}+",
        r"(?<![A-Za-z])(?:[ABab]{5}[ ,/|-]{1,2}+){2,}+[ABab]{0,5}+",
        r"(?<!\d)[01]{8,}+",
        r"(?<![\w.-])(?:[.\-·•∙․–—_−‒]{1,5}+[ /|]{1,3}+){2,}+[.\-·•∙․–—_−‒]{0,5}+",
        r"(?:\\u\{?+[0-9A-Fa-f]*+\}?+|\\x[0-9A-Fa-f]*+|&#?+[0-9A-Za-z]*+;?+|%[0-9A-Fa-f]*+"
        r"|[Uu]\+[0-9A-Fa-f]*+[, ]{0,2}+)++[\\Uu]?+",
        r"(?<!\S)\S*[^\x00-\u017f\u2010-\u2027]\S*\s?+",
        *(
            rf"(?<![A-Za-z0-9+/=])(?=[A-Za-z]{{0,{width - 2}}}{_MIXED})"
            rf"(?:[A-Za-z0-9+/]{{{width}}}[ \n])++[A-Za-z0-9+/=]{{0,{width}}}+[ \n]?+"
            for width in _GROUPS
        ),
        r"(?<![^\s\"'`(])(?=\S{0,24}[^\w\s\-/.:,'\"()!?;’])(?=\S{0,24}[A-Z])(?=\S{0,24}[a-z0-9])[!-~]{8,}+\s?+",
    )
)
_THREES = re.compile(r"(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/]{3}[ \n]){2,}+[A-Za-z0-9+/=]{0,3}+[ \n]?+\Z")
_CODED_BEFORE, _MIXED_LETTERS = re.compile("[A-Z0-9]"), re.compile(_MIXED)
_SIGN_OF_BASE85 = re.compile(r"[*#~^@$`\[\]{}]")  # of those that prose may have
_MIXED_WORD = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z]\d|\d[A-Z]")  # but no 4th, which stands in prose
_SPELLING_RUN = re.compile(
    rf"(?<![^\W_])(?:(?:{'|'.join(sorted(SPELLING, key=len, reverse=True))})[\s,;.:/|_–—&+()\"'>-]{{1,5}}+)++"
    r"(?:[^\W\d_]|-){0,10}+\Z",
    re.IGNORECASE,
)
# Those that hardly stand in prose: what is looked at more closely only behind one of them.
_TELLING = SPELLING - frozenset("i o u be de es el en ex oh are eye pea sea see tea why you".split())
_AROUND = ",;.:/()\"'\n"
_NOT_LETTERS, _LAST_LETTERS = re.compile("[^a-z]+"), 32
_PART_LETTERS, _FEWEST_SIGNS = 2, 4  # of what stands apart, at most; of Morse code
_HEXADECIMAL = "abcdef0123456789"
_NUMBER_LAST = re.compile(r"\d\S*+\s*+\Z")
_LETTER = re.compile("[A-Za-z0-9]")
_LAST_GROUP = re.compile(r"[\s,;|/_-]*[^\s,;|/_-]+\Z")
# chr(72)+chr(1: the parenthesis before, too, for a name goes on behind 72 alone
_LAST_CALL = re.compile(r"\)[\s+&|.,;]{0,5}[A-Za-z]{0,8}\(?\s?(?:0x)?[0-9A-Fa-f]{0,3}\Z")
_LAST_ESCAPE = re.compile(r"(?:\\+[uUx]?\{?[0-9A-Fa-f]{0,7}|&#?[0-9A-Za-z]{0,8}|%[0-9A-Fa-f]?)\Z")
_CODED_WORD = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]|\d|[A-Z]{6}|[a-z]{20}")
_MAY_RUN = re.compile(r"[\d\\&%=./|_\-–—·•]|[a-z][A-Z]|[A-Z]{2}|\W[^\W\d_]{1,2}\W|[^\x00-\u017f]")


class CodeReader:
    """Follows the runs of one text that may be codes. To decode is slow; so a run is read anew when so much more of it
    has come that it may say something more, and once more when it is over. Of a run that says something, or is long,
    what is not read yet waits."""

    def __init__(self, names: LexicalDetector, read_words: ReadWords) -> None:
        """`read_words` gives the first fact or passage of a text, and its first character that may yet belong to one;
        `ended`: it does not go on."""
        self._names = names
        self._read_words = read_words
        self.start: int | None = None
        """Where in the text the run begins that is followed: it must be given again."""
        self._read_to = 0
        self._waits_from: int | None = None

    def passes(self, prose: Prose, fresh: int) -> bool:
        """Whether a look at prose, of which so many characters are new, would say nothing and change nothing."""
        return self.start is None and fresh <= _LONG_PIECE and ends_plainly(prose)

    def glance(self, tail: str, base: int, *, fresh: int, ended: bool) -> Glance:
        """Names in codes, at places in the tail.

        Args:
            tail: the end of the text, at least from `start` on.
            base: where in the text the tail begins.
            fresh: how many characters are new. A long piece is read from the beginning: a run can begin and end there.
            ended: whether there is no more of the text.
        """
        end, began = base + len(tail), None if ended else run_from(tail, followed=self.start is not None)
        followed, self.start = self.start, None
        if fresh > _LONG_PIECE:
            start = base
        elif followed is not None:
            start = followed
        elif began is not None:
            start = base + began
        else:
            return Glance((), len(tail))
        step = max(_LONG_PIECE, (end - start) // _STEPS)
        if began is not None and start == followed and end - self._read_to < step:
            self.start = followed
            unread_from = self._read_to if step > _LONG_PIECE else end
            return Glance((), (unread_from if self._waits_from is None else self._waits_from) - base)
        seen = self._decoded(tail, start - base, ended=began is None)
        if began is None:
            return replace(seen, open_from=len(tail)) if seen else Glance((), len(tail))
        self.start = start + max(0, end - start - _RUN_CHARS) // _RUN_STEP * _RUN_STEP
        self._read_to = end
        self._waits_from = min(end, base + seen.open_from) if seen else None
        return seen or Glance((), len(tail))

    def _decoded(self, tail: str, start: int, *, ended: bool) -> Glance | None:
        """What the views of the run show; None if it has none."""
        run = tail[start:]
        found = views(run, cut=False)
        if found and not ended:
            found = [*found, *(view for begun in _without_the_last(run) for view in views(begun, cut=False))]
        glances = []
        for view in found:
            seen = glance_at(self._names, Letters(view.text), ended=ended)
            ranges = [(one, view.source_range(one.start, one.end)) for one in seen.sightings if _is_long(one.name)]
            sightings = tuple(replace(one, start=start + first, end=start + last) for one, (first, last) in ranges)
            leak, words_open_from = (
                (None, len(view.text)) if view.names_alone else self._read_words(view.text, ended=ended)
            )
            leaks = () if leak is None else (replace(leak, start=start + view.starts[leak.start]),)
            open_from = start + min(view.starts[min(seen.open_from, words_open_from) :], default=len(run))
            glances.append(Glance(sightings, open_from, leaks))
        return together(glances, len(tail)) if glances else None


def run_from(text: str, *, followed: bool = False) -> int | None:
    """Where, at the end of a text, a run begins that may be a code or odd letters; None if there is none. Of a long run
    only the end counts. `followed`: one began before."""
    if len(text) > _LOOK_CHARS:
        before = len(text) - _LOOK_CHARS
        found = run_from(text[before:], followed=followed)
        return None if found is None else before + found
    spelling = _spelling_from(text, followed=followed)
    if not _MAY_RUN.search(text):
        return spelling
    starts = [run.start() for pattern in _RUNS if (run := pattern.search(text)) and _is_odd(run)]
    if (threes := _THREES.search(text)) and _MIXED_WORD.search(threes.group()):
        starts.append(threes.start())
    if spelling is not None:
        starts.append(spelling)
    return min(starts, default=None)


def _spelling_from(text: str, *, followed: bool = False) -> int | None:
    """Where words begin that say letters (Hotel Alfa Romeo), the last of which may not be whole."""
    if not followed and not _tells(text):
        return None
    run = _SPELLING_RUN.search(text)
    return run.start() if run else None


def _tells(text: str) -> bool:
    """Whether one of the last two words may say a letter."""
    last = text.rfind(" ")
    behind = text[last + 1 :].lower()
    if behind.strip(_AROUND) in _TELLING:
        return True
    if "-" in behind or "\n" in behind:
        return not _TELLING.isdisjoint(_NOT_LETTERS.split(behind[-_LAST_LETTERS:])[-3:])
    return last > 0 and text[text.rfind(" ", 0, last) + 1 : last].lower().strip(_AROUND) in _TELLING


def ends_plainly(prose: Prose) -> bool:
    """Whether prose ends with no run that may be a code."""
    words = prose.words
    if _spelling_from(prose.source) is not None:
        return False
    if _may_end_like_prose(prose.source, prose.start):
        return run_from(prose.source) is None
    if words and not prose.trails_off and len(words[-1]) > _PART_LETTERS and all(map(str.isalpha, words)):  # noqa: SIM102
        if words[-1].strip(_HEXADECIMAL):
            return True  # nothing in `_RUNS` ends with such a word: most pieces of most answers are done here
    return not any((run := pattern.search(prose.source)) and _is_odd(run) for pattern in _possible(prose))


def _may_end_like_prose(text: str, start: int) -> bool:
    """Whether groups of a code, or base 85, may end a text that is prose from `start` on."""
    if _SIGN_OF_BASE85.search(text, start):
        return True
    return bool(start and _CODED_BEFORE.search(text, 0, start) and _MIXED_LETTERS.search(text, 0, start))


def _possible(prose: Prose) -> Iterator[re.Pattern[str]]:
    """The runs that prose may end with: for most of them its last word has too many letters, or others."""
    apart, letters, pairs, numbers, calls, bacon, bits, signs, *_ = _RUNS
    words, source = prose.words, prose.source
    if not words:
        yield from _RUNS
        return
    if max(map(len, words[-2:])) <= _PART_LETTERS:
        yield apart
    if not words[-1].strip("ab"):
        yield bacon
    if _NUMBER_LAST.search(source, prose.start):
        yield from (letters, pairs, numbers, calls, bits)
    elif not words[-1].strip(_HEXADECIMAL):
        yield pairs
    if prose.trails_off and not _LETTER.search(source, len(source) - _FEWEST_SIGNS):
        yield from (letters, signs)


def _without_the_last(run: str) -> Iterator[str]:
    """The run without its last characters, which may be a part of what says one character."""
    yield from (run[:-cut] for cut in range(1, _CODE_CHARACTERS) if cut < len(run))
    for last in (_LAST_GROUP, _LAST_ESCAPE, _LAST_CALL):
        whole = last.sub("", run)
        if 0 < len(whole) <= len(run) - _CODE_CHARACTERS:
            yield whole


def _is_odd(run: re.Match[str]) -> bool:
    """Letters without a gap are a word, unless their case or their number is odd."""
    return not run.group().replace("-", "").isalpha() or bool(_CODED_WORD.search(run.group()))


def _is_long(name: str) -> bool:
    """Shorter names stand in odd text by chance."""
    return sum(map(str.isalnum, name)) >= LEAST_LETTERS
