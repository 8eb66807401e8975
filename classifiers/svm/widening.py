"""Which written questions may widen a scope: those that lie beside its rows, and beside nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.text import normalise
from classifiers.splits import Split

__all__ = ["Widening", "embedded", "kept_questions"]

Array = NDArray[np.float32]
_FEWEST_WORDS = 4


@dataclass(frozen=True, slots=True)
class Widening:
    """A written question is kept if its cosine to a forget row is at least `near` and higher than to any prompt outside
    the scope; and if none to a row that was held out is as high as `duplicate`."""

    near: float = 0.45
    duplicate: float = 0.9


def kept_questions(
    written: Sequence[str],
    split: Split,
    outside: Array,
    *,
    lexical: LexicalDetector,
    encoder: Encoder,
    widening: Widening,
) -> tuple[str, ...]:
    """The written questions to train on, each once, without the scope's names: names are found anyway, and rows that
    hold them pull the head away from questions that do not.

    Args:
        written: what a model wrote.
        split: the scope's rows. Only its training rows say what is near.
        outside: [windows, hidden] of general traffic.
        lexical: finds the scope's names.
        encoder: embeds the questions.
        widening: the borders.
    """
    asked = {normalise(text).text.strip(): text for text in written if len(text.split()) >= _FEWEST_WORDS}
    taken = {normalise(text).text.strip() for text in (*split.forget.every, *split.retain.every)}
    fresh = [text for key, text in asked.items() if key not in taken]
    named = [bool(confirmed(verdicts)) for verdicts in lexical.detect(fresh)]
    unnamed = [text for text, is_named in zip(fresh, named, strict=True) if not is_named]
    rows = [(text, windows[0]) for text, windows in zip(unnamed, encoder.encode(unnamed), strict=True) if len(windows)]
    if not rows:
        return ()
    questions = np.stack([embedding for _, embedding in rows])
    inside = _nearest(questions, embedded(split.forget.train, encoder))
    near = _nearest(questions, embedded(split.retain.train, encoder))
    held = _nearest(questions, embedded((*split.forget.held_out, *split.retain.held_out), encoder))
    other = np.maximum(near, _nearest(questions, outside))
    good = (inside >= widening.near) & (inside > other) & (held < widening.duplicate)
    return tuple(text for (text, _), keep in zip(rows, good, strict=True) if keep)


def _nearest(questions: Array, rows: Array) -> Array:
    """The highest cosine [questions] to any of the rows."""
    if not len(rows):
        return np.full(len(questions), -1, dtype=np.float32)
    return np.asarray((questions @ rows.T).max(axis=1), dtype=np.float32)


def embedded(texts: Sequence[str], encoder: Encoder) -> Array:
    """[windows, hidden] of all texts."""
    if not texts:
        return np.zeros((0, encoder.hidden), dtype=np.float32)
    return np.concatenate(encoder.encode(texts))
