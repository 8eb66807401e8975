"""ECO: corrupts the embeddings of names, or of a question's salient words (arXiv 2406.07933)."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

from corruption.operators import Corruption, CorruptionConfig, corrupt
from corruption.selection import message_seed
from gateway.core import FEATURES, Call, ModelNeed, Plan, Request
from gateway.errors import PlanError
from gateway.methods.base import LearnedArtifact
from gateway.methods.curves import curve_png
from gateway.methods.learning import Evaluator, LearningTask, LocatedRow
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput
from gateway.prompts.rendering import Prompt

if TYPE_CHECKING:
    from corruption.search import SearchConfig, SearchResult

__all__ = ["Corrupt", "CorruptionMethod", "CorruptionTraining", "Edit"]

_FILE = "corruption.json"
_NAMES = "lexical"  # the detector whose ranges are names


@dataclass(frozen=True, slots=True)
class Edit:
    """Corrupt these half-open character ranges of one message with one configuration. Without a message: all that the
    client brought into the prompt."""

    message: int | None
    ranges: tuple[tuple[int, int], ...]
    config: CorruptionConfig
    seed: int


@dataclass(frozen=True, slots=True)
class Corrupt(Plan):
    """Embedding-corrupted prompt (ECO, arXiv 2406.07933, section 3.2)."""

    name: ClassVar[str] = "Corrupt"
    needs: ClassVar[frozenset[ModelNeed]] = frozenset({"prompt_embeds"})
    carries: ClassVar[frozenset[str]] = FEATURES
    edits: tuple[Edit, ...]

    def model_input(self, request: Request, prompts: Prompts) -> ModelInput:
        """The whole templated prompt embedded, the edits applied. If no edit meets a token, all of the client's text is
        corrupted: a refusal would tell the client that it found a way around the edits. Raises PlanError if the prompt
        has no text."""
        prompt = prompts.render(request, locate=True)
        original = prompts.embed(prompt.ids)
        embeddings = original.float().clone()
        parts = [(edit, _tokens(prompt, edit)) for edit in self.edits]
        if not any(tokens for _, tokens in parts):
            parts = [(self.edits[0], prompt.content)]
        if not any(tokens for _, tokens in parts):
            raise PlanError("the prompt has no text that could be corrupted")
        for edit, tokens in parts:
            embeddings[tokens] = corrupt(embeddings[tokens], edit.config, prompts.table, edit.seed)
        return ModelInput(request.messages, prompt.ids, len(prompt.ids), embeddings.to(original.dtype))


@dataclass(frozen=True, slots=True)
class CorruptionTraining:
    """The search's budget: `evaluations` of the objective, on `rows` forget rows at most for each of its two parts."""

    evaluations: int = 12
    rows: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.evaluations < 1 or self.rows < 1:
            raise ValueError("the corruption needs a budget of at least one evaluation on at least one row")


class _ConfigFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str
    share: float
    strength: float
    noise: float


class _CorruptionFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    named: _ConfigFile
    described: _ConfigFile
    both: bool


class CorruptionMethod:
    """See `gateway.methods.base.Method`."""

    name: ClassVar[str] = "corruption"
    plan_name: ClassVar[str] = Corrupt.name
    files: ClassVar[tuple[str, ...]] = (_FILE,)
    needs: ClassVar[frozenset[ModelNeed]] = Corrupt.needs
    ungated: ClassVar[bool] = False
    learns_by_asking: ClassVar[bool] = True
    """It needs no gradients: a server can stand in for the model (`train --upstream`)."""
    configuration: ClassVar[type[Any]] = CorruptionTraining

    def save(self, artifact: Corruption, folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(asdict(artifact), indent=2), encoding="utf-8")

    def load(self, folder: Path) -> Corruption:
        file = _CorruptionFile.model_validate_json((folder / _FILE).read_bytes())
        named, described = (CorruptionConfig(**part.model_dump()) for part in (file.named, file.described))
        return Corruption(named, described, file.both)

    def adapter(self, artifact: Corruption) -> None:
        return None

    def plan(self, request: Request, calls: Sequence[Call]) -> Corrupt:
        return Corrupt(tuple(edit for call in calls for edit in _edits(request, call)))

    def configured(self, options: Mapping[str, Any], *, seed: int) -> CorruptionTraining:
        known = {field.name for field in fields(CorruptionTraining)}
        if unknown := sorted(options.keys() - known):
            flags = ", ".join(f"--{name}" for name in unknown)
            raise ValueError(f"{flags}: not for {self.name}, which learns in --evaluations")
        return replace(CorruptionTraining(seed=seed), **options)

    def learn(
        self, task: LearningTask, configuration: CorruptionTraining, earlier: Callable[[], Mapping[str, Any]]
    ) -> LearnedArtifact:
        from corruption.search import SearchConfig

        search = SearchConfig(evaluations=configuration.evaluations, seed=configuration.seed)
        return _learned(task, search, rows=configuration.rows)


def _tokens(prompt: Prompt, edit: Edit) -> list[int]:
    return prompt.content if edit.message is None else prompt.tokens_of(edit.message, edit.ranges)


def _edits(request: Request, call: Call) -> Iterable[Edit]:
    """Names with the one configuration, salient words with the other, message by message. If the scope's text stands
    in no message (in the name of a speaker, for example), all of the client's text."""
    corruption: Corruption = call.artifact
    if not any(finding.ranges or finding.message is not None for finding in call.findings):
        yield Edit(None, (), corruption.described, message_seed(call.scope, request.messages[-1].text))
    names: dict[int, set[tuple[int, int]]] = {}
    words: dict[int, set[tuple[int, int]]] = {}
    for finding in call.findings:
        kind = names if finding.detector == _NAMES else words
        for message, start, end in finding.ranges:
            kind.setdefault(message, set()).add((start, end))
        if not finding.ranges and finding.message is not None:  # flagged, but no word stands out: all of it
            words.setdefault(finding.message, set()).add((0, len(request.messages[finding.message].text)))
    for message in sorted(names.keys() | words.keys()):
        seed = message_seed(call.scope, request.messages[message].text)
        if message in names:
            yield Edit(message, tuple(sorted(names[message])), corruption.named, seed)
        if message in words and (corruption.both or message not in names):
            free = _without(words[message], names.get(message, set()))
            if free:
                yield Edit(message, free, corruption.described, seed)


def _without(ranges: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    taken = list(taken)
    return tuple(sorted(r for r in ranges if not any(r[0] < end and r[1] > start for start, end in taken)))


def _learned(task: LearningTask, search: "SearchConfig", *, rows: int) -> LearnedArtifact:
    """ECO: two corruptions, for names and for the salient words of questions without a name.

    The second is searched twice, on training rows alone. For the figures, a head that never saw the held-out rows
    chooses the salient words. For serving, the head of the pack chooses them. `rows` bounds how many training rows each
    search uses.
    """
    dataset, evaluator = task.dataset, task.evaluator

    searched = partial(_searched, task=task, search=search, rows=rows)
    unnamed, unnamed_as_served = (
        [row for row in of if not row.named] for of in (dataset.train, dataset.train_as_served)
    )
    named = searched(
        "names", [row for row in dataset.train if row.named]
    )  # aliases find these rows, whichever head is used
    tried = searched("salient words", unnamed)
    served = tried if unnamed == unnamed_as_served else searched("salient words, as served", unnamed_as_served)
    measured, corruption = _corruption(named, tried), _corruption(named, served)

    def plan_of(row: LocatedRow) -> Corrupt:
        return Corrupt((Edit(0, row.ranges, measured.named if row.named else measured.described, row.seed),))

    task.progress("measure on held-out rows", 0, 1)
    figures = evaluator.figures(dataset.held_out, plan_of, salient_words_beside_names=corruption.both)
    parts = {"names": named, "salient words": served, "salient words, tried": tried}
    return LearnedArtifact(corruption, figures, _trials({name: part for name, part in parts.items() if part}))


def _searched(
    title: str,
    candidates: Sequence[LocatedRow],
    *,
    task: LearningTask,
    search: "SearchConfig",
    rows: int,
) -> "SearchResult | None":
    """The corruption for one kind of row; None without such rows."""
    from corruption.search import search_corruption

    if not candidates:
        return None
    evaluator = task.evaluator
    task.progress(f"corruption of {title}: what the model knows", 0, 1)
    chosen = _best_known(evaluator, candidates)[:rows]
    samples = evaluator.samples(chosen)
    return search_corruption(
        samples,
        ask=partial(evaluator.observe, samples),
        table=evaluator.table,
        search=search,
        target=task.targets.outcome(chosen),
        progress=lambda done, best: task.progress(
            f"corruption of {title}: distance {best:.3f}", done, search.evaluations
        ),
    )


def _corruption(named: "SearchResult | None", described: "SearchResult | None") -> Corruption:
    """The corruption of both parts. A part without rows takes the configuration of the other. The salient words beside
    names are corrupted too if a prompt with corrupted names still gives too much away."""
    named, described = named or described, described or named
    if named is None or described is None:
        raise RuntimeError("no forget row reached the corruption")  # load_scope guarantees rows
    return Corruption(named.config, described.config, named.falls_short)


def _best_known(evaluator: Evaluator, rows: Sequence[LocatedRow]) -> list[LocatedRow]:
    """The rows whose fact the model knows best come first: the other rows say nothing about forgetting."""
    surprise = evaluator.surprise(rows)
    order = sorted(range(len(rows)), key=lambda index: surprise[index])
    return [rows[index] for index in order]


def _trials(parts: "Mapping[str, SearchResult]") -> dict[str, bytes]:
    curves = {
        name: {"target": asdict(part.target), "trials": [asdict(trial) for trial in part.trials]}
        for name, part in parts.items()
    }
    distances = {name: [trial.distance for trial in part.trials] for name, part in parts.items()}
    picture = curve_png(distances, step="evaluation", value="distance to the target")
    return {"curve.json": json.dumps(curves, indent=1).encode(), "curve.png": picture}
