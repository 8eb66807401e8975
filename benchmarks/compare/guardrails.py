"""Guardrail arms: writes the scope files, trains their packs one after another, and puts them in force."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.compare.arms import Guardrail
from benchmarks.compare.core import ForgetRequest, Suite, write_scope
from gateway.methods import registry
from gateway.models.encoders import find_encoder
from gateway.packs.detectors import detector_kind
from gateway.packs.files import files_of
from gateway.packs.store import Pack, load_packs
from gateway.screening.gate import Gate
from gateway.training.config import training_of
from gateway.training.dataset import Progress
from gateway.training.run import train_scope
from gateway.training.scope_file import instruction_for

__all__ = ["Packs", "gate_of", "trained_packs"]


@dataclass(frozen=True, slots=True)
class Packs:
    """A folder of packs. Seconds of training and bytes that are served: of the gates alone, and of everything."""

    folder: Path
    gate_seconds: float
    seconds: float
    gate_bytes: int
    bytes: int


def trained_packs(
    suite: Suite,
    method: str,
    model: Path,
    root: Path,
    *,
    seed: int,
    reference: Path | None = None,
    progress: Progress = lambda *_: None,
) -> Packs:
    """Trains a pack for each forget request of the suite, in their order; keeps the packs of an earlier run.

    Args:
        suite: whose forget requests are trained.
        method: corruption, soft-prompt or lora.
        model: folder of the model that was taught everything.
        root: folder that receives scope files, packs and training times.
        seed: of every random choice.
        reference: folder of the model as it was before it was taught; None where nothing is taught.
        progress: told the stage, and how far it is.
    """
    packs, training = root / "packs", training_of(method, seed=seed)
    spent: list[tuple[float, float]] = []
    for number, forget_request in enumerate(suite.forget_requests, 1):
        clock = _Clock(progress, f"{method} {number}/{len(suite.forget_requests)}")
        manifest = train_scope(
            scope_file=write_scope(forget_request, root / "scopes" / forget_request.scope, suite.calibration),
            model=str(model),
            encoder="minilm",
            out=packs,
            training=training,
            reference=str(reference) if reference else None,
            progress=clock,
        )
        # of this very pack: the seconds of an earlier configuration's are not its own
        timing = root / f"{manifest.scope}-{manifest.version}.json"
        if not timing.is_file():
            timing.write_text(json.dumps(clock.seconds()))
        gate, whole = json.loads(timing.read_text())
        spent.append((gate, whole))
    learner = registry.method(training.method)
    serving, learnt = files_of(learner, detector_kind(training.detector)), learner.files
    sizes = {file: file.stat().st_size for file in packs.rglob("*") if file.name in serving}
    return Packs(
        packs,
        gate_seconds=sum(gate for gate, _ in spent),
        seconds=sum(whole for _, whole in spent),
        gate_bytes=sum(size for file, size in sizes.items() if file.name not in learnt),
        bytes=sum(sizes.values()),
    )


def gate_of(arm: Guardrail, packs: Packs, suite: Suite) -> Gate:
    """The gate with every pack; each acts as the arm says."""
    loaded = load_packs(packs.folder, base_fingerprint=None, encoder_fingerprint=None)
    named = {forget_request.scope: forget_request for forget_request in suite.forget_requests}
    acting = {scope: _acting(arm, pack, named[scope]) for scope, pack in loaded.items()}
    return Gate(acting, find_encoder("minilm").load())


def _acting(arm: Guardrail, pack: Pack, forget_request: ForgetRequest) -> Pack:
    instruction = instruction_for(", ".join(forget_request.aliases) or forget_request.description)
    return replace(pack, guard=replace(pack.guard, plan=arm.plan, instruction=instruction, gated=arm.gated))


class _Clock:
    """Hands progress on, and notes when the gate was done and the method's own learning began."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label
        self._started = time.perf_counter()
        self._gate_ended: float | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._gate_ended is None and not stage.startswith(("gate", "loading")):
            self._gate_ended = time.perf_counter()
        self._progress(f"{self._label}: {stage}", done, total)

    def seconds(self) -> tuple[float, float]:
        """Of the gate (models' loading included), and of all."""
        now = time.perf_counter()
        return (self._gate_ended or now) - self._started, now - self._started
