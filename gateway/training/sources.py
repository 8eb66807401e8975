"""The models of a training run, and a model that takes texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from gateway.core import Message, Request
from gateway.evaluation.generation import Answers, Rollout
from gateway.models.encoders import EncoderFiles
from gateway.models.language_model import LanguageModel
from gateway.prompts.embedding import Prompts
from gateway.training.likelihoods import Tokens

if TYPE_CHECKING:
    from classifiers.encoder.sentence import Encoder
    from classifiers.languages.encoder import MultilingualEncoder
    from gateway.training.upstream import ServedModel

__all__ = ["ReferenceModel", "Sources", "asked"]

_ANSWER_TOKENS = 64  # enough for a whole sentence, which a method can learn


@dataclass(frozen=True, slots=True)
class Sources:
    """The models of a run: the base model, in memory or behind a server, and its folder, the sentence encoder and its
    files, and, if there is one, a `reference` model that never saw the forget set. `languages` reads other languages
    than English; None: the pack guards these by names alone."""

    base: "LanguageModel | ServedModel"
    base_name: str
    base_folder: Path
    encoder: "Encoder"
    encoder_files: EncoderFiles
    reference: LanguageModel | None = None
    languages: "MultilingualEncoder | None" = None


class ReferenceModel:
    """A model whose answers and likelihoods are targets: a model that never saw the forget set, or the base model with
    questions about an invented subject."""

    def __init__(self, model: "LanguageModel | ServedModel") -> None:
        self._tokenizer = model.tokenizer
        self.prompts = Prompts(model.tokenizer, model.embeddings.cpu())
        self.rollout: Answers = (
            Rollout(model.model, model.tokenizer) if isinstance(model, LanguageModel) else model.rollout
        )

    @property
    def end(self) -> int:
        """The id of the token that ends an answer."""
        return int(self._tokenizer.eos_token_id)

    def prompt_ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a templated question."""
        return self.prompts.render(asked(text)).ids

    def answer_ids(self, text: str) -> list[int]:
        """Token ids of an answer, without an end token."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def tokens_in(self, text: str, ranges: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
        """Places, in the templated question, of the tokens that overlap half-open character ranges of its text."""
        return tuple(self.prompts.render(asked(text), locate=True).tokens_of(0, ranges))

    def embedded(self, text: str) -> Tensor:
        """[tokens, hidden] of a templated question."""
        return self.prompts.embed(self.prompt_ids(text))

    def answers(
        self, texts: Sequence[str], temperature: float, seed: int, *, max_new_tokens: int = _ANSWER_TOKENS
    ) -> list[str]:
        """One answer a question.

        Args:
            texts: the questions.
            temperature: 0 is greedy.
            seed: of the sampling.
            max_new_tokens: of an answer.
        """
        prompts = [self.embedded(text) for text in texts]
        return self.rollout.answers(prompts, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)

    def logp(self, texts: Sequence[str], responses: Sequence[str]) -> list[Tokens]:
        """Log likelihoods, in nats, of the tokens of each response to its question."""
        return self.rollout.logprobs([self.prompt_ids(text) for text in texts], responses)


def asked(prompt: str) -> Request:
    """A row's question as the gateway gets it."""
    return Request(id="training", endpoint="chat", model="", messages=(Message("user", prompt),))
