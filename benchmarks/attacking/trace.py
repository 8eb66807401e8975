"""Traces: can it be told from answers to unrelated prompts that a model was made to forget (arXiv 2506.14003)?

python -m benchmarks.attacking.trace RESULTS...

RESULTS are folders of `unrecall compare`, which keep every arm's answers. A classifier on character n-grams is trained
to tell an arm's answers from the original model's, and judged on prompts that it was not trained on. A gateway passes
unrelated prompts as they come, so its answers are the original's, byte for byte: AUROC .5.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import write
from gateway.errors import SetupError

__all__ = ["distinguished", "main", "unrelated"]

_ORIGINAL = "original"
_UNRELATED = ("real_authors", "world_facts", "retain")
_FOLDS = 5


def main(folders: Sequence[str]) -> None:
    """Writes benchmarks/results/trace.json: the AUROC of each arm of each folder."""
    found: dict[str, Any] = {}
    for folder in map(Path, folders):
        original = unrelated(folder, _ORIGINAL)
        for path in sorted(folder.glob("arms/*/replies.jsonl")):
            if (arm := path.parent.name) != _ORIGINAL:
                found[f"{folder.name}/{arm}"] = distinguished(unrelated(folder, arm), original, seed=0)
    print(write("trace", 0, {"arms": found}))


def unrelated(folder: Path, arm: str) -> dict[str, str]:
    """An arm's greedy answers to unrelated prompts, by item. Raises SetupError if it has none."""
    path = folder / "arms" / arm / "replies.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = (json.loads(line) for line in lines)
    found = {row["item"]: row["text"] for row in rows if row["item"].partition("/")[0] in _UNRELATED}
    if not found:
        raise SetupError(f"{folder} has no answers of the arm {arm} to unrelated prompts; compare it there first")
    return found


def distinguished(arm: Mapping[str, str], original: Mapping[str, str], *, seed: int) -> dict[str, Any]:
    """The chance that the classifier ranks an answer of the arm above one of the original's, over prompts held out; the
    share of answers that are the same, and n prompts.

    Args:
        arm: answers by prompt.
        original: the original model's, by prompt.
        seed: of the folds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline

    prompts = sorted(arm.keys() & original.keys())
    order = np.random.default_rng(seed).permutation(len(prompts))
    scores, labels = [], []
    for fold in range(_FOLDS):
        held = {prompts[place] for place in order[fold::_FOLDS]}
        inside = [prompt for prompt in prompts if prompt not in held]
        model = make_pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)), LogisticRegression(C=10))
        model.fit([side[one] for one in inside for side in (arm, original)], [1, 0] * len(inside))
        outside = [prompt for prompt in prompts if prompt in held]
        scores += list(model.decision_function([side[one] for one in outside for side in (arm, original)]))
        labels += [1, 0] * len(outside)
    same = sum(arm[one] == original[one] for one in prompts) / len(prompts)
    return {"auroc": float(roc_auc_score(labels, scores)), "same": same, "n": len(prompts)}


if __name__ == "__main__":
    main(sys.argv[1:])
