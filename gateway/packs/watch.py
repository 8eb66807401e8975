"""Which pack folders changed since the last look, for little work however many there are.

A look reads the status of the packs' root and of the file of changes. It looks into a folder only if one of them tells
of it, or in turn: into each at least once in `within_s`.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from pathlib import Path

from gateway.packs.changes import ChangeLog
from gateway.packs.folders import claims, folder_names, stamp_of

__all__ = ["FolderWatch"]

_EACH_LOOK = 64  # folders that a look has time for in any case
_TICK_NS = 2_000_000_000  # two changes so close to each other may leave the same time of change


class FolderWatch:
    """Compares the folders under a root with the stamps that `accept` was given. Not thread-safe."""

    def __init__(self, root: Path, *, within_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            root: the folder of packs.
            within_s: the longest time until a change is noticed that nothing tells of, such as a file edited by hand.
            clock: seconds, for tests.
        """
        self._root = root
        self._within_s = within_s
        self._clock = clock
        self._changes: ChangeLog | None = None
        self._stamps: dict[str, int] = {}  # of the packs whose state is known
        self._restless: dict[str, None] = {}  # folders that are looked into each time
        self._turn: list[str] = []
        self._next = 0
        self._state: tuple[int, int, int] | None = None  # the root's device, inode and time of change
        self._listed_at = self._looked_at = clock()

    def look(self) -> Mapping[str, int | None]:
        """The stamps of the packs that are new or have changed; None for folders that hold no pack, or none any more.

        A pack comes again at each look until `accept` is called. Raises PackError if the root cannot be read.
        """
        told = self._told()  # first: what changes after it is told of the next time
        listed = self._listed()
        if told is None:
            told = self._turn
        found: dict[str, int | None] = {}
        for name in {*listed, *told, *islice(self._restless, _EACH_LOOK), *self._in_turn()}:
            folder = self._root / name
            stamp = stamp_of(folder) if claims(folder) else None
            if stamp is None or stamp != self._stamps.get(name):
                self._restless[name] = None  # until it is accepted
                found[name] = stamp
            if stamp is None:
                self._stamps.pop(name, None)
                if not folder.is_dir():
                    del self._restless[name]
        return found

    def accept(self, name: str, stamp: int, *, settled: bool = True) -> None:
        """A pack's state is known: it comes again when it has another one. A pack that is not `settled`, because
        something is wrong with it, is looked into each time."""
        self._stamps[name] = stamp
        if settled:
            self._restless.pop(name, None)
        else:
            self._restless[name] = None

    def is_still(self, name: str, stamp: int) -> bool:
        """Whether a pack has not changed since it had this stamp."""
        return stamp_of(self._root / name) == stamp

    def _told(self) -> Iterable[str] | None:
        """The packs that the file of changes names; None: any may have changed."""
        try:
            if self._changes is None:
                self._changes = ChangeLog(self._root)
            return self._changes.changes()
        except OSError:  # it cannot be read: the turns must do
            return ()

    def _listed(self) -> Iterable[str]:
        """The folders that came or went. The root is listed if its time of change is another, or in its turn."""
        now, state = self._clock(), self._root_state()
        racy = self._state is not None and time.time_ns() - self._state[2] < _TICK_NS
        if state is not None and state == self._state and not racy and now - self._listed_at < self._within_s:
            return ()
        names = folder_names(self._root)
        another = self._state is None or state is None or state[:2] != self._state[:2]
        self._state, self._listed_at, self._turn = state, now, list(names)
        known = {*self._stamps, *self._restless}
        return known.union(names) if another else known.symmetric_difference(names)

    def _root_state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._root)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns

    def _in_turn(self) -> Iterable[str]:
        """The folders whose turn it is: so many that each had one within the time."""
        now = self._clock()
        share, self._looked_at = (now - self._looked_at) / self._within_s, now
        count = min(len(self._turn), max(_EACH_LOOK, math.ceil(len(self._turn) * share)))
        start = self._next if self._next < len(self._turn) else 0
        self._next = start + count
        if self._next > len(self._turn):
            self._next -= len(self._turn)
        return islice(chain(self._turn, self._turn), start, start + count)
