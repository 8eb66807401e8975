"""Who stands under a key, for many keys at once, and without building everything anew for one change."""

from array import array
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Numbers = NDArray[np.int64]

__all__ = ["KeyTable", "Scoped"]

_MERGED = 2  # a part is merged with one that is less than so many times as large
_WASTE = 0.5  # share of a part's scopes that may be gone before it is built anew


class Scoped(Protocol):
    """What stands under a key, and the scope that it belongs to."""

    @property
    def scope(self) -> str:
        """The scope's id."""


_Entry = TypeVar("_Entry", bound=Scoped)
_Row = tuple[_Entry, Sequence[Hashable]]


@dataclass(frozen=True, slots=True)
class _Part(Generic[_Entry]):
    """Entries in any order, and the sorted hashes of their keys with the place of each one's entry. Entries of the
    scopes in `gone` count no more."""

    entries: Sequence[_Entry]
    hashes: "NDArray[np.int64]"
    places: "NDArray[np.int32]"
    scopes: frozenset[str]
    gone: frozenset[str] = frozenset()

    @classmethod
    def of(cls, entries: Sequence[_Entry], hashes: "NDArray[np.int64]", places: "NDArray[np.int32]") -> Self:
        import numpy as np

        order = np.argsort(hashes, kind="stable")
        return cls(entries, hashes[order], places[order], frozenset(entry.scope for entry in entries))

    def without(self, scopes: Collection[str]) -> "_Part[_Entry]":
        """The part with these scopes masked, too."""
        gone = self.scopes.intersection(scopes)
        return self if gone <= self.gone else replace(self, gone=self.gone | gone)

    @property
    def wasted(self) -> bool:
        return len(self.gone) > _WASTE * len(self.scopes)


class KeyTable(Generic[_Entry]):
    """Entries of all scopes, each under some keys. Immutable and thread-safe.

    It keeps a hash of each key and not the key, eight bytes in a sorted array, so that ten thousand scopes have room.
    Two keys may have one hash: who asks must check what is found. A change makes a small part of its own; parts of like
    size are merged, so that there are few.

    Example:
        >>> @dataclass(frozen=True)
        ... class Name:
        ...     scope: str
        >>> table = KeyTable().updated({"oz": [(Name("oz"), ["toto", "dog"])]}, ())
        >>> [(asked, name.scope) for asked, name in table.found(["cat", "dog"])]
        [(1, 'oz')]
        >>> list(table.updated({}, ["oz"]).found(["dog"]))
        []
    """

    def __init__(self, parts: Sequence[_Part[_Entry]] = ()) -> None:
        self._parts = tuple(parts)

    def updated(self, added: Mapping[str, Iterable[_Row[_Entry]]], removed: Collection[str]) -> Self:
        """The table with the entries of further scopes, each with its keys, and without those of others.

        A scope in `added` that is there already is replaced.
        """
        changed = added.keys() | set(removed)
        parts: list[_Part[_Entry]] = []
        masked = [part.without(changed) for part in self._parts]
        for part in [*masked, _part(row for rows in added.values() for row in rows)]:
            fresh = _merged([part]) if part.wasted else part
            while parts and len(parts[-1].hashes) < _MERGED * len(fresh.hashes):
                fresh = _merged([parts.pop(), fresh])
            if len(fresh.hashes):
                parts.append(fresh)
        return type(self)(parts)

    def __bool__(self) -> bool:
        """Whether there is any entry."""
        return bool(self._parts)

    def found(self, keys: Sequence[Hashable]) -> Iterator[tuple[int, _Entry]]:
        """What stands under each of some keys, with the key's number among them; now and then also what does not."""
        for part, hashes, first, hits in self._hits(keys):
            for number in hits.tolist():
                for entry in _under(part, int(first[number]), hashes[number]):
                    yield number, entry

    def held(self, keys: Sequence[Hashable]) -> Iterator[int]:
        """The numbers of those keys under which something stands: quick where it is much."""
        for part, hashes, first, hits in self._hits(keys):
            for number in hits.tolist():
                if any(True for _ in _under(part, int(first[number]), hashes[number])):
                    yield number

    def _hits(self, keys: Sequence[Hashable]) -> Iterator[tuple[_Part[_Entry], "_Numbers", "_Numbers", "_Numbers"]]:
        """For each part: the keys' hashes, their first places in it, and the numbers of those that are there."""
        if not keys or not self._parts:
            return
        import numpy as np

        hashes = np.fromiter(map(hash, keys), np.int64, len(keys))
        for part in self._parts:
            first = np.searchsorted(part.hashes, hashes)
            yield part, hashes, first, np.nonzero(part.hashes[np.minimum(first, len(part.hashes) - 1)] == hashes)[0]


def _under(part: _Part[_Entry], first: int, key: "np.int64") -> Iterator[_Entry]:
    """The entries under a hash whose first place is known."""
    while first < len(part.hashes) and part.hashes[first] == key:
        entry = part.entries[part.places[first]]
        if entry.scope not in part.gone:
            yield entry
        first += 1


def _part(rows: Iterable[_Row[_Entry]]) -> _Part[_Entry]:
    import numpy as np

    entries: list[_Entry] = []
    hashes, places = array("q"), array("i")  # as numbers of Python they would take four times the memory
    for entry, keys in rows:
        hashes.extend(map(hash, keys))
        places.extend([len(entries)] * len(keys))
        entries.append(entry)
    return _Part.of(entries, np.array(hashes, np.int64), np.array(places, np.int32))


def _merged(parts: Sequence[_Part[_Entry]]) -> _Part[_Entry]:
    """One part of what still counts of some."""
    import numpy as np

    entries: list[_Entry] = []
    hashes: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int32]] = []
    for part in parts:
        counts = np.fromiter((entry.scope not in part.gone for entry in part.entries), bool, len(part.entries))
        moved: NDArray[Any] = np.cumsum(counts) - 1 + len(entries)
        kept = counts[part.places]
        hashes.append(part.hashes[kept])
        places.append(moved[part.places[kept]].astype(np.int32))
        entries += (entry for entry, count in zip(part.entries, counts.tolist(), strict=True) if count)
    return _Part.of(entries, np.concatenate(hashes), np.concatenate(places))
