"""A scope's rows for every method: split once, each with the ranges of its prompt to which the gate points."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.splits import Split
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.model import Head
from classifiers.svm.training import TrainedGate
from corruption.counterfactuals import CounterfactualPrompt, counterfactual_of
from corruption.selection import message_seed
from gateway.training.scope_file import Row, Scope

__all__ = ["ForgetDataset", "LocatedRow", "Progress", "forget_dataset"]

Progress = Callable[[str, int, int], None]
"""Is told a stage, how many of its steps are done, and of how many. A stage of no steps is a line to read."""


@dataclass(frozen=True, slots=True)
class LocatedRow:
    """A row and the half-open character `ranges` of its prompt to which the gate points: the scope's names if it is
    `named`, else the salient words. `seed` is that of the prompt, as in serving."""

    row: Row
    named: bool
    ranges: tuple[tuple[int, int], ...]
    seed: int

    @property
    def counterfactual(self) -> CounterfactualPrompt:
        """The same question about an invented subject, which the model cannot know."""
        return counterfactual_of(self.row.prompt, self.ranges, named=self.named, seed=self.seed)


@dataclass(frozen=True, slots=True)
class ForgetDataset:
    """One scope's rows.

    `train` and `held_out` are the forget rows on the two sides of the split. A head that was fitted on `train` alone
    locates both: with salient words from a head that knows a held-out row, the figures of that row would be too good.
    `every` holds all forget rows, those of `train` first, located by the head that the pack ships; a method learns from
    them the artifact that it serves. A method may learn from all `retain` rows: it has no figures on them.
    """

    scope: Scope
    train: tuple[LocatedRow, ...]
    held_out: tuple[LocatedRow, ...]
    every: tuple[LocatedRow, ...]

    @property
    def train_as_served(self) -> tuple[LocatedRow, ...]:
        """The rows of `train`, located by the head that the pack ships."""
        return self.every[: len(self.train)]

    @property
    def retain(self) -> tuple[Row, ...]:
        """Rows near the scope, but outside."""
        return self.scope.retain


def forget_dataset(scope: Scope, split: Split, gate: TrainedGate, encoder: Encoder) -> ForgetDataset:
    """Locates the scope's rows.

    Args:
        scope: the scope with its rows.
        split: the split that the gate was fitted with.
        gate: its heads choose the salient words.
        encoder: embeds the rows for the heads.
    """
    rows = {row.prompt: row for row in scope.forget}
    train, held_out = ([rows[prompt] for prompt in prompts] for prompts in (split.forget.train, split.forget.held_out))
    measured, final = (_Locator(scope, head, encoder) for head in (gate.measured_head, gate.head))
    return ForgetDataset(scope, measured.locate(train), measured.locate(held_out), final.locate([*train, *held_out]))


class _Locator:
    """Finds the ranges of a prompt to which the gate points."""

    def __init__(self, scope: Scope, head: Head, encoder: Encoder) -> None:
        self._scope = scope.id
        self._names = LexicalDetector({scope.id: scope.aliases})
        always = replace(head, threshold=-math.inf)  # a row that the gate misses has salient words too
        self._words = PromptClassifier(encoder, {scope.id: always})

    def locate(self, rows: Iterable[Row]) -> tuple[LocatedRow, ...]:
        return tuple(self._located(row) for row in rows)

    def _located(self, row: Row) -> LocatedRow:
        seed = message_seed(self._scope, row.prompt)
        names = confirmed(self._names.detect([row.prompt])[0])
        if names:
            return LocatedRow(row, True, tuple((s.start_char, s.end_char) for s in names[0].spans), seed)
        return LocatedRow(row, False, self._salient(row.prompt), seed)

    def _salient(self, prompt: str) -> tuple[tuple[int, int], ...]:
        """The words that raise the classifier's score most, whether or not it flags this row; the whole prompt if there
        are none."""
        spans = [span for verdict in self._words.detect([prompt])[0] for span in verdict.spans]
        return tuple((s.start_char, s.end_char) for s in spans) or ((0, len(prompt)),)
