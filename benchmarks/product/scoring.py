"""What the classifier's scoring costs with 1 to 10,000 scopes, on one core, without the encoder.

The first scopes are real: heads trained on TOFU authors and on the other scopes of benchmarks.product.scope_rows. The
others are made from these: a scope's own points all move by one random direction of the scope's own, so that their
places among each other stay and the scopes lie apart; the general traffic in the heads stays. Texts are public prompts.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.product.scoring [--data DIR]
"""

import argparse
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.product.heads import fitted_head
from benchmarks.product.rows import data_sets
from benchmarks.product.scope_rows import ScopeRows, authors, measured_scopes
from benchmarks.record import quantiles_ms, write
from classifiers.encoder.sentence import Encoder
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.index import Block
from classifiers.svm.model import Head, quantised
from classifiers.svm.scan import Rounded
from gateway.models.encoders import find_encoder

__all__ = ["measure_scoring"]

_COUNTS = (1, 10, 100, 1_000, 10_000)
_TEXTS, _BATCH = 400, 32
_REAL_AUTHORS = 30
_SMALL = 128  # vectors of a head that is no machine
_MOVED = 0.35  # length of the direction beside points of length 1
_CACHE_MIB = 64

Array = NDArray[np.float32]


def measure_scoring(data: Path, *, seed: int) -> dict[str, Any]:
    """Milliseconds a text, candidates and verdicts a text, bytes a scope, and how long a change takes."""
    encoder = find_encoder("minilm").load()
    every = _real_heads(data, encoder, seed)
    real = [head for head in every if len(head.vectors) <= _SMALL]
    machines = [head for head in every if len(head.vectors) > _SMALL]
    texts = [prompt for name, rows in data_sets(data).items() if name.startswith("general/") for prompt in rows]
    random.Random(seed).shuffle(texts)
    windows = [found for found in encoder.encode(texts[: 2 * _TEXTS]) if len(found) == 1][:_TEXTS]
    rows = {}
    torch.set_num_threads(1)
    for count in _COUNTS:
        rows[str(count)] = _measured(_Moved(real, count, seed), windows)
    # broad scopes keep a machine, and the index leaves them out seldom
    broad = {f"{len(machines)}": _measured(_Moved(machines, len(machines), seed), windows)} if machines else {}
    return {"real_scopes": len(real), "texts": len(windows), "threads": 1, "scopes": rows, "broad_scopes": broad}


class _Moved(Mapping[str, Head]):
    """`count` heads, made one by one from the real ones."""

    def __init__(self, real: Sequence[Head], count: int, seed: int) -> None:
        self._real, self._count, self._seed = real, count, seed

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(f"scope-{number}" for number in range(self._count))

    def __getitem__(self, scope: str) -> Head:
        number = int(scope.removeprefix("scope-"))
        head = self._real[number % len(self._real)]
        return head if number < len(self._real) else _moved(head, np.random.default_rng((self._seed, number)))


def _moved(head: Head, rng: np.random.Generator) -> Head:
    direction = rng.normal(size=head.vectors.shape[1])
    own = head.weights > 0
    points = head.points[own] + _MOVED * direction / np.linalg.norm(direction)
    points *= np.linalg.norm(head.points[own], axis=1, keepdims=True) / np.linalg.norm(points, axis=1, keepdims=True)
    vectors, scales = head.vectors.copy(), np.array(head.scales)
    vectors[own], scales[own] = quantised(np.asarray(points, dtype=np.float32))
    return Head(vectors, head.weights, head.bias, head.gamma, head.threshold, scales)


def _real_heads(data: Path, encoder: Encoder, seed: int) -> list[Head]:
    scopes = [ScopeRows(f"{n}", tuple(rows), (), (), ()) for n, rows in enumerate(authors(data)[:_REAL_AUTHORS])]
    return [fitted_head(scope, encoder, seed) for scope in tqdm([*scopes, *measured_scopes(data)], desc="heads")]


def _measured(heads: Mapping[str, Head], windows: Sequence[Array]) -> dict[str, Any]:
    """`cold` is a text that comes when other work has emptied the processor's caches, as an encoder does."""
    encoder: Any = SimpleNamespace(hidden=windows[0].shape[1])
    started = time.perf_counter()
    classifier = PromptClassifier(encoder, heads)
    built = time.perf_counter() - started
    other = np.zeros(_CACHE_MIB << 20, dtype=np.uint8)

    def seconds(batch: Sequence[Array], *, cold: bool = False) -> float:
        if cold:
            other[:] += 1
        before = time.perf_counter()
        classifier._scores(batch)
        return (time.perf_counter() - before) / len(batch)

    batches = [windows[start : start + _BATCH] for start in range(0, len(windows) - _BATCH + 1, _BATCH)]
    found = [len(scores) for scores in classifier._scores(windows)]
    blocks, scopes = classifier._blocks, len(heads)
    return {
        "single": quantiles_ms([seconds([text]) for text in windows]),
        "single_cold": quantiles_ms([seconds([text], cold=True) for text in windows]),
        "batch_of_32_a_text": quantiles_ms([seconds(batch) for batch in batches]),
        "scored_exactly_a_text": sum(_candidates(block, windows) for block in blocks) / len(windows),
        "verdicts_a_text": sum(found) / len(found),
        "points_a_scope": sum(len(block.inside.points.codes) for block in blocks) / scopes,
        "background_vectors": sum(len(block.outside.points.codes) for block in blocks),
        "bytes_a_scope": sum(block.nbytes for block in blocks) / scopes,
        "built_s": built,
        "added_ms": _changed(classifier, {"another": heads["scope-0"]}, []),
        "removed_ms": _changed(classifier, {}, ["scope-0"]),
    }


def _candidates(block: Block, windows: Sequence[Array]) -> int:
    """How many scopes are left for the sums, over all texts."""
    near = block.scan.near(Rounded.of(np.concatenate(windows)))
    return sum(len(np.unique(block.owners[points])) for points in near)


def _changed(classifier: PromptClassifier, added: Mapping[str, Head], removed: Sequence[str]) -> float:
    before = time.perf_counter()
    classifier.updated(added, removed)
    return 1000 * (time.perf_counter() - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(write("scoring", options.seed, measure_scoring(options.data, seed=options.seed)))
