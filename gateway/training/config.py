"""The configuration of a training run: from the command line's options, and as the fingerprint that marks its pack."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from classifiers.names.ordinary import Alias
from classifiers.ood.training import OodTraining
from classifiers.svm.training import GateTraining
from classifiers.traffic import general_traffic
from gateway.errors import SetupError
from gateway.methods.registry import method as method_named
from gateway.models.loading import Loading
from gateway.packs.detectors import detector_kind
from gateway.training.scope_file import Scope

__all__ = ["Training", "check_served", "fingerprint_of", "training_of"]

_SEEDS = 2**32  # numpy takes no more
_MOST_WRITTEN = 20_000
_REVISION = 11  # raise it whenever the same settings come to give another pack: packs of before are then trained anew


@dataclass(frozen=True, slots=True)
class Training:
    """The configuration of one run: the method with its configuration (None: its defaults), the detector, how the base
    model is held in memory, how many questions about the scope the gate learns from beside the rows (`widen`), who
    writes them (a model, or a server's address; None: the base model), and the text of a chat template (None: each
    model's own)."""

    method: str = "corruption"
    detector: str = "classifier"
    configuration: Any = None
    gate: GateTraining = field(default_factory=GateTraining)
    ood: OodTraining = field(default_factory=OodTraining)
    loading: Loading = field(default_factory=Loading)
    widen: int = 0
    writer: str | None = None
    chat_template: str | None = None

    @property
    def seed(self) -> int:
        """The seed of every random choice in the run."""
        return self.gate.seed

    @property
    def settings(self) -> Any:
        """The method's configuration."""
        return self.configuration or method_named(self.method).configured({}, seed=self.seed)


def training_of(
    method: str,
    *,
    detector: str = "classifier",
    fpr: float = 0.001,
    evaluations: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    optimizer: str | None = None,
    seed: int = 0,
    loading: Loading | None = None,
    widen: int = 0,
    writer: str | None = None,
    chat_template: str | None = None,
) -> Training:
    """The training that the command line's options ask for. Raises SetupError, which says what is wrong.

    Args:
        method: the name of the method.
        detector: 'classifier' or 'ood'.
        fpr: the false-positive rate that the classifier guarantees.
        evaluations: corruption: how many trials the search makes for each configuration. None: the method's default.
        epochs: soft-prompt, lora: passes over the forget rows. None: the method's default.
        lr: soft-prompt, lora: the learning rate. None: the method's default.
        optimizer: soft-prompt, lora: 'adamw' or 'mofo'. None: the method's default.
        seed: of every random choice in the run.
        loading: how the base model is held in memory. None: in the dtype of its config, whole.
        widen: how many questions about the scope are written for the gate to learn from.
        writer: who writes them: a model, or the address of a server. None: the base model.
        chat_template: the text of a chat template for all models of the run. None: each model's own.
    """
    detector_kind(detector)
    if not 0 <= widen <= _MOST_WRITTEN:
        raise SetupError(f"--widen must be between 0 and {_MOST_WRITTEN}, got {widen}")
    if writer and not widen:
        raise SetupError("--writer writes questions, and none are asked for: add --widen 500, or leave --writer out")
    if not 0 <= seed < _SEEDS:
        raise SetupError(f"--seed must be at least 0 and below {_SEEDS}, got {seed}")
    options = {"evaluations": evaluations, "epochs": epochs, "lr": lr, "optimizer": optimizer}
    given = {name: value for name, value in options.items() if value is not None}
    chosen = method_named(method)
    try:
        return Training(
            method=method,
            detector=detector,
            configuration=chosen.configured(given, seed=seed),
            ood=OodTraining(seed=seed),
            gate=GateTraining(fpr=fpr, seed=seed),
            loading=loading or Loading(),
            widen=widen,
            writer=writer,
            chat_template=chat_template,
        )
    except ValueError as error:
        raise SetupError(str(error)) from error


def check_served(training: Training) -> None:
    """Refuses what a server in place of the base model cannot give. Raises SetupError, which says what to do."""
    if not getattr(method_named(training.method), "learns_by_asking", False):
        raise SetupError(
            f"{training.method} learns by gradients, and a server gives none: the model must be in this process. "
            "Leave --upstream out, on a machine with the memory that --estimate tells (--gradient-checkpointing, "
            "--load-in-8bit and --shard need less of it); or learn --method corruption, which only asks the model"
        )
    if training.loading != Loading():
        raise SetupError(
            "with --upstream the server holds the model, so that nothing here says how or where: leave --device, "
            "--dtype, --load-in-8bit, --shard and --gradient-checkpointing out, and give the server its own options"
        )


def fingerprint_of(scope: Scope, training: Training, traffic: Sequence[str] | None, models: Sequence[str]) -> str:
    """A hash of all that a pack depends on: the same hash means that training again would change nothing.

    Other scopes' LoRAs are left out: each new request would otherwise ask for all earlier ones to be trained again.

    Args:
        scope: the scope, with its rows and its policy.
        training: the method, the detector, and their configurations.
        traffic: the operator's own prompts to calibrate on, in place of those that the gateway ships, if any.
        models: fingerprints of the base model, the encoder and, if there is one, the reference model.
    """
    settings = asdict(training)
    content: dict[str, Any] = {
        "revision": _REVISION,
        "scope": [scope.id, scope.description, [_as_json(alias) for alias in scope.aliases], scope.policy.model_dump()],
        "rows": [
            [[row.prompt, row.response] for row in rows] for rows in (scope.forget, scope.retain, scope.calibration)
        ],
        "method": [training.method, asdict(training.settings), settings["gate"]],
        "detector": [training.detector, settings["ood"] if training.detector == "ood" else None],
        "traffic": [traffic, general_traffic()],
        "models": list(models),
    }
    if training.loading.numbers != Loading().numbers:  # packs of before stay as they are
        content["loading"] = training.loading.numbers
    if training.widen:
        content["written"] = [training.widen, training.writer]
    if training.chat_template is not None:
        content["chat_template"] = training.chat_template
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _as_json(alias: str | Alias) -> object:
    return alias if isinstance(alias, str) else asdict(alias)
