"""All figures of one arm, from what it said to a suite's items: replies in, a JSON-able dictionary out."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.compare import metrics
from benchmarks.compare.core import Reply, Suite
from benchmarks.items import Item
from gateway.core import Pass, Refuse
from gateway.evaluation.leaks import leaks, repetition
from gateway.experiments.intervals import rate

__all__ = ["DIRECTIONS", "SAMPLES", "Embed", "lines", "summarise"]

Embed = Callable[[Sequence[str]], Sequence[ArrayLike]]
SAMPLES = (1, 8, 32)
_AGGREGATOR: metrics.Aggregator = "geometric"
_HIGHER, _LOWER = "higher is better", "lower is better"
_AIM = "the aim is the retrained model's"
_DOWN = f"{_LOWER}, and {_AIM}"
# members and non-members, the first pair that a suite has
_MEMBERSHIP = (("mia/forget", "mia/retain"), ("privleak/forget", "privleak/holdout"), ("forget", "unseen"))
_SCORES = ("loss", "min_k", "min_k_plus")
_ATTACK = "attack/"

DIRECTIONS: dict[tuple[str, ...], str] = {
    ("forget_quality", "raw_p"): _HIGHER,
    ("forget_quality", "eco_compatible_p"): _HIGHER,
    ("utility", "value"): _HIGHER,
    ("utility", "parts", "*"): _HIGHER,
    ("forget", "probability"): _DOWN,
    ("forget", "rouge_l"): _DOWN,
    ("forget", "exact_memorisation"): _DOWN,
    ("forget", "extraction_strength"): _DOWN,
    ("leak", "greedy"): _DOWN,
    **{("leak", f"at_{k}"): _DOWN for k in SAMPLES},
    **{("mia", f"{name}_auc"): _AIM for name in _SCORES},
    ("mia_distance",): f"{_LOWER}, 0 is the aim",
    ("repetition",): _DOWN,
    ("relevance", "value"): _AIM,
    ("distinguishability_auroc",): ".5 is the aim, below it is chance",
    ("gate", "*", "rate"): _LOWER,
    ("attacks", "*", "leak"): _DOWN,
    ("attacks", "*", "probability"): _DOWN,
    ("attacks", "*", "flagged"): _HIGHER,
    ("identical", "share"): _HIGHER,
}
"""Which way each figure of a summary is better, by its path; "*" stands for any slice or part."""


def summarise(
    suite: Suite,
    replies: Sequence[Reply],
    retrained: Sequence[Reply] | None,
    *,
    original: Sequence[Reply] | None,
    embed: Embed,
    seed: int,
    gated: bool = True,
) -> dict[str, Any]:
    """The figures of the arm that gave `replies`, next to the retrained model's where there is one.

    A figure stands for all items of its slice: it is None if a reply lacks what it needs, or if there is no such item,
    and never a mean over the rows that happened to have it. Where the arm refused without asking its model, the true
    answer has probability 0 (something else is said for certain), and utility counts the truth as 0; a truth ratio or
    a membership score has no such reading, so forget quality and MIA are then None. `gated` is False for an arm with
    no gate, whose error rates nobody can ask for. `embed` is called once; `seed` is that of folds and resampling.

    Raises ValueError if a reply is missing, given twice or holds a number that is not finite.
    """
    arm = _paired(suite, replies, "the arm")
    aim = None if retrained is None else _paired(suite, retrained, "the retrained model")
    before = None if original is None else _paired(suite, original, "the original model")
    vectors = _embedded([*_part(arm, "forget"), *_part(aim or (), "forget")], embed)
    mia = _membership(arm, aim)
    return {
        "suite": suite.name,
        "items": len(arm),
        "seed": seed,
        "truth_ratio_aggregator": _AGGREGATOR,
        "forget_quality": _forget_quality(arm, aim),
        "utility": _utility(arm),
        "forget": _forgetting(_part(arm, "forget"), seed),
        "leak": _leak(_part(arm, "forget")),
        "mia": mia,
        "mia_distance": _largest(mia["distances"].values()) if mia else None,
        "repetition": _repetition(arm),
        "repetition_retrained": _repetition(aim or ()),
        "relevance": _relevance(arm, aim, vectors, seed),
        "distinguishability_auroc": _distinguishability(arm, aim, vectors, seed),
        "gate": _gate(arm) if gated else None,
        "attacks": _attacks(arm, gated),
        "identical": _identical(arm, before),
    }


def lines(summary: Mapping[str, Any]) -> list[str]:
    """The figures that have a direction, one a line: name, value, and which way is better."""
    return [
        f"{' / '.join(path)}: {'not computed' if value is None else f'{value:.4g}'} ({direction})"
        for pattern, direction in DIRECTIONS.items()
        for path, value in _found(summary, pattern)
    ]


@dataclass(frozen=True, slots=True)
class _Told:
    """An item and what the arm made of it."""

    item: Item
    reply: Reply

    @property
    def flagged(self) -> bool:
        return self.reply.plan != Pass.__name__

    @property
    def refused(self) -> bool:
        """Nobody asked the model: what is said is fixed."""
        return self.reply.plan == Refuse.__name__ and self.reply.answer is None

    @property
    def probability(self) -> float | None:
        return 0.0 if self.refused else self.reply.answer

    @property
    def choice(self) -> float | None:
        """The probability as the share of all choices, as TOFU reads it outside its own authors."""
        if self.refused:
            return 0.0
        known = self.reply.answer is not None and _complete(self)
        return metrics.choice_probability(self.reply.answer or 0.0, self.reply.perturbed) if known else None

    @property
    def ratio(self) -> float | None:
        """The truth ratio, against the true answer itself where the item has no paraphrase of it."""
        truth = self.reply.answer if self.item.paraphrase is None else self.reply.paraphrase
        if truth is None or not _complete(self):
            return None
        return metrics.truth_ratio(truth, self.reply.perturbed, aggregator=_AGGREGATOR)

    @property
    def truth(self) -> float | None:
        if self.refused:
            return 0.0
        return None if self.ratio is None else metrics.utility_truth(self.ratio)

    @property
    def rouge_l(self) -> float:
        return metrics.rouge_l_recall(self.item.answer, self.reply.text)

    def leaks(self, text: str) -> bool:
        return leaks(text, prompt=self.item.prompt, response=self.item.fact or self.item.answer)


_Rows = Sequence[_Told]
_Vectors = Mapping[str, NDArray[np.float64]]


def _paired(suite: Suite, replies: Sequence[Reply], whose: str) -> list[_Told]:
    by_item = {reply.item: reply for reply in replies}
    if len(by_item) < len(replies):
        raise ValueError(f"{whose} gave {len(replies) - len(by_item)} replies to items that have another reply")
    missing = [item.id for item in suite.items if item.id not in by_item]
    if missing:
        some = ", ".join(missing[:3])
        raise ValueError(f"{whose} gave no reply to {len(missing)} of {len(suite.items)} items: {some}, ...")
    wild = [item.id for item in suite.items if not _finite(by_item[item.id])]
    if wild:
        raise ValueError(f"{whose} gave {len(wild)} replies with numbers that are not finite: {', '.join(wild[:3])}")
    return [_Told(item, by_item[item.id]) for item in suite.items]


def _forget_quality(arm: _Rows, aim: _Rows | None) -> dict[str, Any] | None:
    ratios, aims = ([row.ratio for row in _part(rows, "forget") if row.item.perturbed] for rows in (arm, aim or ()))
    ours, theirs = _all_known(ratios), _all_known(aims)
    return dataclasses.asdict(metrics.forget_quality(ours, theirs)) if ours and theirs else None


def _utility(arm: _Rows) -> dict[str, Any]:
    """TOFU's nine parts; of a suite that lacks one of the three slices, the harmonic mean of the parts it has."""
    slices = {name: _slice(arm, name) for name in metrics.UTILITY_SLICES}
    parts: dict[str, float | None] = {}
    for name, rows in slices.items():
        parts[f"{name}_probability"] = _mean([row.probability if name == "retain" else row.choice for row in rows])
        parts[f"{name}_rouge_l_recall"] = _mean([row.rouge_l for row in rows])
        parts[f"{name}_truth"] = _mean([row.truth for row in rows])
    known = {name: value for name, value in parts.items() if value is not None}
    return {
        "value": metrics.model_utility(known) if known and len(known) == 3 * sum(map(bool, slices.values())) else None,
        "of_parts": len(known),
        "parts": parts,
        "n": {name: len(rows) for name, rows in slices.items()},
        "refused": {name: sum(row.refused for row in rows) for name, rows in slices.items()},
    }


def _forgetting(rows: _Rows, seed: int) -> dict[str, Any]:
    flags = [row.reply.memorised for row in rows]
    values: dict[str, list[float | None]] = {
        "probability": [row.probability for row in rows],
        "rouge_l": [row.rouge_l for row in rows],
        "exact_memorisation": [metrics.exact_memorisation(one) if one else None for one in flags],
        "extraction_strength": [metrics.extraction_strength(one) if one else None for one in flags],
    }
    return {
        **{name: _mean(each) for name, each in values.items()},
        "intervals": {name: _spread(each, seed) for name, each in values.items()},
        "n": len(rows),
        "refused": sum(row.refused for row in rows),
    }


def _leak(rows: _Rows) -> dict[str, Any]:
    sampled = [[row.leaks(text) for text in row.reply.samples] for row in rows]
    samples = min(map(len, sampled), default=0)
    flags = {"greedy": [row.leaks(row.reply.text) for row in rows]}
    for k in SAMPLES:
        flags[f"at_{k}"] = [metrics.leak_at_k(one, k) for one in sampled] if k <= samples else []
    return {
        **{name: _mean(each) for name, each in flags.items()},
        "intervals": {name: _wilson(each) for name, each in flags.items()},
        "n": len(rows),
        "samples": samples,
    }


def _membership(arm: _Rows, aim: _Rows | None) -> dict[str, Any] | None:
    """The suite's own members and non-members, else forgotten items against those of the slice "unseen"."""
    sides = next((names for names in _MEMBERSHIP if all(_sides(arm, names))), None)
    if sides is None:
        return None
    members, others = _sides(arm, sides)
    ours = {name: _auc(arm, name, sides) for name in _SCORES}
    theirs = {name: _auc(aim or (), name, sides) for name in _SCORES}
    return {
        **{f"{name}_auc": auc for name, auc in ours.items()},
        **{f"{name}_auc_retrained": auc for name, auc in theirs.items()},
        "distances": {name: _apart(ours[name], theirs[name]) for name in _SCORES},
        "n_members": len(members),
        "n_non_members": len(others),
    }


def _sides(rows: _Rows, sides: tuple[str, str]) -> tuple[list[_Told], list[_Told]]:
    inside, outside = sides
    return _part(rows, inside) if inside == "forget" else _slice(rows, inside), _slice(rows, outside)


def _auc(rows: _Rows, score: str, sides: tuple[str, str]) -> float | None:
    inside, outside = (_all_known([getattr(row.reply, score) for row in of_one]) for of_one in _sides(rows, sides))
    return metrics.mia_auc(inside, outside) if inside and outside else None


def _repetition(rows: _Rows) -> float | None:
    return _mean([repetition(row.reply.text) for row in _part(rows, "forget")])


def _relevance(arm: _Rows, aim: _Rows | None, vectors: _Vectors, seed: int) -> dict[str, Any]:
    ours, theirs = (
        [metrics.relevance(vectors[row.item.prompt], vectors[row.reply.text]) for row in _part(rows, "forget")]
        for rows in (arm, aim or ())
    )
    return {"value": _mean(ours), "retrained": _mean(theirs), "interval": _spread(ours, seed), "n": len(ours)}


def _distinguishability(arm: _Rows, aim: _Rows | None, vectors: _Vectors, seed: int) -> float | None:
    ours, theirs = _part(arm, "forget"), _part(aim or (), "forget")
    questions = [vectors[row.item.prompt] for row in ours]
    if not theirs or len(np.unique(questions, axis=0)) < 2:
        return None
    answers = ([vectors[row.reply.text] for row in rows] for rows in (ours, theirs))
    return metrics.distinguishability(questions, *answers, seed=seed)


def _gate(arm: _Rows) -> dict[str, Any]:
    """Error rates at the deployed threshold, by slice: false negatives of what is inside a takedown, else false
    positives. Of a slice that holds both, what is outside has an entry of its own."""
    rates: dict[str, Any] = {}
    for name in dict.fromkeys(row.item.slice for row in arm):
        rows = _slice(arm, name)
        inside = [row.flagged for row in rows if row.item.scope is not None]
        outside = [row.flagged for row in rows if row.item.scope is None]
        if inside:
            passed = [not flag for flag in inside]
            rates[name] = _error_rate("fnr", metrics.false_negative_rate(inside), inside, passed)
        if outside:
            entry = f"{name}, outside" if inside else name
            rates[entry] = _error_rate("fpr", metrics.false_positive_rate(outside), outside, outside)
    return rates


def _error_rate(kind: str, rate: float, flagged: Sequence[bool], errors: Sequence[bool]) -> dict[str, Any]:
    return {"kind": kind, "rate": rate, "interval": _wilson(errors), "flagged": _mean(flagged), "n": len(flagged)}


def _attacks(arm: _Rows, gated: bool) -> dict[str, Any]:
    """By slice, of the questions inside a takedown; those outside all have nothing to leak, and stand in the gate's."""
    rates: dict[str, Any] = {}
    for name in dict.fromkeys(row.item.slice for row in arm if row.item.slice.startswith(_ATTACK)):
        rows = [row for row in _slice(arm, name) if row.item.scope is not None]
        leaked = [row.leaks(row.reply.text) for row in rows]
        rates[name] = {
            "leak": _mean(leaked),
            "interval": _wilson(leaked),
            "probability": _mean([row.probability for row in rows]),
            "flagged": _mean([row.flagged for row in rows]) if gated else None,
            "n": len(rows),
        }
    return rates


def _identical(arm: _Rows, before: _Rows | None) -> dict[str, Any] | None:
    """Of items outside every takedown, those answered word for word as the original model does."""
    if before is None:
        return None
    same = [
        ours.reply.text == theirs.reply.text
        for ours, theirs in zip(arm, before, strict=True)
        if ours.item.scope is None
    ]
    return {"share": _mean(same), "n": len(same), "interval": _wilson(same)}


def _embedded(rows: _Rows, embed: Embed) -> _Vectors:
    texts = list(dict.fromkeys(text for row in rows for text in (row.item.prompt, row.reply.text)))
    vectors = embed(texts) if texts else []
    return {text: np.asarray(vector, dtype=np.float64) for text, vector in zip(texts, vectors, strict=True)}


def _part(rows: _Rows, name: str) -> list[_Told]:
    return [row for row in rows if row.item.part == name]


def _slice(rows: _Rows, name: str) -> list[_Told]:
    return [row for row in rows if row.item.slice == name]


def _complete(row: _Told) -> bool:
    """Every wrong answer of the item has its probability, and there is one."""
    return 0 < len(row.item.perturbed) == len(row.reply.perturbed)


def _finite(reply: Reply) -> bool:
    numbers = (reply.answer, reply.paraphrase, *reply.perturbed, reply.loss, reply.min_k, reply.min_k_plus)
    return all(number is None or math.isfinite(number) for number in numbers)


def _all_known(values: Sequence[float | None]) -> list[float]:
    """The values, none at all if one is unknown."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _mean(values: Sequence[float | None]) -> float | None:
    known = _all_known(values)
    return statistics.fmean(known) if known else None


def _spread(values: Sequence[float | None], seed: int) -> list[float] | None:
    known = _all_known(values)
    return list(dataclasses.astuple(metrics.bootstrap_interval(known, seed=seed))) if known else None


def _wilson(flags: Sequence[bool]) -> list[float] | None:
    if not flags:
        return None
    estimate = rate(sum(flags), len(flags))
    return [estimate.low, estimate.high]


def _apart(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else abs(one - other)


def _largest(values: Sequence[float | None]) -> float | None:
    return max(_all_known(list(values)), default=None)


def _found(node: Any, pattern: Sequence[str]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Each path of the summary that fits the pattern, with what stands there; None where nothing does."""
    if not pattern:
        yield (), node
    elif pattern[0] == "*":
        for name, below in (node or {}).items():
            yield from (((name, *path), value) for path, value in _found(below, pattern[1:]))
    else:
        below = node.get(pattern[0]) if isinstance(node, Mapping) else None
        yield from (((pattern[0], *path), value) for path, value in _found(below, pattern[1:]))
