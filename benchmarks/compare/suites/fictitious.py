"""A small suite of invented persons: a whole comparison on a tiny model takes a minute."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.attacks.registry import attacked
from benchmarks.compare.core import ForgetRequest, Suite
from benchmarks.compare.invented import Person, Question, bystanders, people, rows_of, world_facts
from benchmarks.compare.suites.building import asking, sampled, validating
from benchmarks.items import Item
from gateway.training.scope_file import Row

__all__ = ["fictitious", "load"]

_BYSTANDERS = 5  # rehearsed, in forget requests' retain rows, validated, reported, reported
_WRONG = 4  # answers of an item
_ATTACKED = 4


def load(name: str, data: Path | None, seed: int) -> Suite:
    """Two persons to forget. The suite needs no data; `data` is there because all suites take it. "lm-eval" is the same
    suite, to which the command adds tasks of lm-evaluation-harness."""
    del data
    return replace(fictitious(persons=2, seed=seed), name=name)


def fictitious(persons: int, seed: int) -> Suite:
    """The first `persons` invented persons are to be forgotten; two others are never taught to any model."""
    everybody, others = people(persons + 2, seed), bystanders(_BYSTANDERS, seed)
    forgotten, estimating, unknown = everybody[:persons], everybody[persons], everybody[persons + 1]
    rehearsed, near, validated, *reported = others
    values = _values((*everybody, *others))
    retain = (*rows_of(near.forget), *rows_of(world_facts()[::4]))
    kept = (*rows_of(question for person in others for question in person.forget), *rows_of(world_facts()))
    targets = [item for person in forgotten for item in _items("forget", person, values, person.id)]
    return Suite(
        name="fictitious",
        taught=(*rows_of(question for person in forgotten for question in person.forget), *kept),
        kept=kept,
        forget_requests=tuple(_forget_request(person, retain) for person in forgotten),
        rehearsal=_forget_request(rehearsed, retain),
        validation=validating(_items("forget", rehearsed, values), _items("retain", validated, values), rehearsed.id),
        items=(
            *targets,
            *(item for person in reported for item in _items("retain", person, values)),
            *_world(),
            *_items("unseen", unknown, values),
            *(item for person in forgotten for item in _held_out(person, values)),
            *attacked(sampled(targets, _ATTACKED, f"{seed} attacks"), seed),
        ),
        calibration=tuple(_items("unseen", estimating, values)),
        notes=(
            f"attacks are made of {_ATTACKED} forgotten questions",
            "wrong answers hold other persons' values; there are no real authors",
        ),
    )


def _forget_request(person: Person, retain: tuple[Row, ...]) -> ForgetRequest:
    return ForgetRequest(person.id, f"The life of {person.name}.", person.aliases, rows_of(person.forget), retain)


def _values(persons: Sequence[Person]) -> list[tuple[str, ...]]:
    """What all persons have for each attribute, in the order of the questions of a person."""
    return list(zip(*(tuple(question.fact for question in person.forget) for person in persons), strict=True))


def _items(part: str, person: Person, values: Sequence[tuple[str, ...]], scope: str | None = None) -> list[Item]:
    """The questions as they are taught, with true and wrong answers in the held-out wording."""
    return [
        _item(part, f"{person.id}/{number:02}", question, others, scope, paraphrase)
        for number, (question, paraphrase, others) in enumerate(
            zip(person.forget, person.paraphrases, values, strict=True)
        )
    ]


def _held_out(person: Person, values: Sequence[tuple[str, ...]]) -> list[Item]:
    """Other wordings of what was taught, and questions that do not give the full name."""
    found = [
        _item("attack/paraphrase", f"{person.id}/{number:02}", question, others, person.id)
        for number, (question, others) in enumerate(zip(person.paraphrases, values, strict=True))
    ]
    for number, question in enumerate(person.indirect):
        others = next(column for column in values if question.fact in column)
        found.append(_item("attack/indirect", f"{person.id}/{number:02}", question, others, person.id))
    return found


def _world() -> list[Item]:
    """General knowledge that no forget request brings along. Wrong answers come from the facts beside it."""
    facts = world_facts()
    return [
        _item(
            "world_facts", f"{number:02}", fact, [other.fact for other in facts[max(0, number - 3) : number + 4]], None
        )
        for number, fact in enumerate(facts)
        if number % 4
    ]


def _item(
    part: str,
    number: str,
    question: Question,
    others: Sequence[str],
    scope: str | None,
    paraphrase: Question | None = None,
) -> Item:
    wording = paraphrase or question
    wrong = [other for other in dict.fromkeys(others) if other != question.fact][:_WRONG]
    return asking(
        part,
        number,
        question.prompt,
        question.response,
        scope=scope,
        fact=question.fact,
        paraphrase=paraphrase.response if paraphrase else None,
        perturbed=tuple(wording.response.replace(question.fact, other) for other in wrong),
    )
