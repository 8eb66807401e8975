"""Recent results by text: every turn of a conversation sends all the earlier turns again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

__all__ = ["Recent"]

_T = TypeVar("_T")
_TEXTS = 4096


class Recent(Generic[_T]):
    """Keeps a value for each of the texts used last. Thread-safe; two threads may compute the same text at once."""

    def __init__(self, texts: int = _TEXTS) -> None:
        self._texts = texts
        self._values: OrderedDict[str, _T] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, texts: Sequence[str], work: Callable[[Sequence[str]], Sequence[_T]]) -> Mapping[str, _T]:
        """The values of these texts. `work` computes the missing ones, in one call."""
        known = self._recall(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        fresh = dict(zip(missing, work(missing), strict=True)) if missing else {}
        self._remember(fresh)
        return {**known, **fresh}

    def _recall(self, texts: Sequence[str]) -> dict[str, _T]:
        with self._lock:
            known = {text: self._values[text] for text in texts if text in self._values}
            for text in known:
                self._values.move_to_end(text)
            return known

    def _remember(self, fresh: Mapping[str, _T]) -> None:
        with self._lock:
            self._values.update(fresh)
            while len(self._values) > self._texts:
                self._values.popitem(last=False)
