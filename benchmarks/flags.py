"""Which requests does a gate flag?"""

from collections.abc import Sequence

from gateway.core import Request, Screening
from gateway.screening.gate import Gate
from gateway.training.dataset import Progress

__all__ = ["flagged"]

_BATCH = 32


def flagged(gate: Gate, requests: Sequence[Request], progress: Progress = lambda *_: None) -> list[bool]:
    """Whether each request is inside a scope; a gate that fails flags, as the server refuses then."""
    found: list[Screening] = []
    order = sorted(range(len(requests)), key=lambda place: sum(len(one.text) for one in requests[place].messages))
    for start in range(0, len(order), _BATCH):  # like lengths make full batches
        progress("screening", start, len(order))
        found += gate.screen([requests[place] for place in order[start : start + _BATCH]])
    verdicts = dict(zip(order, (bool(one.matched) or one.error is not None for one in found), strict=True))
    return [verdicts[place] for place in range(len(requests))]
