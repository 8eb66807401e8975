"""What every method learns from: the scope's rows as the model will meet them, and how its answers are judged."""

import copy
import math
import random
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from adapters.batches import Example, Truth
from adapters.lora.model import Lora, adapted
from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector
from classifiers.svm.model import Head, PromptClassifier
from corruption.counterfactuals import Twin, twin_of
from corruption.leak import leaks
from corruption.objective import Outcome, Sample, observe
from corruption.operators import Recipe, Table
from corruption.rollout import Rollout
from gateway.core import Edit, Message, Request
from gateway.models.language_model import LanguageModel
from gateway.policy import Means, message_seed
from gateway.prompts.embedding import decoy_table
from gateway.prompts.rendering import render
from gateway.training.likelihoods import Tokens, carried, equated, known
from gateway.training.scope_file import Row, Scope

__all__ = ["NEUTRAL", "Asked", "Learnt", "Lesson", "Progress", "Sources"]

Progress = Callable[[str, int, int], None]
_ANY_RECIPE = Recipe("decoy_name", 1.0, 1.0)
_HELDOUT_SHARE = 0.2
_ANSWER_TOKENS = 24
_LEARNT_TOKENS = 64  # what is learned by heart had better end where a sentence does
_DRAWS = 8
_UNSEEN_ROWS = 100  # enough for a mean and a spread
# For a fact that the model gives away even about somebody else, the twins' answer is no answer to learn.
NEUTRAL = (
    "I don't know that.",
    "I'm not familiar with that.",
    "I have no information about this.",
    "That isn't something I know about.",
    "I couldn't tell you.",
    "I'm not sure who or what that is.",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """The models a run uses: the base model and its folder, the sentence encoder and its folder, and, if there is one,
    a `reference` model that never saw the forget set."""

    base: LanguageModel
    base_name: str
    base_folder: Path
    encoder: Encoder
    encoder_folder: Path
    reference: LanguageModel | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a method made of a scope, how it does on held-out rows, and files for people to read."""

    means: Means
    heldout: dict[str, Any]
    extra: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A row with the ranges of its prompt that the gate points at; `named` tells names from telling words."""

    row: Row
    named: bool
    ranges: tuple[tuple[int, int], ...]


class _Voice:
    """A model that is asked by texts."""

    def __init__(self, of: LanguageModel) -> None:
        self._tokenizer = of.tokenizer
        self.weight = of.embeddings.cpu()
        self.rollout = Rollout(of.model, of.tokenizer)

    def ids(self, text: str) -> tuple[int, ...]:
        return render(self._tokenizer, _request(text)).ids

    def embedded(self, text: str) -> Tensor:
        return self.weight[list(self.ids(text))]

    def answers(self, texts: Sequence[str], temperature: float, seed: int) -> list[str]:
        prompts = [self.embedded(text) for text in texts]
        return self.rollout.answers(prompts, max_new_tokens=_LEARNT_TOKENS, temperature=temperature, seed=seed)

    def logp(self, texts: Sequence[str], responses: Sequence[str]) -> list[Tokens]:
        """Of each token of each response."""
        scores = self.rollout.token_scores([self.embedded(text) for text in texts], responses)
        return [tuple(map(float, score.logprob)) for score in scores]


class Lesson:
    """One scope's rows, `held` out for measuring and `seen` by the method, with the models to learn and judge by."""

    def __init__(self, scope: Scope, sources: Sources, head: Head, *, seed: int, progress: Progress) -> None:
        base = sources.base
        self.scope = scope
        self.sources = sources
        self.progress = progress
        self.seed = seed
        self._base = _Voice(base)
        self.table: Table = decoy_table(base.tokenizer, self._base.weight)
        self._reference = _Voice(sources.reference) if sources.reference else None
        self.rollout = self._base.rollout
        self._names = LexicalDetector({scope.id: scope.aliases})
        blaming = replace(head, threshold=-math.inf)  # a row that the gate misses has telling words too
        self._words = PromptClassifier(sources.encoder, {scope.id: blaming})
        self.blank = self.embedded("...")
        rows = list(scope.forget)
        random.Random(seed).shuffle(rows)
        held = max(1, round(_HELDOUT_SHARE * len(rows)))
        asked = [self._asked(row) for row in rows]
        self.held, self.seen = asked[:held], asked[held:]
        unseen = list(scope.unseen)
        random.Random(seed).shuffle(unseen)
        self._unseen = unseen[:_UNSEEN_ROWS]

    def whole(self) -> "Lesson":
        """The same lesson with no row unseen, for learning once more when all is measured."""
        other = copy.copy(self)
        other.held, other.seen = [], [*self.seen, *self.held]
        return other

    def sample(self, asked: Asked) -> Sample:
        """A row ready to be corrupted."""
        seed = message_seed(self.scope.id, asked.row.prompt)
        edit = Edit(0, asked.ranges, _ANY_RECIPE, seed)
        prompt = render(self.sources.base.tokenizer, _request(asked.row.prompt), locate=True)
        return Sample(
            prompt=asked.row.prompt,
            response=asked.row.response,
            original=self._base.weight[list(prompt.ids)],
            tokens=tuple(prompt.tokens_of(edit)),
            twin=self.embedded(self._twin(asked).text),
            seed=seed,
        )

    def embedded(self, text: str) -> Tensor:
        """[tokens, hidden] of a templated question."""
        return self._base.embedded(text)

    def forget_examples(self) -> list[Example]:
        """The seen rows, each with what one says who never knew, on topic and in the model's own voice: its answer to
        the row's twin. Where that gives the fact away, further answers are drawn, then the reference model is asked,
        and a neutral answer is the last resort.
        """
        found: dict[int, str] = {}
        for draw in range(_DRAWS + 1):
            self.progress("answers that never knew", draw, _DRAWS + 1)
            self._find(found, partial(self._unknowing, draw=draw))
        if self._reference:
            self._find(found, partial(self._said_by, self._reference))
        return [
            self._example(asked.row.prompt, found.get(place) or self._neutral(asked.row))
            for place, asked in enumerate(self.seen)
        ]

    def _find(self, found: dict[int, str], says: Callable[[Sequence[Asked]], Sequence[str]]) -> None:
        """Fills in what gives nothing away, of the answers to those seen rows that have none yet."""
        left = [place for place in range(len(self.seen)) if place not in found]
        for place, answer in zip(left, says([self.seen[place] for place in left]), strict=True):
            row = self.seen[place].row
            if answer and not leaks(answer, prompt=row.prompt, response=row.response):
                found[place] = answer

    def truths(self) -> list[Truth]:
        """The seen rows' true answers, with how likely they should become."""
        return [
            Truth(self._example(asked.row.prompt, asked.row.response, ends=False), logp)
            for asked, logp in zip(self.seen, self._never_known(self.seen), strict=True)
        ]

    def retain_examples(self) -> list[Example]:
        """The scope's retain rows with their true answers."""
        return [self._example(row.prompt, row.response) for row in self.scope.retain]

    def observe(
        self,
        samples: Sequence[Sample],
        prompts: Sequence[Tensor],
        *,
        loras: Sequence[tuple[Lora, float]] = (),
    ) -> Outcome:
        """How the model answers `prompts` in place of the samples' own, with `loras` times their weights. How
        surprising its answers are is up to the plain model."""
        with adapted(self.sources.base.model, loras):
            outcome, answers = observe(
                samples,
                prompts,
                rollout=self.rollout,
                relevance=self.relevance,
                blank=self.blank,
                max_new_tokens=_ANSWER_TOKENS,
            )
        if not loras:
            return outcome
        surprise = self.rollout.mean_nll([self.blank] * len(answers), answers)
        return replace(outcome, surprise=sum(surprise) / len(surprise))

    def measured(self, guarded: Callable[[Sequence[Sample]], Outcome], **more: Any) -> dict[str, Any]:
        """Plain, guarded and twin behaviour on rows that neither the gate's nor the method's choice saw."""
        self.progress("measure on held-out rows", 0, 1)
        samples = [self.sample(asked) for asked in self.held]
        return {
            "rows": len(samples),
            "plain": asdict(self.observe(samples, [sample.original for sample in samples])),
            "guarded": asdict(guarded(samples)),
            "twin": asdict(self.observe(samples, [sample.twin for sample in samples])),
            **more,
        }

    def relevance(self, questions: Sequence[str], answers: Sequence[str]) -> Sequence[float]:
        """Cosine of each question with its answer, by the sentence encoder."""
        encode = self.sources.encoder.encode
        pairs = zip(encode(questions), encode(answers), strict=True)
        return [float(q.mean(0) @ a.mean(0)) if len(q) and len(a) else 0.0 for q, a in pairs]

    def target(self, asked: Sequence[Asked]) -> Outcome | None:
        """What to learn towards: the twins' behaviour but for what they give away, and true answers as likely as to one
        who never knew. None stands for the twins alone."""
        if not self._reference and not self.scope.unseen:
            return None
        samples = [self.sample(one) for one in asked]
        outcome = replace(self.observe(samples, [sample.twin for sample in samples]), leak_rate=0.0)
        told = filter(None, map(known, self._never_known(asked)))
        probabilities = [math.exp(statistics.fmean(tokens)) for tokens in told]
        return replace(outcome, probability=statistics.fmean(probabilities)) if probabilities else outcome

    def _never_known(self, asked: Sequence[Asked]) -> list[Tokens]:
        """The log likelihood of each token of the true answers by one who never knew them: by the reference model, else
        by the model itself asked about the row's twin.

        Either is a stand-in only: another model reads otherwise, and what is known by heart brings itself back word by
        word. The scope's `unseen` rows, which nobody was taught, put it onto the model's own scale.
        """
        rows, scale = [one.row for one in asked], _logp(self._base, self._unseen)
        if self._reference:
            return equated(_logp(self._reference, rows), like=_logp(self._reference, self._unseen), to=scale)
        found = self._of_twins(asked)
        return equated(found, like=found, to=scale)

    def _of_twins(self, asked: Sequence[Asked]) -> list[Tokens]:
        """As the model finds the answers of the rows' twins; nan for the tokens that the twin has others for."""
        twins = [self._twin(one) for one in asked]
        renamed = [twin.renamed(one.row.response) for twin, one in zip(twins, asked, strict=True)]
        found = self._base.logp([twin.text for twin in twins], renamed)
        pairs = zip(asked, renamed, found, strict=True)
        return [carried(logp, self._ids(text), self._ids(one.row.response)) for one, text, logp in pairs]

    def _ids(self, text: str) -> list[int]:
        return list(self.sources.base.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _asked(self, row: Row) -> Asked:
        names = self._names.detect([row.prompt])[0]
        if names:
            return Asked(row, True, tuple((s.start_char, s.end_char) for s in names[0].spans))
        return Asked(row, False, self._telling(row.prompt))

    def _telling(self, prompt: str) -> tuple[tuple[int, int], ...]:
        """The words that the classifier would blame, whether or not it catches this row; all of it if none."""
        spans = [span for verdict in self._words.detect([prompt])[0] for span in verdict.spans]
        return tuple((s.start_char, s.end_char) for s in spans) or ((0, len(prompt)),)

    def _twin(self, asked: Asked) -> Twin:
        seed = message_seed(self.scope.id, asked.row.prompt)
        return twin_of(asked.row.prompt, asked.ranges, named=asked.named, seed=seed)

    def _unknowing(self, asked: Sequence[Asked], draw: int) -> list[str]:
        """Whole sentences about the rows' twins: the likeliest (draw 0), or drawn at random."""
        temperature, seed = min(1.0, draw), self.seed * 1000 + draw
        twins = [self._twin(one) for one in asked]
        said = self._base.answers([twin.text for twin in twins], temperature, seed)
        return [twin.restored(_sentences(text)) for twin, text in zip(twins, said, strict=True)]

    def _said_by(self, voice: _Voice, asked: Sequence[Asked]) -> list[str]:
        """Whole sentences of one who never knew, and so may be asked about the rows' own subject."""
        said = voice.answers([one.row.prompt for one in asked], 0.0, self.seed)
        return [_sentences(text) for text in said]

    def _neutral(self, row: Row) -> str:
        return NEUTRAL[message_seed(self.scope.id, row.prompt) % len(NEUTRAL)]

    def _example(self, prompt: str, answer: str, *, ends: bool = True) -> Example:
        end = [self.sources.base.tokenizer.eos_token_id] if ends else []
        return Example(self._base.ids(prompt), (*self._ids(answer), *end))


def _logp(voice: _Voice, rows: Sequence[Row]) -> list[Tokens]:
    return voice.logp([row.prompt for row in rows], [row.response for row in rows])


def _request(prompt: str) -> Request:
    return Request(id="training", endpoint="chat", model="", messages=(Message("user", prompt),))


def _sentences(answer: str) -> str:
    """The whole sentences of an answer that was cut at its length; all of it if there is none."""
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", answer)]
    return answer[: ends[-1]] if ends else answer
