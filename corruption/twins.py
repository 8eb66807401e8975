"""Counterfactual twins: the same question about somebody the model cannot know.

The model's behaviour on twins estimates how a model that never saw the forget set would behave (the target v_retain
of ECO, arXiv 2406.07933, section 3.3) when no such model is at hand.
"""

import random
from collections.abc import Sequence
from importlib import resources

__all__ = ["twin"]


def twin(text: str, ranges: Sequence[tuple[int, int]], *, named: bool, seed: int) -> str:
    """The text with each half-open range replaced by an invented name (or a plain word); equal words alike."""
    rng = random.Random(seed)
    pool = _pool("names.txt" if named else "words.txt")
    chosen: dict[str, str] = {}
    parts, cursor = [], 0
    for start, end in sorted(ranges):
        if start < cursor:
            continue
        original = text[start:end].casefold()
        if original not in chosen:
            chosen[original] = rng.choice(pool)
        parts += [text[cursor:start], chosen[original]]
        cursor = end
    return "".join([*parts, text[cursor:]])


def _pool(file: str) -> list[str]:
    text = (resources.files("corruption") / "data" / file).read_text(encoding="utf-8")
    return text.splitlines() if file == "names.txt" else text.split()
