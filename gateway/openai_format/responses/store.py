"""Responses that a next request may follow: kept in memory, for the caller who asked alone, and no more than fit."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

__all__ = ["CallersResponses", "ResponseStore"]

_Json = dict[str, Any]


@dataclass(slots=True)
class _Kept:
    """Of one caller: the items up to the end of each response, as JSON, the oldest first."""

    responses: "OrderedDict[str, bytes]" = field(default_factory=OrderedDict)
    size: int = 0

    def drop_oldest(self) -> int:
        _, items = self.responses.popitem(last=False)
        self.size -= len(items)
        return len(items)


class ResponseStore:
    """Keeps at most `of_each` responses of each caller, and `size_bytes` of all together. Where they do not fit, the
    oldest of the caller who has most goes first, so that nobody pushes out another's."""

    def __init__(self, *, of_each: int, size_bytes: int) -> None:
        """With `of_each` 0 nothing is kept."""
        self.of_each = of_each
        self._size_bytes = size_bytes
        self._size = 0
        self._callers: dict[str, _Kept] = {}

    def of(self, caller: str) -> "CallersResponses":
        """Those of one caller."""
        return CallersResponses(self, caller)

    def keep(self, caller: str, response_id: str, items: Sequence[_Json]) -> None:
        """All items up to the end of a response."""
        body = orjson.dumps(items)
        if not self.of_each or len(body) > self._size_bytes:
            return
        self.drop(caller, response_id)
        kept = self._callers.setdefault(caller, _Kept())
        kept.responses[response_id] = body
        kept.size += len(body)
        self._size += len(body)
        if len(kept.responses) > self.of_each:
            self._size -= kept.drop_oldest()
        while self._size > self._size_bytes:
            name, most = max(self._callers.items(), key=lambda pair: pair[1].size)
            self._size -= most.drop_oldest()
            if not most.responses:
                del self._callers[name]

    def found(self, caller: str, response_id: str) -> list[_Json] | None:
        """The items of a response of this caller's."""
        kept = self._callers.get(caller)
        body = kept.responses.get(response_id) if kept else None
        return None if body is None else list(orjson.loads(body))

    def found_item(self, caller: str, item_id: str) -> _Json | None:
        """An item of this caller's; of the latest response that has it."""
        kept = self._callers.get(caller)
        name = item_id.encode()
        for body in reversed(kept.responses.values() if kept else ()):
            if name in body:
                return next((item for item in orjson.loads(body) if item.get("id") == item_id), None)
        return None

    def drop(self, caller: str, response_id: str) -> bool:
        """Forgets a response of this caller's; False if there is none."""
        kept = self._callers.get(caller)
        body = kept.responses.pop(response_id, None) if kept else None
        if kept is None or body is None:
            return False
        kept.size -= len(body)
        self._size -= len(body)
        if not kept.responses:
            del self._callers[caller]
        return True


@dataclass(frozen=True, slots=True)
class CallersResponses:
    """One caller's responses. See `gateway.openai_format.responses.request.History`."""

    store: ResponseStore
    caller: str

    def items(self, response_id: str) -> list[_Json] | None:
        """See History."""
        return self.store.found(self.caller, response_id)

    def item(self, item_id: str) -> _Json | None:
        """See History."""
        return self.store.found_item(self.caller, item_id)

    def keep(self, response_id: str, items: Sequence[_Json]) -> None:
        """Keeps the items up to the end of a response."""
        self.store.keep(self.caller, response_id, items)
