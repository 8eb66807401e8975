"""The two models of a comparison: one was taught everything, the other everything but what is to be forgotten."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.batches import Example
from adapters.optimizers.schedule import OptimisationConfig
from adapters.weights.fine_tuning import fine_tune
from gateway.errors import SetupError
from gateway.evaluation.guarded_model import question
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.prompts.rendering import render
from gateway.training.dataset import Progress
from gateway.training.scope_file import Row

__all__ = ["check_memory", "examples", "taught", "teaching_seconds"]

_TIMING = "teaching.json"
_TRAINING_BYTES = 18  # a weight in training: itself in two precisions, its gradient, AdamW's two moments


def taught(
    base: Path,
    rows: Sequence[Row],
    folder: Path,
    *,
    epochs: int,
    seed: int,
    lr: float = 2e-4,
    progress: Progress = lambda *_: None,
) -> Path:
    """The folder of `base` fine-tuned on the rows; `base` itself without rows. An existing folder is kept.

    Args:
        base: folder of the model to start from.
        rows: questions and answers to learn by heart.
        folder: where the taught model is saved.
        epochs: passes over the rows.
        seed: of their order.
        lr: learning rate.
        progress: told the stage, and how far it is.
    """
    if not rows:
        return base
    if folder.is_dir():
        return folder
    model = load_language_model(base)
    started = time.perf_counter()
    fine_tune(
        model.model,
        examples(model, rows),
        OptimisationConfig(lr=lr, epochs=epochs, batch=16, seed=seed),
        progress=lambda done, steps, loss: progress(f"teaching {folder.name}, steps: loss {loss:.3f}", done, steps),
    )
    scratch = folder.with_name(f".{folder.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    model.model.save_pretrained(scratch)
    model.tokenizer.save_pretrained(scratch)
    (scratch / _TIMING).write_text(json.dumps({"seconds": round(time.perf_counter() - started, 1)}))
    scratch.rename(folder)
    return folder


def teaching_seconds(folder: Path) -> float:
    """How long `taught` trained the model of this folder, in this run or an earlier one; 0 if it did not train it."""
    timing = folder / _TIMING
    return float(json.loads(timing.read_text())["seconds"]) if timing.is_file() else 0.0


def examples(base: LanguageModel, rows: Sequence[Row]) -> list[Example]:
    """Templated questions with their answers and the end token."""
    end = base.tokenizer.eos_token_id
    return [
        Example(
            render(base.tokenizer, question(row.prompt)).ids,
            (*base.tokenizer(row.response, add_special_tokens=False)["input_ids"], end),
        )
        for row in rows
    ]


def check_memory(base: Path) -> None:
    """Raises SetupError if the free memory is too small to train the model's weights."""
    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    needed, free = size // 2 * _TRAINING_BYTES, _free_bytes()
    if free is not None and needed > free:
        raise SetupError(
            f"training all weights of {base.name} needs about {needed / 2**30:.0f} GiB and {free / 2**30:.0f} GiB are "
            f"free; choose a smaller model, or arms that leave the weights alone (eco, spul, o3)"
        )


def _free_bytes() -> int | None:
    """Of the GPU if there is one, else of the machine; None where that cannot be known."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
