"""The offline jobs behind the command line: train a scope, screen a log."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters.optimizers.schedule import Diverged
from classifiers.calibration import TooFewRows
from classifiers.encoder.sentence import Encoder
from classifiers.ood.training import OodTraining
from classifiers.svm.training import GateTraining
from classifiers.traffic import TrafficError, read_prompts
from gateway.core import Message, Request, Screening
from gateway.errors import PackError, SetupError
from gateway.methods import registry
from gateway.models.folders import fingerprint, resolve
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.packs.detectors import detector_kind
from gateway.packs.store import Manifest, load_pack, load_packs
from gateway.screening.gate import Gate
from gateway.training.dataset import Progress, Sources
from gateway.training.run import Training, recipe_sha256, train_pack
from gateway.training.scope_file import load_scope

__all__ = ["screen_log", "train_scope", "training_of"]

_BATCH_ROWS = 64
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
    try:
        traffic = read_prompts(traffic_file) if traffic_file else None
    except TrafficError as error:
        raise SetupError(str(error)) from error
    base_folder = resolve(model, say=lambda text: progress(text, 0, 1))
    encoder_folder = resolve(encoder, say=lambda text: progress(text, 0, 1))
    reference_folder = resolve(reference) if reference else None
    folders = [base_folder, encoder_folder, *([reference_folder] if reference_folder else [])]
    recipe = recipe_sha256(scope, training, traffic, folders)
    if not fresh and (kept := _kept(out / scope.id, recipe)):
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
        return train_pack(scope, sources, traffic=traffic, training=training, recipe=recipe, out=out, progress=progress)
    except (TooFewRows, Diverged) as error:
        raise SetupError(str(error)) from error


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


def screen_log(
    *, input_file: Path, output_file: Path, packs: Path, encoder: str, progress: Callable[[int, int], None]
) -> tuple[int, int]:
    """Adds {"flagged", "scopes", "score"} to every row; returns (flagged rows, rows). Raises SetupError.

    `score` is the highest score of classifier or detector minus its threshold (above 0 is flagged); 1 for a name alone.
    """
    rows = list(_rows(input_file))
    encoder_folder = resolve(encoder)
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=fingerprint(encoder_folder))
    if not loaded:
        raise PackError(f"there are no packs in {packs}; train one first")
    gate = Gate(loaded, Encoder(encoder_folder))
    flagged = 0
    scratch = output_file.with_name(f".{output_file.name}.part")
    try:
        with scratch.open("w", encoding="utf-8") as target:
            for start in range(0, len(rows), _BATCH_ROWS):
                for row, result in _screened(gate, rows[start : start + _BATCH_ROWS]):
                    flagged += result["flagged"]
                    target.write(json.dumps({**row, **result}, ensure_ascii=False) + "\n")
                progress(min(start + _BATCH_ROWS, len(rows)), len(rows))
        scratch.replace(output_file)
    except OSError as error:
        raise SetupError(f"cannot write {output_file}: {error}") from error
    return flagged, len(rows)


def _check_writable(out: Path) -> None:
    """Before minutes are spent on what could not be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SetupError(f"cannot write packs into {out}: {error}; choose another folder with --out") from error


def _kept(folder: Path, recipe: str) -> Manifest | None:
    try:
        manifest = load_pack(folder).manifest
    except PackError:
        return None
    return manifest if manifest.recipe_sha256 == recipe else None


def _screened(
    gate: Gate, rows: list[tuple[dict[str, Any], Request]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    screenings = gate.screen([request for _, request in rows])
    for (row, _), screening in zip(rows, screenings, strict=True):
        yield row, _result(screening)


def _result(screening: Screening) -> dict[str, Any]:
    margins = [f.score if f.detector == "lexical" else f.score - f.threshold for f in screening.findings]
    return {
        "flagged": bool(screening.matched),
        "scopes": list(screening.scopes),
        "score": round(max(margins, default=float("-1")), 6),
    }


def _rows(path: Path) -> Iterator[tuple[dict[str, Any], Request]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # JSON strings may hold other line ends
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()  # a lone surrogate is no text: ValueError
            yield row, Request(id=str(number), endpoint="chat", model="", messages=_messages(row))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupError(
                f'{path} line {number}: expected {{"prompt": "..."}} or {{"messages": [{{"role", "content"}}]}}'
            ) from error


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    if "messages" in row:
        return tuple(Message(str(message["role"]), _content(message.get("content"))) for message in row["messages"])
    if not isinstance(row["prompt"], str):
        raise TypeError("prompt must be text")
    return (Message("user", row["prompt"]),)


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError("content must be text")
    return content or ""
