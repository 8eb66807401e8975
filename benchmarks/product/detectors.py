"""O3's out-of-distribution detector beside ECO's classifier, on the demo scope's held-out and public rows.

Both see the prompt alone, and neither the aliases: it is the learned detectors that are compared. Both are trained on
the scope's own rows; the classifier also on near rows and general traffic, the other on forget rows alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.attacks.registry import attacked
from benchmarks.compare.metrics.formulas import auroc, fpr_at_tpr
from benchmarks.items import Item
from benchmarks.product.rows import data_sets, heldout, request_of, translated
from classifiers.ood.detector import OodDetector
from classifiers.ood.training import OodTraining, fit_ood
from classifiers.splits import split_rows
from classifiers.svm.model import Head
from gateway.core import Message, Request
from gateway.models.encoders import find_encoder
from gateway.packs.store import load_pack
from gateway.screening.texts import screened_texts
from gateway.training.config import training_of
from gateway.training.run import train_scope
from gateway.training.scope_file import load_scope

__all__ = ["measure_detectors"]

_SCOPE = Path("examples/harry-potter/scope.yaml")
_PLAIN = ("named", "unnamed", "paraphrase", "multi-turn")  # what the slices outside the scope are set against
_TRIVIA = "inside/muse-books"
_FAMILIES = ("noise-prefix", "instruction-prefix", "composite", "base64", "rot13", "leetspeak", "homoglyphs")
_ATTACKED_EVERY = 3  # long attacks are slow to encode
_BATCH = 64
_Scores = Sequence[float]
_Score = Callable[[Sequence[str]], Sequence[Sequence[float]]]


def measure_detectors(data: Path, packs: Path, *, seed: int) -> dict[str, Any]:
    """For each detector: its AUROC and false positives at 95 % true positives, slice by slice.

    The slices are those of the field: names, other names (`alias`), none, paraphrases, several turns, prefixes, two
    questions in one, other languages, encodings, near domains, general traffic. One inside the scope is set against all
    general traffic; one outside it against the plain ones inside. `packs` holds the trained demo scope, or will.
    """
    train_scope(
        scope_file=_SCOPE, model="smollm2", encoder="minilm", out=packs, training=training_of("corruption", seed=seed)
    )
    slices, inside = _slices(data, seed)
    found: dict[str, Any] = {}
    for name, (score, threshold) in _detectors(packs, seed).items():
        scored = {key: _scores(score, requests, f"{name}: {key}") for key, requests in slices.items()}
        found[name] = {"threshold": threshold, "slices": _by_slice(scored, inside, threshold)}
    return found


def _slices(data: Path, seed: int) -> tuple[dict[str, list[Request]], frozenset[str]]:
    """The requests of every slice, and the names of the slices inside the scope."""
    slices: dict[str, list[Request]] = {}
    for case in (*heldout(), *translated()):
        slices.setdefault(case.slice, []).append(request_of(case.messages))
    named = [case for case in heldout() if case.slice == "named"]
    slices["alias"] = [request_of(case.messages) for case in named if "potter" not in case.prompt.casefold()]
    asked = [Item(f"{n}", "named", case.messages, case.response) for n, case in enumerate(named[::_ATTACKED_EVERY])]
    for item in attacked(asked, seed, families=_FAMILIES):
        slices.setdefault(item.slice, []).append(request_of(item.messages))
    inside = frozenset(slices) - {"near"} | {_TRIVIA}
    for name, prompts in data_sets(data).items():
        slices[name] = [request_of((Message("user", prompt),)) for prompt in prompts if prompt]
    return slices, inside


def _detectors(packs: Path, seed: int) -> Mapping[str, tuple[_Score, float]]:
    """Each detector's scores of texts (none of a text that nobody sees), and the score above which a text is inside."""
    scope = load_scope(_SCOPE)
    files = find_encoder("minilm")
    folder, encoder = files.folder, files.load()
    head = load_pack(packs / scope.id).model
    if not isinstance(head, Head):
        raise RuntimeError(f"the pack in {packs} was trained with another detector; train it with the classifier")
    forget = split_rows([row.prompt for row in scope.forget], [], seed=seed).forget

    def classifier(texts: Sequence[str]) -> list[list[float]]:
        return [[float(head.score(windows).max())] if len(windows) else [] for windows in encoder.encode(texts)]

    found: dict[str, tuple[_Score, float]] = {"classifier": (classifier, head.threshold)}
    # the paper's, and the plain encoder without any tuning
    for name, training in {"ood": OodTraining(seed=seed), "ood, untuned": OodTraining(seed=seed, epochs=0)}.items():
        fitted = fit_ood(forget=forget, encoder_folder=folder, training=training, progress=lambda *_: None)
        detector = OodDetector(encoder.backbone, {scope.id: fitted.model})
        found[name] = (_ood_scores(detector), fitted.model.threshold)
    return found


def _ood_scores(detector: OodDetector) -> _Score:
    return lambda texts: [[verdict.score for verdict in verdicts] for verdicts in detector.detect(texts)]


def _scores(score: _Score, requests: Sequence[Request], label: str) -> _Scores:
    """The highest score among the texts of each request; the gate uses that score, too."""
    found = []
    for start in tqdm(range(0, len(requests), _BATCH), desc=label, mininterval=5):
        texts = [[one.text for one in screened_texts(request)] for request in requests[start : start + _BATCH]]
        scores = iter(score([text for of_one in texts for text in of_one]))
        found += [max(found_one for _ in of_one for found_one in next(scores)) for of_one in texts]
    return found


def _by_slice(scored: Mapping[str, _Scores], inside: Collection[str], threshold: float) -> dict[str, Any]:
    general = [score for name, scores in scored.items() if name.startswith("general/") for score in scores]
    members = [score for name in _PLAIN for score in scored[name]]
    found = {}
    for name, scores in {**scored, "general/all": general}.items():
        sides = (scores, general) if name in inside else (members, scores)
        flagged = sum(score > threshold for score in scores) / len(scores)
        found[name] = {
            "n": len(scores),
            "auroc": auroc(*sides),
            "fpr_at_95_tpr": fpr_at_tpr(*sides, tpr=0.95),
            **({"fnr": 1 - flagged} if name in inside else {"fpr": flagged}),
        }
    return found
