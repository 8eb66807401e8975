"""One JSON line for every request: what was decided and how long each part took. No prompt text unless asked for.

In an online comparison each line names its `arm`, and a request that is shadowed has a second line, with `shadow`.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.core import Finding, Plan, Request, UseAdapter

__all__ = ["Audit", "Record"]

_log = logging.getLogger("unrecall.audit")


class Record:
    """One request's line in the making; `close` writes it, once, or `release` does if it was to be held."""

    def __init__(self, request: Request, *, with_prompt: bool) -> None:
        self._started = time.perf_counter()
        self._closed = False
        self._held = False
        self.line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": request.id,
            "endpoint": request.endpoint,
            "model": request.model,
            "stream": request.stream,
        }
        if with_prompt:
            self.line["messages"] = [{"role": m.role, "text": m.text} for m in request.messages]

    def elapsed_ms(self) -> float:
        """Milliseconds since the request came in."""
        return round((time.perf_counter() - self._started) * 1000, 3)

    def mark(self, part: str) -> None:
        """Notes when a part was done, in milliseconds since the start."""
        self.line.setdefault(f"{part}_ms", self.elapsed_ms())

    def decided(self, wanted: Plan, plan: Plan, findings: Sequence[Finding], *, screen_error: str | None) -> None:
        """What the gate found, what the policy made of it, and for LoRAs the soft weight beside the one served."""
        matched = [finding for finding in findings if finding.matched]
        self.line["plan"] = type(plan).__name__
        self.line["scopes"] = sorted({finding.scope for finding in matched})
        self.line["findings"] = [
            {
                "scope": f.scope,
                "detector": f.detector,
                "score": round(f.score, 4),
                "threshold": round(f.threshold, 4),
            }
            for f in matched
        ]
        if isinstance(wanted, UseAdapter) and isinstance(plan, UseAdapter):
            self.line["weights"] = {dose.scope: round(dose.weight, 4) for dose in wanted.doses}
            self.line["served_weights"] = {dose.scope: dose.weight for dose in plan.doses}
        if screen_error:
            self.line["screen_error"] = screen_error

    def close(self, outcome: str) -> None:
        """Writes the line with its outcome: 'ok', 'aborted', or the name of the error. A line that is held waits."""
        if self._closed:
            return
        self._closed = True
        self.line["outcome"] = outcome
        self.mark("total")
        if not self._held:
            self._write()

    def hold(self) -> None:
        """`release` will write the line: something is still to be learned about the answer once it has ended."""
        self._held = True

    def release(self) -> None:
        """Writes a closed line that was held."""
        if self._held and self._closed:
            self._held = False
            self._write()

    def _write(self) -> None:
        _log.info(orjson.dumps(self.line).decode())


class Audit:
    """Opens a record for each request."""

    def __init__(self, *, with_prompts: bool = False) -> None:
        self._with_prompts = with_prompts

    def open(self, request: Request) -> Record:
        """A record whose clock runs from now."""
        return Record(request, with_prompt=self._with_prompts)
