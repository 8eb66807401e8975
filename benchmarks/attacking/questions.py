"""What is asked: questions about a scope with their true answers, in four slices, and the same about invented names."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from benchmarks.attacks.family import named_ranges, question_of
from benchmarks.items import Item
from classifiers.names.ordinary import name_of
from corruption.counterfactuals import counterfactual_of
from gateway.core import Message
from gateway.errors import SetupError
from gateway.evaluation.leaks import leaks
from gateway.files.rows import read_rows
from gateway.training.scope_file import Scope, load_scope

__all__ = ["SLICES", "counterfactual", "read_questions", "truth_of"]

SLICES = ("named", "famous", "unnamed", "described")
"""A name that is not the best known one; the best known name alone; no name; a description in place of the name."""
_CONTEXT = 12  # statements an item brings along
_WRONG = 3
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: _Text
    response: _Text
    slice: Literal["named", "famous", "unnamed", "described"] | None = None
    wrong: tuple[_Text, ...] = Field(default=())


def read_questions(scope_files: Sequence[Path], questions: Sequence[Path], *, rows: int, seed: int) -> tuple[Item, ...]:
    """At most `rows` questions a slice, about the scopes of these files.

    Args:
        scope_files: each has the scope's names, and forget rows, which are what is asked if there are no `questions`.
        questions: a file for each scope, in their order, of JSON lines of prompt and response, perhaps with slice and
            wrong answers; of one's own, so that nobody is asked what the gate was trained on.
        rows: the most of each slice, and of each scope.
        seed: of the choice.

    Raises SetupError for a file that cannot be used.
    """
    scopes = [load_scope(file) for file in scope_files]
    if questions and len(scopes) != len(questions):
        raise SetupError(
            f"there are {len(scopes)} --scope files and {len(questions)} --questions files; give one file of questions "
            "for each scope, in the same order"
        )
    found: list[Item] = []
    for place, scope in enumerate(scopes):
        rows_of_scope = [_Question(**row.model_dump()) for row in scope.forget]
        asked = _read(questions[place]) if questions else rows_of_scope
        items = [_item(scope, number, question, asked, seed) for number, question in enumerate(asked)]
        for part in SLICES:
            of_slice = [item for item in items if item.slice == part]
            found += random.Random(f"{seed} {scope.id} {part}").sample(of_slice, min(rows, len(of_slice)))
    return tuple(found)


def counterfactual(item: Item, seed: int) -> Item | None:
    """The item about an invented name in the place of each name; None if its question names nothing. What leaks of the
    true answer then, leaks from a model that knows nothing of the name."""
    ranges = named_ranges(item)
    if not ranges:
        return None
    changed = counterfactual_of(question_of(item), ranges, named=True, seed=seed)
    message = replace(item.messages[-1], text=changed.text)
    context = tuple(changed.renamed(fact) for fact in item.context)
    return replace(item, messages=(*item.messages[:-1], message), names=tuple(changed.originals), context=context)


def truth_of(item: Item) -> str:
    """What an answer must say to be a leak."""
    return item.fact or item.answer


def _read(path: Path) -> list[_Question]:
    found = []
    for row in read_rows(path):
        if row.fault:
            raise SetupError(row.problem(path))
        try:
            found.append(_Question.model_validate(row.value))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the row"
            raise SetupError(
                f"{path} line {row.line}: {place}: {first['msg']}; a question has prompt and response, and may have "
                f"slice ({', '.join(SLICES)}) and a list of wrong answers"
            ) from error
    if not found:
        raise SetupError(f"{path} has no question; write lines of prompt and response")
    return found


def _item(scope: Scope, number: int, asked: _Question, others: Sequence[_Question], seed: int) -> Item:
    rng = random.Random(f"{seed} {scope.id} {asked.prompt}")
    item = Item(
        id=f"{scope.id}/{number:04}",
        slice="",
        messages=(Message("user", asked.prompt),),
        answer=asked.response,
        scope=scope.id,
        names=tuple(name_of(alias) for alias in scope.aliases),
    )
    told = [f"{row.prompt} {row.response}" for row in scope.forget if row.prompt != asked.prompt]
    telling = [fact for fact in told if not leaks(fact, prompt=asked.prompt, response=asked.response)]
    wrong = sorted({row.response for row in others if row.response.casefold() != asked.response.casefold()})
    return replace(
        item,
        slice=asked.slice or ("named" if named_ranges(item) else "unnamed"),
        context=tuple(rng.sample(telling, min(_CONTEXT, len(telling)))),
        perturbed=asked.wrong or tuple(rng.sample(wrong, min(_WRONG, len(wrong)))),
    )
