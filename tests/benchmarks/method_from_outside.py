"""A method as another package would bring it: it fades the embeddings of everything that was flagged."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gateway.core import Call, ModelNeed, Plan, Request
from gateway.methods.base import LearnedArtifact
from gateway.methods.learning import LearningTask
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput

_FILE = "fade.json"


@dataclass(frozen=True, slots=True)
class Fade(Plan):
    """The words of flagged messages, each at a share of its embedding."""

    name: ClassVar[str] = "Fade"
    needs: ClassVar[frozenset[ModelNeed]] = frozenset({"prompt_embeds"})
    share: float
    messages: tuple[int, ...]

    def model_input(self, request: Request, prompts: Prompts) -> ModelInput:
        prompt = prompts.render(request, locate=True)
        embeddings = prompts.embed(prompt.ids).clone()
        for message in self.messages:
            embeddings[prompt.tokens_of(message, [(0, len(request.messages[message].text))])] *= self.share
        return ModelInput(request.messages, prompt.ids, len(prompt.ids), embeddings)


@dataclass(frozen=True, slots=True)
class FadeTraining:
    shares: tuple[float, ...] = (0.5, 0.0)


class FadeMethod:
    name: ClassVar[str] = "fade"
    plan_name: ClassVar[str] = Fade.name
    files: ClassVar[tuple[str, ...]] = (_FILE,)
    needs: ClassVar[frozenset[ModelNeed]] = Fade.needs
    ungated: ClassVar[bool] = False
    configuration: ClassVar[type[Any]] = FadeTraining

    def save(self, artifact: float, folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps({"share": artifact}))

    def load(self, folder: Path) -> float:
        return float(json.loads((folder / _FILE).read_bytes())["share"])

    def adapter(self, artifact: float) -> None:
        return None

    def plan(self, request: Request, calls: Sequence[Call]) -> Fade | None:
        messages = {f.message for call in calls for f in call.findings if f.message is not None}
        share = min(call.artifact for call in calls)
        return Fade(share, tuple(sorted(messages))) if messages else None

    def configured(self, options: Mapping[str, Any], *, seed: int) -> FadeTraining:
        if options:
            raise ValueError(f"{', '.join(f'--{name}' for name in sorted(options))}: not for fade")
        return FadeTraining()

    def learn(
        self, task: LearningTask, configuration: FadeTraining, earlier: Callable[[], Mapping[str, Any]]
    ) -> LearnedArtifact:
        evaluator, rows = task.evaluator, task.dataset.train

        def probability(share: float) -> float:
            return evaluator.under(rows, lambda _: Fade(share, (0,))).probability

        share = min(configuration.shares, key=probability)
        figures = evaluator.figures(
            task.dataset.held_out,
            lambda _: Fade(share, (0,)),
            share=share,
        )
        return LearnedArtifact(share, figures)
