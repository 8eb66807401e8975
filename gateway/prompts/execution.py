"""From a request and a plan to the model's input: one way, for every backend, for evaluation and for training.

Example:
    >>> given = model_input(request, plan, prompts)            # doctest: +SKIP
    >>> given.embeddings is None                               # doctest: +SKIP
    True
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor

from adapters.lora.model import Lora
from gateway.core import Instruct, Message, Pass, Plan, Request, Unavailable
from gateway.errors import PlanError
from gateway.prompts.embedding import Prompts

__all__ = ["LogitsTransform", "ModelInput", "ModelPlan", "WeightedAdapter", "model_input", "plain_input"]

LogitsTransform = Callable[[Tensor, Tensor], Tensor]
"""Generated token ids [tokens] and the next token's logits [vocabulary] to the logits to decode from [vocabulary]."""


@dataclass(frozen=True, slots=True)
class WeightedAdapter:
    """One scope's unlearning LoRA and the soft `weight` in (0, 1] that the detector gave."""

    scope: str
    lora: Lora
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class ModelInput:
    """What the model gets.

    `messages` are the conversation that was rendered and `ids` [tokens] its tokens. `embeddings` [tokens, hidden]
    replace the ids where a plan changes them. The model runs with the sum of the `adapters`, each times its weight, and
    decodes from the logits that `logits_transform` returns. `prompt_tokens` counts the request as the client sent it;
    the usage has this number.
    """

    messages: tuple[Message, ...]
    ids: tuple[int, ...]
    prompt_tokens: int
    embeddings: Tensor | None = None
    adapters: tuple[WeightedAdapter, ...] = ()
    logits_transform: LogitsTransform | None = None

    def __len__(self) -> int:
        """The tokens that the model reads."""
        return len(self.ids) if self.embeddings is None else len(self.embeddings)


class ModelPlan(Protocol):
    """A plan of a method. It makes the model's input itself (see gateway.methods)."""

    def model_input(self, request: Request, prompts: Prompts) -> ModelInput:
        """Raises PlanError if this prompt cannot carry the plan."""


def model_input(request: Request, plan: Plan, prompts: Prompts) -> ModelInput:
    """The model's input for a request under any plan but a refusal. Slow: call it off the event loop.

    Raises PlanError if this prompt cannot carry the plan (the backend then answers with the plan's fallback), and
    InvalidRequest if the model's chat template refuses the conversation.
    """
    match plan:
        case Pass():
            given = plain_input(request, prompts)
        case Instruct(text):
            given = _instructed(request, text, prompts)
        case Unavailable(why):
            raise PlanError(why)
        case _:
            given = cast("ModelPlan", plan).model_input(request, prompts)
    return _continued(given, request.written, prompts) if request.written else given


def plain_input(request: Request, prompts: Prompts) -> ModelInput:
    """The request as the client sent it."""
    ids = prompts.render(request).ids
    return ModelInput(request.messages, ids, len(ids))


def _continued(given: ModelInput, written: str, prompts: Prompts) -> ModelInput:
    """The same with the beginning of the answer behind the prompt."""
    ids = prompts.answer_ids(written)
    embeddings = given.embeddings
    if embeddings is not None:
        embeddings = torch.cat([embeddings, prompts.embed(ids).to(embeddings)])
    return replace(given, ids=(*given.ids, *ids), embeddings=embeddings)


def _instructed(request: Request, text: str, prompts: Prompts) -> ModelInput:
    asked = prompts.render(request)
    messages, prompt = prompts.instructed(request, text)
    return ModelInput(messages, prompt.ids, len(asked.ids))
