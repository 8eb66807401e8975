"""What a training learned, in a person's words: counts, with their intervals."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.packs.manifest import Manifest

__all__ = ["Count", "attack_command", "counts", "sentences"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many of some rows something is true of, and the 95 % interval of that rate (Wilson 1927)."""

    name: str
    hits: int
    of: int

    @property
    def share(self) -> str:
        """The rate, with its interval."""
        from gateway.experiments.intervals import rate

        found = rate(self.hits, self.of)
        return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})" if self.of else "not measured"

    @property
    def at_most(self) -> str:
        """The upper end of the interval."""
        from gateway.experiments.intervals import rate

        return f"{rate(self.hits, self.of).high:.0%}"


def counts(manifest: "Manifest") -> Iterator[Count]:
    """The error rates of a pack's gate and of its forgetting, on rows held out."""
    gate, forgetting = manifest.heldout.gate, manifest.heldout.forgetting
    rates = (
        ("questions inside the scope that the gate missed", gate.fnr, gate.forget_rows),
        ("the same by the classifier alone, without the names", gate.classifier_fnr, gate.forget_rows),
        ("questions near the scope that the gate flagged", gate.near_fpr, gate.retain_rows),
        ("general prompts that the detector flagged", gate.general_fpr, gate.general_rows),
        ("facts that the plain model gave away", forgetting.plain.leak_rate, forgetting.plain.rows),
        ("facts given away where the gate flags the question", forgetting.guarded.leak_rate, forgetting.guarded.rows),
        (
            "facts given away about an invented subject (what luck gives)",
            forgetting.counterfactual.leak_rate,
            forgetting.counterfactual.rows,
        ),
    )
    for name, rate, rows in rates:
        if rate is not None and rows:
            yield Count(name, round(rate * rows), rows)
    for kind, alarms in manifest.alias_alarms.items():
        label = "shipped general prompts" if kind == "general" else "rows of --traffic"
        if alarms.rows:
            yield Count(f"{label} that the names alone flagged", alarms.flagged, alarms.rows)


def sentences(manifest: "Manifest") -> Iterator[str]:
    """What the figures say, for somebody who never saw such a table."""
    gate, forgetting = manifest.heldout.gate, manifest.heldout.forgetting
    plain, guarded = (
        Count("", round(figures.leak_rate * figures.rows), figures.rows)
        for figures in (forgetting.plain, forgetting.guarded)
    )
    yield (
        f"Of {plain.of} questions that it did not learn from, the plain model gave the fact away in {plain.hits}; "
        f"where the gate flags them {guarded.hits} do (with 95 % confidence at most {guarded.at_most})."
    )
    if not plain.hits:
        yield (
            "The plain model knew none of these facts, so this says nothing of the forgetting: take rows whose answers "
            "this model knows."
        )
    if gate.fnr is not None and gate.forget_rows:
        missed = Count("", round(gate.fnr * gate.forget_rows), gate.forget_rows)
        yield (
            f"The gate missed {missed.hits} of {missed.of} questions inside the scope (at most {missed.at_most}); the "
            "model answers a question that is missed as if nothing were forgotten."
        )
    if gate.near_fpr is not None and gate.retain_rows:
        near = Count("", round(gate.near_fpr * gate.retain_rows), gate.retain_rows)
        yield (
            f"It flagged {near.hits} of {near.of} questions near the scope, which should pass (at most {near.at_most})."
        )
    else:
        yield (
            "It was not measured how many questions near the scope are flagged: add 10 to 50 of them that must pass as "
            "`retain` rows of the scope file (docs/files.md) and train again, so that the gate learns to let them pass."
        )


def attack_command(scope_file: str, packs: str, model: str) -> str:
    """How to look for the questions that still get through."""
    return shlex.join(
        [
            "unrecall",
            "attack",
            "--scope",
            scope_file,
            "--packs",
            packs,
            "--model",
            model,
            "--out",
            "attacked",
            "--quick",
        ]
    )
