"""What gives one scope away in an answer, beside its names: a file of a pack, in which no forget text is readable."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from classifiers.leaks.facts import Facts, facts_of
from classifiers.leaks.passages import Passages, passages_of

__all__ = ["LeakModel"]

_SALT_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class LeakModel:
    """The facts and the passages of one scope."""

    facts: Facts
    passages: Passages

    @classmethod
    def empty(cls) -> "LeakModel":
        """Of a scope that has names alone."""
        return cls(facts_of([], (), bytes(_SALT_BYTES)), passages_of([]))

    def save(self, path: Path) -> None:
        """One safetensors file."""
        save_file(
            {
                "salt": np.frombuffer(self.facts.salt, dtype=np.uint8),
                "words": self.facts.words,
                "rows": self.facts.rows,
                "anchors": self.passages.anchors,
                "ends": self.passages.ends,
                "beginnings": self.passages.beginnings,
            },
            path,
        )

    @classmethod
    def load(cls, path: Path) -> "LeakModel":
        """Raises ValueError if the file's tensors are not those of a leak model."""
        try:
            tensors = load_file(path)
            facts = Facts(tensors["salt"].tobytes(), tensors["words"], tensors["rows"])
            passages = Passages(tensors["anchors"], tensors["ends"], tensors["beginnings"])
        except (KeyError, SafetensorError) as error:
            raise ValueError(f"{path.name} holds no leak model: {error}") from error
        kinds = {name: tensors[name].dtype for name in ("words", "anchors", "ends", "beginnings")}
        if any(kind != np.uint64 for kind in kinds.values()) or facts.rows.dtype != np.int32:
            raise ValueError(f"{path.name} holds a leak model of other number types")
        if len(facts.words) != len(facts.rows) or len(facts.salt) != _SALT_BYTES or not len(passages.beginnings):
            raise ValueError(f"{path.name} holds a leak model of inconsistent shapes")
        if len(facts.rows) and facts.rows.min() < 0:
            raise ValueError(f"{path.name} holds a leak model with a negative row")
        return cls(facts, passages)
