"""The detector that a pack ships beside the names: the classifier of the gate, or O3's detector."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from classifiers.ood.detector import OodDetector
from classifiers.ood.model import OodModel
from classifiers.ood.training import fit_ood
from classifiers.splits import Split
from classifiers.svm.model import Head
from classifiers.svm.training import TrainedGate
from classifiers.traffic import general_traffic
from gateway.packs.manifest import Calibration, GateRates
from gateway.training.config import Training
from gateway.training.dataset import Progress
from gateway.training.scope_file import Scope
from gateway.training.sources import Sources

__all__ = ["FittedDetector", "fit_ood_detector", "of_classifier"]

_GENERAL_ROWS = 500


@dataclass(frozen=True, slots=True)
class FittedDetector:
    """A detector that tells whether a text is inside, how its threshold was set, and its rates on held-out rows."""

    model: Head | OodModel
    calibration: Calibration
    rates: GateRates


def of_classifier(gate: TrainedGate) -> FittedDetector:
    calibration = Calibration(
        method="the higher of split conformal on out-of-scope rows and of what forget rows reach, fold by fold",
        alpha=gate.calibration.alpha,
        rows=gate.calibration.rows,
        threshold=gate.head.threshold,
        threshold_by_traffic_alone=gate.calibration.threshold,
        threshold_by_forget_rows=gate.floor if math.isfinite(gate.floor) else None,
        traffic_rows_left_out_as_in_scope=gate.excluded_traffic_rows,
    )
    return FittedDetector(gate.head, calibration, GateRates(**asdict(gate.rates)))


def fit_ood_detector(
    scope: Scope, split: Split, sources: Sources, training: Training, progress: Progress
) -> FittedDetector:
    """Fits O3's detector. Rows outside the scope teach it nothing: the detector is counted on them afterwards.

    Args:
        scope: the scope with its rows.
        split: the rows to fit on, and those held out.
        sources: the encoder and its folder.
        training: the detector's configuration.
        progress: is told the stage.
    """
    fitted = fit_ood(
        forget=split.forget,
        encoder_folder=sources.encoder_files.folder,
        training=training.ood,
        progress=lambda stage, done, total: progress(f"detector: {stage}", done, total),
    )
    detector = OodDetector(sources.encoder.backbone, {scope.id: fitted.model})

    def flagged(prompts: Sequence[str]) -> float | None:
        hits = [any(verdict.matched for verdict in verdicts) for verdicts in detector.detect(prompts)]
        return sum(hits) / len(hits) if hits else None

    near = [row.prompt for row in scope.retain]
    general = general_traffic()[:: max(1, len(general_traffic()) // _GENERAL_ROWS)]
    rates = GateRates(
        fnr=fitted.rates.fnr,
        forget_rows=fitted.rates.forget_rows,
        near_fpr=flagged(near),
        retain_rows=len(near),
        general_fpr=flagged(general),
        general_rows=len(general),
    )
    calibration = Calibration(
        method="split conformal on forget rows that the folds of the fit left out",
        missed=fitted.missed,
        rows=fitted.rows,
        threshold=fitted.model.threshold,
    )
    return FittedDetector(fitted.model, calibration, rates)
