"""Notices another gateway of ours that has other packs, or another adapters folder, before the same upstream: each of
the two unloads what the other has loaded."""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection

__all__ = ["Rivals"]

_log = logging.getLogger("unrecall.adapters")
_SURE_S = 30.0  # while packs are rolled out, gateways differ for as long as one needs to see them
_KEPT_S = 600.0
_LOST = 3  # a server that was started anew loses its adapters once


class Rivals:
    """What was seen on one upstream in the last ten minutes: strange adapters, which this gateway neither loaded nor
    found at its start, and own ones that were gone."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`url` is the upstream's; `clock` tells seconds, for tests."""
        self._url = url
        self._clock = clock
        self._strange: deque[float] = deque()
        self._lost: deque[float] = deque()
        self._told = False

    def saw(self, strangers: Collection[str]) -> None:
        """The upstream has these adapters that came after this gateway's start and belong to no pack in force here."""
        if strangers:
            self._strange.append(self._clock())
            self._tell()

    def lost(self, names: Collection[str]) -> None:
        """These adapters of our own were gone."""
        if names:
            self._lost.append(self._clock())
            self._tell()

    @property
    def problem(self) -> str | None:
        """What to do about it, in words; None if there is nothing."""
        now = self._clock()
        for seen in (self._strange, self._lost):
            while seen and now - seen[0] > _KEPT_S:
                seen.popleft()
        advice = (
            "give all gateways before one vLLM the same packs, the same adapters_folder and the same adapter_slots, or "
            "a vLLM of its own to each (docs/deploy.md)"
        )
        if self._strange and self._strange[-1] - self._strange[0] >= _SURE_S:
            return (
                f"another gateway with other packs or another adapters_folder uses {self._url}: it loads LoRAs that "
                f"this one does not know. Each unloads the other's when it starts and when its packs change: {advice}"
            )
        if len(self._lost) >= _LOST:
            return (
                f"LoRAs of this gateway vanish from {self._url}, {len(self._lost)} times in ten minutes, and are "
                "loaded anew while requests wait. Another gateway unloads them, or the server restarts again and "
                f"again: {advice}"
            )
        return None

    def _tell(self) -> None:
        problem = self.problem
        if problem and not self._told:
            _log.warning("%s", problem)
        self._told = problem is not None
