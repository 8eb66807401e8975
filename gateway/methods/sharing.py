"""What the processes of one training tell each other: the rows that a method learns from by gradients."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from adapters.batches import Example, TargetLikelihood
from adapters.parallel import Processes

__all__ = ["GradientRows", "SharedTraining"]


@dataclass(frozen=True, slots=True)
class GradientRows:
    """Forget rows with neutral answers; their true answers with target likelihoods, in the same order, or none; and
    retain rows with true answers."""

    forget: Sequence[Example]
    likelihoods: Sequence[TargetLikelihood] = ()
    retain: Sequence[Example] = ()

    def to_json(self) -> str:
        """Token ids and likelihoods, exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        """Of what `to_json` wrote, parsed."""
        likelihoods = [TargetLikelihood(_example(one["example"]), tuple(one["logp"])) for one in content["likelihoods"]]
        forget, retain = ([_example(one) for one in content[kind]] for kind in ("forget", "retain"))
        return cls(forget, likelihoods, retain)


@dataclass(frozen=True, slots=True)
class SharedTraining:
    """One training of a base causal language `model`, of which each of the `processes` takes a share."""

    model: Any
    rows: GradientRows
    processes: Processes


def _example(content: dict[str, Any]) -> Example:
    return Example(tuple(content["prompt"]), tuple(content["answer"]))
