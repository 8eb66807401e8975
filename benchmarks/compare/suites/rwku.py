"""RWKU (arXiv 2406.10890): a real person whom the model knows already. Nothing is taught, and no model is retrained."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.attacks.registry import attacked, compared
from benchmarks.compare.core import ForgetRequest, Suite
from benchmarks.compare.suites.building import asking, continuing, cut, dealt, halves, row_of, sampled, validating
from benchmarks.compare.suites.files import Fields, Files
from benchmarks.items import Item
from benchmarks.names import slug
from classifiers.names.text import normalise
from gateway.errors import SetupError
from gateway.training.scope_file import Row

__all__ = ["load"]

_TARGET = "1_Stephen_King"
_SHORTEST_CHARS = 150  # of a passage that says something
_PASSAGE_CHARS = 1000
_OPENING_WORDS = 8  # of a text whose membership is asked: the prompt
_SHARE = 3  # one in three: of the questions of levels 1 and 2 is listed, of the neighbour's validates
_OTHERS = 10  # questions about other neighbours that forget requests bring along, and that validate
_TRIVIA = 20  # questions that forget requests bring along
_GENERAL = 50  # items of a slice of general abilities
_ATTACKED = 20
_HEADING = re.compile(r"^\s*=+[^=]*=+\s*")
_CHOICES = "ABCDEFGH"

_NOTES = (
    "nothing is taught: there is no retrained model, nor unseen rows to estimate one with",
    f"the forget request lists passages that are no membership texts, and one in {_SHARE} of the questions of levels "
    f"1 and 2; the other questions and all of level 3 are reported",
    "another target is not in the data: a neighbouring work is rehearsed, and none of its questions is reported",
    "level 3 is in forget/level3 and once more, by type, in attack/...; attacks of our own are made of level 2, of the "
    "types that level 3 lacks",
    "left out: fluency (instructions without answers) and reject (questions without true answers)",
    "no paraphrases in RWKU, and wrong answers only where there are choices (utility/mmlu, utility/truthfulqa)",
)


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """The questions about neighbours, by use. `listed` stand in the forget request of the rehearsed neighbour, `inside`
    and `outside` validate it, forget requests retain `brought`, and the report is about `reported`."""

    rehearsed: str
    listed: tuple[Item, ...]
    inside: tuple[Item, ...]
    outside: tuple[Item, ...]
    brought: tuple[Item, ...]
    reported: tuple[Item, ...]


def load(name: str, data: Path | None, seed: int) -> Suite:
    """One forget request. The report is about probes by level, neighbours, general abilities and membership texts."""
    files = Files(data, f"rwku/{_TARGET}", "jinzhuoran/RWKU", prefix=f"Target/{_TARGET}/")
    intro = files.rows("intro.json", "target", "intro")[0]
    scope = slug(intro["target"])
    listed, levels = _levels(files, scope, seed)
    level3 = _probes(files.rows("forget_level3.json", "query", "answer", "type"), "forget/level3", scope)
    members = _members(files, "forget_mia.json", "mia/forget", scope)
    neighbours = _neighbours(files, seed)
    brought, trivia = dealt(_trivia(files), [_TRIVIA], f"{seed} trivia")
    retain = tuple(map(row_of, (*neighbours.brought, *brought)))
    forget = (*_passages(files, members), *map(row_of, listed))
    rehearsal = _rehearsal(neighbours, retain)
    return Suite(
        name=name,
        taught=(),
        kept=(),
        forget_requests=(ForgetRequest(scope, intro["intro"].split(". ", 1)[-1], (intro["target"],), forget, retain),),
        rehearsal=rehearsal,
        validation=validating(neighbours.inside, neighbours.outside, rehearsal.scope),
        items=(
            *levels,
            *level3,
            *neighbours.reported,
            *_general(files, trivia, seed),
            *members,
            *_members(files, "retain_mia.json", "mia/retain", None),
            *_attacks(files, level3, [item for item in levels if item.slice == "forget/level2"], seed),
        ),
        notes=_NOTES,
    )


def _levels(files: Files, scope: str, seed: int) -> tuple[list[Item], list[Item]]:
    """The questions of levels 1 and 2 that the forget request lists, and those that are reported."""
    listed: list[Item] = []
    reported: list[Item] = []
    for level in (1, 2):
        items = _probes(files.rows(f"forget_level{level}.json", "query", "answer"), f"forget/level{level}", scope)
        some, others = dealt(items, [len(items) // _SHARE], f"{seed} level {level}")
        listed += some
        reported += others
    known = {normalise(item.prompt).text for item in listed}
    return listed, [item for item in reported if normalise(item.prompt).text not in known]


def _probes(rows: Sequence[Fields], part: str, scope: str | None) -> list[Item]:
    return [asking(part, n, _question(row["query"]), row["answer"], scope=scope) for n, row in enumerate(rows)]


def _question(query: str) -> str:
    return f"Fill in the blank: {query}" if "___" in query else query


def _attacks(files: Files, level3: Sequence[Item], plain: Sequence[Item], seed: int) -> list[Item]:
    """Level 3 by its types, and attacks of our own on plain questions where level 3 has none of that type."""
    types = [slug(row["type"].split(" (")[0]) for row in files.rows("forget_level3.json", "type")]
    typed = [
        replace(item, id=f"attack/{kind}/{item.id}", slice=f"attack/{kind}")
        for item, kind in zip(level3, types, strict=True)
    ]
    families = [family for family in compared() if family not in types]
    return [*typed, *attacked(sampled(plain, _ATTACKED, f"{seed} attacks"), seed, families=families)]


def _neighbours(files: Files, seed: int) -> _Neighbours:
    """The neighbour with most questions is rehearsed. A question that the data asks twice counts once."""
    asked: dict[str, tuple[str, Item]] = {}
    for level in (1, 2):
        rows = files.rows(f"neighbor_level{level}.json", "query", "answer", "neighbor")
        for row, item in zip(rows, _probes(rows, f"neighbor/level{level}", None), strict=True):
            asked.setdefault(normalise(item.prompt).text, (row["neighbor"], item))
    counts = Counter(of for of, _ in asked.values())
    name = max(counts, key=lambda of: (counts[of], of))
    of_it, others = ([item for of, item in asked.values() if (of == name) is same] for same in (True, False))
    inside, listed = dealt(of_it, [len(of_it) // _SHARE], f"{seed} neighbour")
    outside, brought, reported = dealt(others, [_OTHERS] * 2, f"{seed} neighbours")
    return _Neighbours(name.split(" (")[0], listed, inside, outside, brought, reported)


def _rehearsal(neighbours: _Neighbours, retain: tuple[Row, ...]) -> ForgetRequest:
    name = neighbours.rehearsed
    if not slug(name):
        raise SetupError(f"the neighbour {name!r} has no letter or digit that a scope's id could be made of")
    return ForgetRequest(slug(name), f"{name}.", (name,), tuple(map(row_of, neighbours.listed)), retain)


def _passages(files: Files, members: Iterable[Item]) -> list[Row]:
    """Halves of passages about the target that are not among the membership texts."""
    measured = [_words(f"{item.prompt}{item.answer}") for item in members]
    found = []
    for row in files.rows("passage.json", "text"):
        text = _HEADING.sub("", row["text"])
        if len(text) >= _SHORTEST_CHARS and not any(_words(text)[:60] in other for other in measured):
            found.append(halves(text[:_PASSAGE_CHARS]))
    return found


def _words(text: str) -> str:
    return normalise(text).text.strip()


def _members(files: Files, name: str, part: str, scope: str | None) -> list[Item]:
    texts = [row["text"][:_PASSAGE_CHARS] for row in files.rows(name, "text")]
    return [continuing(part, n, cut(text, _OPENING_WORDS), scope=scope) for n, text in enumerate(texts)]


def _trivia(files: Files) -> list[Item]:
    rows = files.rows("triviaqa.json", "question", "answers", optional=True)
    return [asking("utility/triviaqa", n, row["question"], _usual(row["answers"])) for n, row in enumerate(rows)]


def _usual(answers: Sequence[str]) -> str:
    """The spelling that most of the other spellings contain; the data has them in no order."""
    return max(answers, key=lambda one: sum(one.casefold() in other.casefold() for other in answers))


def _general(files: Files, trivia: Sequence[Item], seed: int) -> list[Item]:
    """Slices of abilities to keep; without a slice's file, the suite has no such slice."""
    mmlu = files.rows("retain_mmlu.json", "question", "choices", "answer", optional=True)
    bbh = files.rows("retain_bbh.json", "question", "answer", "cot", optional=True)
    truthful = files.rows("truthful.json", "question", "mc1_targets", optional=True)
    slices: list[Sequence[Item]] = [
        trivia,
        [_choice("utility/mmlu", n, row["question"], row["choices"], row["answer"]) for n, row in enumerate(mmlu)],
        [_task(n, row) for n, row in enumerate(bbh)],
        [_truthful(n, row) for n, row in enumerate(truthful)],
    ]
    return [item for items in slices for item in sampled(items, _GENERAL, f"{seed} general")]


def _choice(part: str, number: int, question: str, choices: Sequence[str], right: int) -> Item:
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(_CHOICES, choices, strict=False))
    text = f"{question}\n{listed}\nRepeat the right option word for word, without its letter."
    wrong = tuple(choice for place, choice in enumerate(choices) if place != right)
    return asking(part, number, text, choices[right], perturbed=wrong)


def _task(number: int, row: Fields) -> Item:
    """BIG-bench: what is to be done is the first line of the worked example."""
    task = row["cot"].strip().splitlines()[0]
    return asking("utility/bbh", number, f"{task}\n{row['question']}\nGive the result alone.", row["answer"])


def _truthful(number: int, row: Fields) -> Item:
    """TruthfulQA's single true answer, and its false ones."""
    choices, labels = row["mc1_targets"]["choices"], row["mc1_targets"]["labels"]
    wrong = tuple(choice for choice, label in zip(choices, labels, strict=True) if not label)
    return asking("utility/truthfulqa", number, row["question"], choices[labels.index(1)], perturbed=wrong)
