"""The offline job behind `unrecall train`: a scope file becomes a pack."""

import logging
import tempfile
from pathlib import Path

from adapters.optimizers.schedule import Diverged
from classifiers.calibration import TooFewRows
from classifiers.encoder.sentence import Encoder
from classifiers.ood.training import OodTraining
from classifiers.svm.training import GateTraining
from gateway.errors import PackError, SetupError
from gateway.methods import registry
from gateway.models.folders import resolve
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.packs.detectors import detector_kind
from gateway.packs.folders import verify_pack
from gateway.packs.manifest import Manifest
from gateway.screening.logged import read_traffic
from gateway.training.dataset import Progress
from gateway.training.run import Training, fingerprint_of, train_pack
from gateway.training.scope_file import load_scope
from gateway.training.sources import Sources

__all__ = ["train_scope", "training_of"]

_log = logging.getLogger("unrecall.training")
_SEEDS = 2**32  # numpy takes no more
_PROBE = "In 1984, naïve Überraschung: who wrote it?"


def train_scope(
    *,
    scope_file: Path,
    model: str,
    encoder: str,
    out: Path,
    training: Training | None = None,
    traffic_file: Path | None = None,
    fresh: bool = False,
    reference: str | None = None,
    progress: Progress = lambda *_: None,
) -> Manifest:
    """Trains a scope file into a pack, or returns the pack there is if nothing changed. Raises SetupError."""
    training = training or Training()
    scope = load_scope(scope_file)
    traffic = _traffic(traffic_file) if traffic_file else None
    base_folder = resolve(model, say=lambda text: progress(text, 0, 1))
    encoder_folder = resolve(encoder, say=lambda text: progress(text, 0, 1))
    reference_folder = resolve(reference) if reference else None
    folders = [base_folder, encoder_folder, *([reference_folder] if reference_folder else [])]
    training_fingerprint = fingerprint_of(scope, training, traffic, folders)
    if not fresh and (kept := _kept(out / scope.id, training_fingerprint)):
        return kept
    _check_writable(out)
    progress("loading models", 0, 1)
    sources = Sources(
        base=load_language_model(base_folder),
        base_name=model,
        base_folder=base_folder,
        encoder=Encoder(encoder_folder),
        encoder_folder=encoder_folder,
        reference=load_language_model(reference_folder) if reference_folder else None,
    )
    if sources.reference and not _read_alike(sources.base, sources.reference):
        raise SetupError(f"{reference} has another tokenizer than {model}: likelihoods a token cannot be compared")
    try:
        return train_pack(
            scope,
            sources,
            traffic=traffic,
            training=training,
            training_fingerprint=training_fingerprint,
            out=out,
            progress=progress,
        )
    except (TooFewRows, Diverged) as error:
        raise SetupError(str(error)) from error


def _traffic(path: Path) -> tuple[str, ...]:
    traffic = read_traffic(path)
    if traffic.left_out:
        _log.warning("%s: %d rows hold no text and are left out of the calibration", path, traffic.left_out)
    return traffic.prompts


def _read_alike(one: LanguageModel, other: LanguageModel) -> bool:
    first, second = (model.tokenizer(_PROBE)["input_ids"] for model in (one, other))
    return list(first) == list(second)


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
) -> Training:
    """The training that the command line's options ask for. Raises SetupError that says what is wrong."""
    detector_kind(detector)
    if not 0 <= seed < _SEEDS:
        raise SetupError(f"--seed must be at least 0 and below {_SEEDS}, got {seed}")
    options = {"evaluations": evaluations, "epochs": epochs, "lr": lr, "optimizer": optimizer}
    given = {name: value for name, value in options.items() if value is not None}
    chosen = registry.method(method)
    try:
        return Training(
            method=method,
            detector=detector,
            configuration=chosen.configured(given, seed=seed),
            ood=OodTraining(seed=seed),
            gate=GateTraining(fpr=fpr, seed=seed),
        )
    except ValueError as error:
        raise SetupError(str(error)) from error


def _check_writable(out: Path) -> None:
    """Before minutes are spent on what could not be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SetupError(f"cannot write packs into {out}: {error}; choose another folder with --out") from error


def _kept(folder: Path, training_fingerprint: str) -> Manifest | None:
    try:
        manifest = verify_pack(folder)
    except PackError:
        return None
    return manifest if manifest.training_fingerprint == training_fingerprint else None
