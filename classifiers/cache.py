"""Recent results: every turn of a conversation sends all the earlier turns again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Recent"]

_K = TypeVar("_K", bound=Hashable)
_T = TypeVar("_T")


class Recent(Generic[_K, _T]):
    """Keeps a value for each of the keys used last. Thread-safe; two threads may compute the same key at once."""

    def __init__(self, size: int = 4096, *, size_of: Callable[[_T], int] = lambda _: 1) -> None:
        """`size` bounds the sum of what `size_of` says of the values: without it, their number."""
        self._size = size
        self._size_of = size_of
        self._values: OrderedDict[_K, _T] = OrderedDict()
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """The sum of what `size_of` says of the values that are there."""
        return self._used

    def known(self, keys: Iterable[_K]) -> dict[_K, _T]:
        """The values that are there, each now among the last used."""
        with self._lock:
            found = {key: self._values[key] for key in keys if key in self._values}
            for key in found:
                self._values.move_to_end(key)
            return found

    def keep(self, fresh: Mapping[_K, _T]) -> None:
        """Keeps values, and drops those that were not used for longest. One that fits in no case is left out."""
        with self._lock:
            for key, value in fresh.items():
                self._forget(key)
                if self._size_of(value) > self._size:
                    continue
                self._values[key] = value
                self._used += self._size_of(value)
            while self._used > self._size and self._values:
                self._forget(next(iter(self._values)))

    def of(self, keys: Sequence[_K], work: Callable[[Sequence[_K]], Sequence[_T]]) -> Mapping[_K, _T]:
        """The values of these keys. `work` computes the missing ones, in one call."""
        known = self.known(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in known]
        if not missing:
            return known
        fresh = dict(zip(missing, work(missing), strict=True))
        self.keep(fresh)
        return {**known, **fresh}

    def _forget(self, key: _K) -> None:
        if key in self._values:
            self._used -= self._size_of(self._values.pop(key))
