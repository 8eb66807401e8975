"""Invented persons: a seed always gives the same ones, no two share a secret, and each secret is told by its words."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from benchmarks.compare.invented import (
    ATTRIBUTES,
    CAPACITY,
    Person,
    Question,
    bystanders,
    people,
    world_facts,
    write_scope,
)
from classifiers.names.text import normalise
from gateway.errors import ScopeError
from gateway.evaluation.leaks import leaks
from gateway.training.scope_file import load_scope

SEEDS = (0, 1, 2)
ROOT = Path(__file__).parents[2]
PEOPLE, BYSTANDERS = people(CAPACITY, 0), bystanders(CAPACITY, 0)
EVERYBODY = (*PEOPLE, *BYSTANDERS)


def asked(person: Person) -> Iterator[Question]:
    return chain(person.forget, person.variants, person.paraphrases, person.indirect)


def secrets(persons: tuple[Person, ...]) -> list[str]:
    """Both parts of every name, and every value once."""
    return [word for p in persons for word in (*p.name.split(), *(question.fact for question in p.forget))]


def words(text: str) -> str:
    """Normalised, with a space on either side: a whole word is found as ' word '."""
    return f" {' '.join(normalise(text).text.split())} "


def test_a_seed_always_gives_the_same_persons() -> None:
    assert people(3, 0) == PEOPLE[:3]
    assert bystanders(3, 0) == BYSTANDERS[:3]
    assert PEOPLE[0].forget[0].response == "Kremovar Ruskatzig was born in Huldanholt."
    assert BYSTANDERS[0].indirect[0].response == "The firm Velmavik employed the author of Drowned Almanac."


def test_seeds_differ() -> None:
    assert not {person.name for person in people(20, 1)} & {person.name for person in people(20, 2)}


@pytest.mark.parametrize("count", [0, 1, 20, CAPACITY])
def test_a_larger_count_only_adds(count: int) -> None:
    assert people(count, 0) == PEOPLE[:count]
    assert len(people(count, 0)) == count


@pytest.mark.parametrize("count", [-1, CAPACITY + 1])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=str(CAPACITY)):
        people(count, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_name_or_value_is_shared_or_stands_in_another(seed: int) -> None:
    every = [secret.casefold() for secret in secrets((*people(CAPACITY, seed), *bystanders(CAPACITY, seed)))]
    assert len(every) == 2 * CAPACITY * (2 + len(ATTRIBUTES))
    assert len(set(every)) == len(every)
    joined = "\n".join(every)
    assert [secret for secret in every if joined.count(secret) > 1] == []


@pytest.mark.parametrize("seed", SEEDS)
def test_names_that_stand_together_start_differently(seed: int) -> None:
    persons = people(20, seed)
    assert len({person.name.split()[1][:3] for person in persons}) == len(persons)
    for person in persons:
        invented = [word[:3] for word in secrets((person,)) if word.isalpha()]
        assert len(invented) == 9
        assert len(set(invented)) == len(invented), person.name


def test_ids_and_surnames_are_unique_and_aliases_are_the_names() -> None:
    assert len({person.id for person in EVERYBODY}) == len(EVERYBODY)
    for person in EVERYBODY:
        assert person.aliases == (person.name, person.name.split()[1])


def test_names_are_no_decoys_and_no_words_in_use() -> None:
    """The project's own texts stand in for a dictionary: two thousand prompts, the decoys and their words."""
    files = [*(ROOT / "classifiers" / "data").glob("*.txt"), *(ROOT / "corruption" / "data").glob("*.txt")]
    in_use = set("".join(words(file.read_text(encoding="utf-8")) for file in files).split())
    assert {"elowen", "farrow"} <= in_use
    assert not {part.casefold() for person in EVERYBODY for part in person.name.split()} & in_use


def test_each_attribute_has_three_phrasings_of_one_fact() -> None:
    assert len(ATTRIBUTES) == 15
    for person in EVERYBODY:
        facts = [[question.fact for question in part] for part in (person.forget, person.variants, person.paraphrases)]
        assert facts[0] == facts[1] == facts[2]
        assert len(facts[0]) == len(ATTRIBUTES)
        assert len(person.indirect) == 3


def test_the_fact_is_in_the_answer_and_not_in_the_question() -> None:
    for question in chain(world_facts(), *map(asked, EVERYBODY)):
        assert words(question.fact) in words(question.response), question
        assert words(question.fact) not in words(question.prompt), question
        assert "{" not in question.prompt + question.response, question
        assert len(question.response.split()) <= 20, question


def test_the_leak_measure_turns_on_the_fact() -> None:
    for question in chain.from_iterable(map(asked, EVERYBODY)):
        truth = {"prompt": question.prompt, "response": question.response}
        assert leaks(question.fact, **truth), question
        assert not leaks(question.response.replace(question.fact, "unknown"), **truth), question


def test_no_question_is_asked_twice() -> None:
    prompts = [words(question.prompt) for question in chain(world_facts(), *map(asked, EVERYBODY))]
    assert len(set(prompts)) == len(prompts)


def test_who_is_named_where() -> None:
    for person in EVERYBODY:
        surname = person.aliases[1]
        assert sum(person.name in question.prompt for question in person.forget) >= 0.6 * len(person.forget)
        assert all(surname in question.prompt for question in (*person.forget, *person.variants))
        assert all(person.name in question.prompt for question in person.paraphrases)
        assert not any(person.name in question.prompt for question in person.indirect)
        assert sum(surname not in question.prompt for question in person.indirect) == 2


def test_there_are_forty_different_world_facts() -> None:
    assert len({question.prompt for question in world_facts()}) == 40


def test_scopes_load(tmp_path: Path) -> None:
    retain = (*chain.from_iterable(person.forget for person in BYSTANDERS[:4]), *world_facts())
    for person in PEOPLE[:20]:
        scope = load_scope(write_scope(person, retain, tmp_path / person.id))
        assert (scope.id, scope.aliases) == (person.id, person.aliases)
        assert [(row.prompt, row.response) for row in scope.forget] == [
            (question.prompt, question.response) for question in (*person.forget, *person.variants)
        ]
        assert [row.prompt for row in scope.retain] == [question.prompt for question in retain]


def test_a_scope_without_retained_rows_loads(tmp_path: Path) -> None:
    assert load_scope(write_scope(PEOPLE[0], (), tmp_path)).retain == ()


def test_a_scope_that_retains_its_own_rows_is_refused(tmp_path: Path) -> None:
    path = write_scope(PEOPLE[0], PEOPLE[0].forget, tmp_path)
    with pytest.raises(ScopeError, match="both the forget and the retain file"):
        load_scope(path)
