"""Metrics of several processes that serve one port, kept in files that all of them read."""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

__all__ = ["SharedMetrics", "Worker"]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several processes that serve one port. `number` is its own from 1 on, and that of the process that takes
    its place when it dies. `folder` belongs to all of them, and to one run of the server."""

    number: int
    folder: Path

    @property
    def lock(self) -> Path:
        """The file that they lock to write to one log."""
        return self.folder / "audit.lock"

    def share_metrics(self) -> None:
        """Metrics that this process makes from now on count in the folder. Counters go on from what the worker's
        earlier process left there."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(self.folder)
        values.ValueClass = values.MultiProcessValue(lambda: self.number)

    def clear_gauges(self) -> None:
        """Takes the gauges of a dead process out of the sums. What it counted stays."""
        mark_process_dead(self.number, str(self.folder))


class SharedMetrics(Collector):
    """The sums over all workers: gauges of those that live, counters of the dead too."""

    def __init__(self, folder: Path) -> None:
        self._source = MultiProcessCollector(CollectorRegistry(), str(folder))

    def collect(self) -> Iterable[Metric]:
        """Reads all files anew."""
        for left in reversed(range(_TRIES)):
            try:
                return list(self._source.collect())
            except (struct.error, FileNotFoundError):  # a worker that starts is just creating or replacing its file
                if not left:
                    raise
        raise AssertionError("unreachable")
