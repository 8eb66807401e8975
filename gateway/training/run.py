"""A training run: loads a scope and models, splits the rows once, fits the gate, learns to forget, measures on the rows
held out, and saves the pack."""

import datetime
import hashlib
import logging
import platform
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from adapters.optimizers.schedule import Diverged
from adapters.parallel import ALONE, Processes
from classifiers.calibration import TooFewRows
from classifiers.names.measure import AliasAlarms, TrafficKind, count_alarms
from classifiers.splits import split_rows
from classifiers.svm.training import fit_gate
from classifiers.traffic import general_traffic
from gateway.errors import PackError, SetupError, reason_of
from gateway.methods.base import LearnedArtifact
from gateway.methods.registry import method
from gateway.models.encoders import EncoderFiles, EncoderRuntime, find_encoder
from gateway.models.folders import fingerprint, local_folder, resolve
from gateway.models.language_model import LanguageModel, load_language_model, load_tokenizer
from gateway.models.languages import OFF
from gateway.models.loading import Loading
from gateway.packs.files import Artifacts
from gateway.packs.folders import list_packs, read_manifest, verify_pack
from gateway.packs.manifest import HeldOut, Manifest
from gateway.packs.store import load_pack, save_pack
from gateway.screening.logged import read_traffic
from gateway.training.config import Training, check_served, fingerprint_of
from gateway.training.dataset import Progress, forget_dataset
from gateway.training.detector import FittedDetector, fit_ood_detector, of_classifier
from gateway.training.estimate import check_reference, estimate_of, memory_ran_out
from gateway.training.evaluator import Evaluator
from gateway.training.languages import LearnedLanguages, find_languages, fingerprint_of_languages, learn_languages
from gateway.training.leaks import leak_model
from gateway.training.reference import load_reference, reference_loading
from gateway.training.scope_file import Scope, load_scope
from gateway.training.sources import Sources
from gateway.training.targets import Targets
from gateway.training.task import LearningTask
from gateway.training.transcript import Told
from gateway.training.workers import send_base, send_end
from gateway.training.writing import local_writer, remote_writer, written_questions

if TYPE_CHECKING:
    from gateway.training.upstream import ServedModel

__all__ = ["alias_alarms", "earlier_artifacts", "train_pack", "train_scope"]

_log = logging.getLogger("unrecall.training")
_TOOLS = ("torch", "transformers", "sentence-transformers", "peft", "nevergrad", "scikit-learn", "numpy")


def train_scope(
    *,
    scope_file: Path,
    model: str,
    encoder: str,
    encoder_runtime: EncoderRuntime = "openvino",
    language_encoder: str = OFF,
    out: Path,
    training: Training | None = None,
    traffic_file: Path | None = None,
    fresh: bool = False,
    reference: str | None = None,
    reference_device: str | None = None,
    upstream: str | None = None,
    told: Told = lambda *_: None,
    progress: Progress = lambda *_: None,
    processes: Processes = ALONE,
) -> Manifest:
    """Trains a scope file into a pack, or returns the manifest of the pack that is there if nothing changed. Raises
    SetupError.

    Args:
        scope_file: the scope file.
        model: the base model: a packaged name, a folder or a hub id.
        encoder: the sentence encoder, likewise.
        encoder_runtime: what computes it. The server must use the same.
        language_encoder: reads other languages than English (see `gateway.models.languages`).
        out: the folder of packs.
        training: the method, the detector, and their configurations. None: the defaults.
        traffic_file: the operator's own prompts to calibrate on, in place of those that the gateway ships.
        fresh: whether to train although nothing changed.
        reference: a model that never saw the forget set, if there is one.
        reference_device: where that model is held. None: where the base model is.
        upstream: the address of a vLLM that serves the base model and is asked in its place.
        told: is told of the pack when it is saved, and of answers that the pack does not hold.
        progress: is told the stage, the steps done and their number.
        processes: those that train together, of which this one leads; the others are in `workers.assist`.
    """
    training = training or Training()
    training.loading.check_possible(processes.count)
    if upstream:
        check_served(training)
    scope = load_scope(scope_file)
    traffic = _traffic(traffic_file) if traffic_file else None
    base_folder = resolve(model, say=lambda text: progress(text, 0, 1))
    reference_folder = resolve(reference) if reference else None
    if training.widen and training.writer and not _is_url(training.writer):
        local_folder(training.writer)  # tells before anything is loaded if there is none
    tokenizers = [  # now: a model without a chat template is told of before anything is trained
        load_tokenizer(folder, chat_template=training.chat_template, chats=True)
        for folder in filter(None, (base_folder, reference_folder))
    ]
    encoder_files = find_encoder(encoder, encoder_runtime, say=lambda text: progress(text, 0, 1))
    references = [fingerprint(reference_folder)] if reference_folder else []
    languages = find_languages(language_encoder)
    reading = [fingerprint_of_languages(languages)] if languages else []
    models = [fingerprint(base_folder), encoder_files.fingerprint, *references, *reading]
    training_fingerprint = fingerprint_of(scope, training, traffic, models)
    if not fresh and (kept := _kept(out / scope.id, training_fingerprint)):
        send_end(processes)
        return kept
    _check_writable(out)
    beside = reference_loading(training.loading, reference_device)
    estimate = None
    if not upstream:
        estimate = estimate_of(
            scope,
            training,
            base_folder,
            out,
            tokenizer=tokenizers[0],
            reference=reference_folder,
            reference_device=reference_device,
            processes=processes.count,
        )
    if estimate:
        progress(estimate.line, 0, 0)
        estimate.check()
    if reference_folder and (upstream or reference_device):
        check_reference(reference_folder, beside)
    progress("loading models", 0, 1)
    send_base(processes, training, fingerprint(base_folder))
    base = _served(upstream, base_folder, tokenizers[0]) if upstream else None
    try:
        sources = _loaded(model, base_folder, encoder_files, training.loading, tokenizers[0], base)
        if reference_folder:
            sources = replace(sources, reference=load_reference(reference_folder, beside, tokenizers[1], sources))
        sources = replace(sources, languages=languages)
        return train_pack(
            scope,
            sources,
            traffic=traffic,
            training=training,
            training_fingerprint=training_fingerprint,
            out=out,
            told=told,
            progress=progress,
            processes=processes,
        )
    except (TooFewRows, Diverged) as error:
        raise SetupError(str(error)) from error
    except torch.OutOfMemoryError as error:
        raise memory_ran_out(error, estimate, training.loading) from error
    finally:
        if base:
            base.rollout.close()


def train_pack(
    scope: Scope,
    sources: Sources,
    *,
    training: Training,
    training_fingerprint: str,
    out: Path,
    traffic: Sequence[str] | None = None,
    told: Told = lambda *_: None,
    progress: Progress = lambda *_: None,
    processes: Processes = ALONE,
) -> Manifest:
    """Trains one scope and writes its pack.

    Raises TooFewRows or Diverged; nothing is written then. Other packs under `out` are read at most.

    Args:
        scope: the scope with its rows.
        sources: the models.
        training: the method, the detector, and their configurations.
        training_fingerprint: marks the pack (see `fingerprint_of`).
        out: the folder of packs.
        traffic: the operator's own prompts to calibrate on, if any.
        told: is told of the pack when it is saved, and of answers that the pack does not hold.
        progress: is told the stage, the steps done and their number.
        processes: those that train together, of which this one leads. They are free once it has learned.
    """
    split = split_rows([row.prompt for row in scope.forget], [row.prompt for row in scope.retain], seed=training.seed)
    written = _written(scope, sources, split.forget.train, training, progress)
    gate = fit_gate(
        split=split,
        aliases=scope.aliases,
        traffic=traffic,
        written=written,
        encoder=sources.encoder,
        training=training.gate,
        progress=lambda stage, done, total: progress(f"gate: {stage}", done, total),
    )
    languages = learn_languages(scope, sources.languages, training, progress) if sources.languages else None
    dataset = forget_dataset(scope, split, gate, sources.encoder)
    evaluator = Evaluator(sources)
    targets = Targets(scope, sources, evaluator, seed=training.seed)
    learned = method(training.method).learn(
        LearningTask(dataset, targets, evaluator, sources.base.model, progress, processes),
        training.settings,
        partial(earlier_artifacts, out, training.method, scope.id, sources.base_folder),
    )
    send_end(processes)
    detector = of_classifier(gate)
    if training.detector == "ood":
        detector = fit_ood_detector(scope, split, sources, training, progress)
    manifest = _manifest(scope, sources, detector, training, learned, training_fingerprint)
    counted = {"alias_alarms": alias_alarms(scope, traffic), "languages": languages.figures if languages else None}
    saved = save_pack(out, _artifacts(scope, detector, training, learned, languages), {**manifest, **counted})
    told(saved, evaluator.transcript, learned.extra)
    return saved


def _written(
    scope: Scope, sources: Sources, train: Sequence[str], training: Training, progress: Progress
) -> Sequence[str]:
    """Questions about the scope that the writer writes, if it is asked for any. Raises SetupError or ModelError."""
    if not training.widen:
        return ()
    if training.writer and _is_url(training.writer):
        write = remote_writer(training.writer)
    elif training.writer:
        write = local_writer(load_language_model(resolve(training.writer), loading=training.loading))
    elif isinstance(sources.base, LanguageModel):
        write = local_writer(sources.base)
    else:
        write = remote_writer(f"{sources.base.rollout.url}/v1", key=sources.base.rollout.key)
    return written_questions(scope, train, write, training.widen, seed=training.seed, progress=progress)


def _is_url(writer: str) -> bool:
    return writer.startswith(("http://", "https://"))


def alias_alarms(scope: Scope, traffic: Sequence[str] | None) -> dict[TrafficKind, AliasAlarms]:
    """How many prompts the scope's names alone flag: of the shipped ones (`general`) and of the operator's own
    (`traffic`)."""
    counted: dict[TrafficKind, AliasAlarms] = {"general": count_alarms(scope.aliases, general_traffic())}
    return counted if traffic is None else counted | {"traffic": count_alarms(scope.aliases, traffic)}


def earlier_artifacts(packs: Path, method_name: str, scope: str, base_folder: Path) -> dict[str, Any]:
    """The artifacts of a method for other scopes, by scope, of the packs in a folder that have the same base model.

    Raises PackError if a pack cannot be read: an artifact that is learned without regard to it could undo it.

    Args:
        packs: the folder of packs.
        method_name: the method.
        scope: the scope to leave out.
        base_folder: the folder of the base model.
    """
    folders = [folder for folder in list_packs(packs) if folder.name != scope] if packs.is_dir() else []
    base = fingerprint(base_folder)
    found = {}
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest.base_fingerprint == base and manifest.method == method_name:
            found[manifest.scope] = load_pack(folder, whole=False).artifact
    return found


def _artifacts(
    scope: Scope,
    detector: FittedDetector,
    training: Training,
    learned: LearnedArtifact,
    languages: LearnedLanguages | None,
) -> Artifacts:
    return Artifacts(
        aliases=scope.aliases,
        policy=scope.policy,
        detector=training.detector,
        model=detector.model,
        method=training.method,
        artifact=learned.artifact,
        leaks=leak_model(scope, seed=training.seed),
        extra=learned.extra,
        languages=languages.head if languages else None,
    )


def _manifest(
    scope: Scope,
    sources: Sources,
    detector: FittedDetector,
    training: Training,
    learned: LearnedArtifact,
    training_fingerprint: str,
) -> Mapping[str, Any]:
    return {
        "scope": scope.id,
        "description": scope.description,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "base_model": sources.base_name,
        "base_fingerprint": fingerprint(sources.base_folder),
        "encoder_fingerprint": sources.encoder_files.fingerprint,
        "training_fingerprint": training_fingerprint,
        "chat_template": _hash(training.chat_template),
        "calibration": detector.calibration,
        "heldout": HeldOut(gate=detector.rates, forgetting=learned.figures),
        "seed": training.seed,
        "tools": {"python": platform.python_version(), **{name: version(name) for name in _TOOLS}},
    }


def _loaded(
    name: str,
    base_folder: Path,
    encoder_files: EncoderFiles,
    loading: Loading,
    tokenizer: Any,
    served: "ServedModel | None",
) -> Sources:
    """The models of a run, the base model being `served` if it is given. Raises ModelError."""
    return Sources(
        base=served or load_language_model(base_folder, loading=loading, tokenizer=tokenizer),
        base_name=name,
        base_folder=base_folder,
        encoder=encoder_files.load(),
        encoder_files=encoder_files,
    )


def _served(upstream: str, folder: Path, tokenizer: Any) -> "ServedModel":
    from gateway.training.upstream import served_model  # with an HTTP client, which few trainings need

    return served_model(upstream, folder, tokenizer)


def _hash(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _traffic(path: Path) -> tuple[str, ...]:
    traffic = read_traffic(path)
    if traffic.left_out:
        _log.warning("%s: %d rows hold no text and are left out of the calibration", path, traffic.left_out)
    return traffic.prompts


def _check_writable(out: Path) -> None:
    """Refuses a folder that cannot be written before the training takes minutes. Raises SetupError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SetupError(
            f"cannot write packs into {out}: {reason_of(error)}; choose another folder with --out"
        ) from error


def _kept(folder: Path, training_fingerprint: str) -> Manifest | None:
    try:
        manifest = verify_pack(folder)
    except PackError:
        return None
    return manifest if manifest.training_fingerprint == training_fingerprint else None
