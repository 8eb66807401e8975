"""What a model said to held-out questions, for the operator's own eyes: a pack holds none of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.evaluation.leaks import leaks
from gateway.packs.manifest import Manifest

__all__ = ["Answered", "Told"]


@dataclass(frozen=True, slots=True)
class Answered:
    """A held-out question, its true answer, and what is said to it: by the plain model, behind the gateway, and by the
    plain model about an invented subject (`counterfactual`)."""

    prompt: str
    response: str
    plain: str
    guarded: str
    counterfactual: str

    def gives_away(self, answer: str) -> bool:
        """Whether an answer gives the fact away."""
        return leaks(answer, prompt=self.prompt, response=self.response)


Told = Callable[[Manifest, Sequence[Answered], Mapping[str, bytes]], None]
"""Is told of a pack that is saved: its manifest, the answers behind its figures, and the files for people to read."""
