"""Reads an answer as it is written, and says how much of it is safe: exactly so much waits as may still become part of
a leak.

Example:
    >>> watchlist = Watchlist().updated({"hp": Watched(("Harry Potter",))}, ())
    >>> answer = AnswerWatch(watchlist, OwnWords(watchlist, Asked()))
    >>> answer.read("It is Har")
    Seen(safe=6, leak=None)
    >>> answer.read("vest time, says Harry Pot")
    Seen(safe=25, leak=None)
    >>> answer.read("ter.")
    Seen(safe=25, leak=Leak(scope='hp', kind='name', start=25))
"""

import copy
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from classifiers.leaks.codes import CodeReader
from classifiers.leaks.disguises import Disguises
from classifiers.leaks.facts import FactCount
from classifiers.leaks.leak import Leak, LeakKind
from classifiers.leaks.model import LeakModel
from classifiers.leaks.named import all_named
from classifiers.leaks.passages import PassageIndex, PassageRuns, Run
from classifiers.leaks.threads import ThreadNames, Threads
from classifiers.leaks.words import Word, spellings, words_of
from classifiers.names.aliases import LexicalDetector, Sighting
from classifiers.names.boundaries import Letters
from classifiers.names.foreign import ForeignNames
from classifiers.names.ordinary import Alias
from classifiers.names.prose import Prose, prose_of
from classifiers.names.text import normalise

__all__ = [
    "AnswerWatch",
    "Asked",
    "Leak",
    "LeakKind",
    "OutputRule",
    "OwnWords",
    "Seen",
    "Watched",
    "Watchlist",
    "nothing_exempt",
]

OutputRule = Literal["names", "facts", "off"]
"""What counts in an answer: names, facts and passages; facts and passages; nothing."""

_NEAR_WORDS = 60  # a fact so many words before or behind a name is near it
_TO_LAST_GAP = re.compile(r".*\s", re.DOTALL)
_CONTEXT_CHARS, _LONGEST_CONTEXT = 8, 64


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One scope as an answer is watched for it. `read_model` gives what was learned of it, when an answer first needs
    it; None: the scope has names alone. A model with passages, or of the rule `facts`, is read at once: any answer may
    need it."""

    names: tuple[str | Alias, ...]
    rule: OutputRule = "names"
    read_model: Callable[[], LeakModel] | None = None
    has_passages: bool = False


class Seen(NamedTuple):
    """So many characters of an answer are `safe`; behind them stands a `leak`, or what may still become one."""

    safe: int
    leak: Leak | None = None


class _Once:
    """Reads a model once; a fault, too: who asks again must not wait for a disk."""

    def __init__(self, read: Callable[[], LeakModel]) -> None:
        self._read = read
        self._found: LeakModel | Exception | None = None

    def __call__(self) -> LeakModel:
        if self._found is None:
            try:
                self._found = self._read()
            except Exception as error:
                self._found = error
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def nothing_exempt(scope: str) -> bool:
    """Every scope counts."""
    return False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request says itself. Its `texts` are the client's own words: a name, a word of a fact or a passage that
    stands there is no leak. The `scopes` are those that the gate found the request inside, and those that some text of
    the conversation names: their facts count from the first word of the answer. A scope that is `exempt` does not count
    at all."""

    texts: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    exempt: Callable[[str], bool] = nothing_exempt


class Watchlist:
    """What answers are watched for, of all scopes. Immutable and thread-safe."""

    def __init__(self) -> None:
        self.names = LexicalDetector({})
        self.foreign = ForeignNames()
        self.rules: Mapping[str, OutputRule] = {}
        self.models: Mapping[str, Callable[[], LeakModel]] = {}
        self.passages = PassageIndex({})
        self.disguises = Disguises()
        self.threads = ThreadNames()
        self.names_are_facts = False  # whether some scope has names that are no leaks, but make its facts count

    def updated(
        self,
        added: Mapping[str, Watched],
        removed: Iterable[str],
        names: tuple[LexicalDetector, ForeignNames] | None = None,
    ) -> "Watchlist":
        """The watchlist with further scopes, or new versions of them, and without others. Shares what did not change.

        Args:
            added: by scope.
            removed: scopes.
            names: updated detectors of the names, shared with the gate; None: this one makes its own.
        """
        gone = {*removed, *added}
        changed = copy.copy(self)
        coming = {scope: one.names for scope, one in added.items()}
        own = (self.names.updated(coming, gone), self.foreign.updated(coming, gone)) if names is None else names
        changed.names, changed.foreign = own
        letters = {scope: [*all_named(scope, names)] for scope, names in coming.items()}
        changed.disguises = self.disguises.updated(letters, gone)
        changed.threads = self.threads.updated(letters, gone)
        changed.rules = {scope: rule for scope, rule in self.rules.items() if scope not in gone} | {
            scope: one.rule for scope, one in added.items()
        }
        fresh = {s: _Once(one.read_model) for s, one in added.items() if one.read_model and one.rule != "off"}
        changed.models = {scope: model for scope, model in self.models.items() if scope not in gone} | fresh
        changed.names_are_facts = any(rule == "facts" for rule in changed.rules.values())
        now = {s: read for s, read in fresh.items() if added[s].has_passages or added[s].rule == "facts"}
        passages = {scope: read().passages for scope, read in now.items()}
        changed.passages = self.passages.updated(passages, gone)
        return changed

    def load(self, scopes: Iterable[str]) -> None:
        """Reads what was learned of these scopes, unless it is in memory. Slow. Raises as `read_model` does."""
        for scope in self.models.keys() & set(scopes):
            self.models[scope]()

    def watches(self, exempt: Callable[[str], bool]) -> bool:
        """Whether anything counts in an answer for which some scopes are exempt."""
        return any(rule != "off" and not exempt(scope) for scope, rule in self.rules.items())


class AnswerWatch:
    """Reads one text of one answer: a choice's content, its reasoning, or its tool calls. Not thread-safe."""

    def __init__(self, watchlist: Watchlist, own: "OwnWords", *, before: str = "") -> None:
        """
        Args:
            watchlist: what counts.
            own: what the request says itself.
            before: the beginning of the text if it was sent already: a leak must not go across the seam.
        """
        self._list = watchlist
        self._own = own
        models = watchlist.models
        self._counts = {scope: self._count(models[scope]()) for scope in sorted(own.scopes & models.keys())}
        # one for each way in which a word may be spelled
        self._runs = [PassageRuns(watchlist.passages) for _ in spellings("")] if watchlist.passages else []
        self._reads_words = bool(self._runs) or bool(self._counts) or watchlist.names_are_facts
        self._recent: deque[str] = deque(maxlen=_NEAR_WORDS)
        self._near: dict[str, int] = {}  # by scope: how many words more it stays near
        self._tail = ""  # what was read, from `_base` on
        self._base = 0
        self._codes = CodeReader(watchlist.names, self._in_code)
        self._threads = Threads(watchlist.threads)
        self._words_to = 0  # up to here the words are counted
        self._safe = 0
        self._settled = 0  # before this no name can begin any more
        self._leak: Leak | None = None
        if before:
            self.read(before)
            self._leak = None
            self._safe = len(before)

    def read(self, text: str, *, ended: bool = False) -> Seen:
        """Takes more of the text; `ended`: there is no more. What it says is about the whole text so far."""
        if self._leak is None:
            self._tail += text
            self._look(ended=ended, fresh=len(text))
        return Seen(self._safe, self._leak)

    @property
    def context(self) -> str:
        """The end of what was read, so far as it decides how the next characters are read."""
        return self._tail

    def _look(self, *, ended: bool, fresh: int) -> None:
        prose = None if ended else prose_of(self._tail, self._settled - self._base)
        found: list[Sighting | Word | Leak] = []
        open_from = self._list.disguises.open_in(self._list.names, prose) if prose else None
        if open_from is None:
            sightings, open_from = self._named_in(Letters(self._tail), ended=ended)
            found += sightings
        self._settled = max(self._settled, open_from + self._base)
        if prose is None or not self._codes.passes(prose, fresh):
            coded = self._codes.glance(self._tail, self._base, fresh=fresh, ended=ended)
            found += [*coded.sightings, *coded.leaks]
            open_from = min(open_from, coded.open_from)
        apart, apart_from = self._threads.read(self._tail, self._base, ended=ended)
        found += apart
        open_from = min(open_from, apart_from)
        unfinished = None
        if self._reads_words:
            words, unfinished = self._new_words(prose, ended=ended)
            found += words
        leak = self._first_leak(found) if found else None
        # at the end nothing is open: what has only begun becomes no leak any more
        words_open_from = open_from if ended else self._words_open_from(unfinished, open_from)
        safe_to = min(open_from, words_open_from) + self._base
        self._safe = max(self._safe, min(safe_to, leak.start) if leak else safe_to)
        if leak:
            self._leak = replace(leak, start=max(leak.start, self._safe))
        self._forget(self._safe)

    def _named_in(self, letters: Letters, *, ended: bool) -> tuple[list[Sighting], int]:
        """The names in the tail, in any spelling, and where it may be the beginning of one."""
        names = self._list.names
        disguised = self._list.disguises.glance(names, letters, ended=ended)
        foreign, open_from = self._list.foreign.read(self._tail, ended=ended)
        if not ended:
            open_from = min(open_from, names.open_from(letters), disguised.open_from)
        return [*names.sightings(letters, ended=ended), *disguised.sightings, *foreign], open_from

    def _new_words(self, prose: Prose | None, *, ended: bool) -> tuple[list[Word], Word | None]:
        """The words of the tail that were not counted yet, and one that may go on."""
        counted = self._words_to - self._base
        if prose and prose.holds_all_from(max(counted, 0)):
            places = zip(prose.words, prose.spans, strict=True)
            words = [Word(word, start, end) for word, (start, end) in places if start >= counted]
            return words, (words.pop() if words and not prose.trails_off else None)
        normal = normalise(self._tail)
        words = [word for word in words_of(normal) if word.start >= counted]
        goes_on = bool(words) and not ended and normal.starts[-1] == len(self._tail)
        return words, (words.pop() if goes_on else None)

    def _first_leak(self, found: list[Sighting | Word | Leak]) -> Leak | None:
        found.sort(key=lambda one: one.start)  # a name comes before its own first word
        return next((leak for leak in map(self._counted, found) if leak), None)

    def _counted(self, found: Sighting | Word | Leak) -> Leak | None:
        """What stands at a place in the tail, if it is a leak."""
        if isinstance(found, Leak):
            return replace(found, start=found.start + self._base)
        return self._worded(found) if isinstance(found, Word) else self._named(found)

    def _in_code(self, text: str, *, ended: bool) -> tuple[Leak | None, int]:
        """The first fact or passage in what a code says, and the first character that may still belong to one. It
        counts alone, whatever stands around the code."""
        if not self._reads_words:
            return None, len(text)
        letters = Letters(text)
        words = list(words_of(letters.normal))
        unfinished = words.pop() if words and not ended and not letters.trails_off else None
        counts = {scope: self._count(self._list.models[scope]()) for scope in self._counts}
        runs = PassageRuns(self._list.passages)
        for word in words:
            scope = next((scope for scope, count in counts.items() if count.completes(word.text)), None)
            if scope is not None:
                return Leak(scope, "fact", word.start), word.start
            if (run := runs.completed(word.text, word.start)) and self._is_theirs(run):
                return Leak(run.scope, "passage", run.start), run.start
        waits = runs.begun or any(count.nearly for count in counts.values())
        begun = len(text) if ended or runs.open_from is None else runs.open_from
        return None, min(begun, unfinished.start) if unfinished and waits else begun

    def _is_theirs(self, run: Run) -> bool:
        """Whether a passage counts: the request does not hold it itself."""
        return run.hash not in self._own.passages and self._own.rule(run.scope) != "off"

    def _named(self, sighting: Sighting) -> Leak | None:
        """A name of a scope. It makes the facts of its scope count, near it."""
        scope, rule = sighting.scope, self._own.rule(sighting.scope)
        start = sighting.start + self._base
        if rule == "off" or sighting.end + self._base <= self._safe:
            return None
        if not (sighting.counts or scope in self._own.scopes):
            return None
        if rule == "names" and (scope, sighting.name) not in self._own.names:
            return Leak(scope, "name", start)
        return self._neared(scope, start)

    def _neared(self, scope: str, start: int) -> Leak | None:
        """The facts of a scope count from here on for a while, and the words before."""
        read_model = self._list.models.get(scope)
        if read_model is None or scope in self._own.scopes or self._own.rule(scope) != "facts":
            return None
        self._near[scope] = _NEAR_WORDS
        if not self._reads_words:
            self._reads_words, self._words_to = True, start
        if scope not in self._counts:
            self._counts[scope] = count = self._count(read_model())
            if any(count.completes(one) for word in self._recent for one in spellings(word)):
                return Leak(scope, "fact", start)
        return None

    def _worded(self, word: Word) -> Leak | None:
        start = word.start + self._base
        self._words_to = word.end + self._base
        self._recent.append(word.text)
        self._near = {scope: left - 1 for scope, left in self._near.items()}
        spelled = spellings(word.text)
        for scope, count in list(self._counts.items()):
            if scope not in self._own.scopes and self._near.get(scope, 0) < 0:
                del self._counts[scope], self._near[scope]
            elif any(count.completes(one) for one in spelled):
                return Leak(scope, "fact", start)
        whole = [runs.completed(one, start) for runs, one in zip(self._runs, spelled, strict=False)]
        found = next((run for run in whole if run and self._is_theirs(run)), None)
        return Leak(found.scope, "passage", found.start) if found else None

    def _count(self, model: LeakModel) -> FactCount:
        return FactCount(model.facts, self._own.words)

    def _words_open_from(self, unfinished: Word | None, otherwise: int) -> int:
        """Where the first word stands that may still become part of a leak, in the tail."""
        begun = [runs.open_from for runs in self._runs if runs.begun]
        if not (begun or self._counts):
            return otherwise
        first = min((place - self._base for place in begun if place is not None), default=otherwise)
        waits = bool(begun) or any(count.nearly for count in self._counts.values())
        return min(first, unfinished.start) if unfinished and waits else first

    def _forget(self, safe: int) -> None:
        """Keeps of what is safe only what decides how the next characters are read."""
        kept = max(0, safe - self._base - _CONTEXT_CHARS)
        if self._codes.start is not None:
            kept = min(kept, self._codes.start - self._base)
        floor = max(0, kept - _LONGEST_CONTEXT)
        gap = _TO_LAST_GAP.match(self._tail, floor, kept)
        kept = gap.end() if gap else floor
        self._tail = self._tail[kept:]
        self._base += kept


class OwnWords:
    """What a request says itself, for all texts of its answer. It is looked up when a leak seems to stand there: most
    answers hold nothing, and a prompt can be long."""

    def __init__(self, watchlist: Watchlist, asked: Asked) -> None:
        self.scopes = frozenset(scope for scope in asked.scopes if not asked.exempt(scope))
        self._list = watchlist
        self._exempt = asked.exempt
        self._texts = asked.texts

    def rule(self, scope: str) -> OutputRule:
        """What counts of a scope in the answer to this request."""
        return "off" if self._exempt(scope) else self._list.rules.get(scope, "off")

    @cached_property
    def names(self) -> frozenset[tuple[str, str]]:
        """(scope, name) of the names in the request."""
        found = [self._list.names.sightings(letters, ended=True) for letters in self._letters]
        found += [self._list.foreign.read(text, ended=True)[0] for text in self._texts]
        return frozenset((one.scope, one.name) for sightings in found for one in sightings)

    @cached_property
    def words(self) -> frozenset[str]:
        """Its normalised words."""
        return frozenset(word for letters in self._letters for word in letters.words)

    @cached_property
    def passages(self) -> frozenset[int]:
        """The passages that it holds."""
        runs = PassageRuns(self._list.passages)
        for letters in self._letters:
            for word in words_of(letters.normal):
                runs.completed(word.text, word.start)
        return frozenset(runs.held)

    @cached_property
    def _letters(self) -> tuple[Letters, ...]:
        return tuple(map(Letters, self._texts))
