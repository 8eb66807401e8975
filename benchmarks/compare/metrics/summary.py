"""All figures of one arm, from what it said to a suite's items: replies in, a JSON-able dictionary out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.compare.core import Reply, Suite
from benchmarks.compare.metrics.evidence import AGGREGATOR, Answers, Evidence, answers_to
from benchmarks.compare.metrics.registry import METRICS

__all__ = ["Embed", "lines", "summarise"]

Embed = Callable[[Sequence[str]], Sequence[ArrayLike]]


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
    a membership score has no such reading, so forget quality and MIA are then None.

    Args:
        suite: whose items were asked.
        replies: one to each item, in any order.
        retrained: the retrained model's replies, None where there is none.
        original: the original model's replies, None where there are none.
        embed: gives a sentence embedding [hidden] for each text; called once.
        seed: of folds and resampling.
        gated: False for an arm without a gate, whose error rates nobody can ask for.

    Raises ValueError if a reply is missing, given twice or holds a number that is not finite.
    """
    arm = answers_to(suite, replies, "the arm")
    aim = Answers() if retrained is None else answers_to(suite, retrained, "the retrained model")
    before = None if original is None else answers_to(suite, original, "the original model")
    vectors = _embedded([*arm.part("forget"), *aim.part("forget")], embed)
    evidence = Evidence(arm, aim, before, vectors, seed, gated)
    return {
        "suite": suite.name,
        "items": len(arm),
        "seed": seed,
        "truth_ratio_aggregator": AGGREGATOR,
        **{metric.key: metric.measure(evidence) for metric in METRICS.values()},
    }


def lines(summary: Mapping[str, Any]) -> list[str]:
    """The figures of every metric, one a line: name, value, and which way is better."""
    return [
        f"{' / '.join(path)}: {'not computed' if value is None else f'{value:.4g}'} ({figure.better.words})"
        for metric in METRICS.values()
        for figure in metric.figures
        for path, value in _found(summary, figure.path)
    ]


def _embedded(rows: Sequence[Any], embed: Embed) -> Mapping[str, NDArray[np.float64]]:
    texts = list(dict.fromkeys(text for row in rows for text in (row.item.prompt, row.reply.text)))
    vectors = embed(texts) if texts else []
    return {text: np.asarray(vector, dtype=np.float64) for text, vector in zip(texts, vectors, strict=True)}


def _found(node: Any, path: Sequence[str]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Each path of the summary that fits, with what stands there; None where nothing does."""
    if not path:
        yield (), node
    elif path[0] == "*":
        for name, below in (node or {}).items():
            yield from (((name, *rest), value) for rest, value in _found(below, path[1:]))
    else:
        below = node.get(path[0]) if isinstance(node, Mapping) else None
        yield from (((path[0], *rest), value) for rest, value in _found(below, path[1:]))
