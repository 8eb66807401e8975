"""TOFU (arXiv 2401.06121): authors who do not exist, twenty questions each, and the last of them to be forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.attacks.registry import attacked
from benchmarks.compare.core import ForgetRequest, Suite
from benchmarks.compare.suites.building import asking, dealt, row_of, sampled, validating
from benchmarks.compare.suites.files import Fields, Files
from benchmarks.items import Item
from benchmarks.names import name_of, slug, surname
from classifiers.names.text import normalise
from gateway.core import Message
from gateway.errors import SetupError
from gateway.training.scope_file import Row

__all__ = ["load"]

_ROWS = 20  # of an author
_PERTURBED = 20  # authors at the start of full.json with wrong answers
_REHEARSED = 2  # authors
_RETAIN = 40  # rows that a forget request brings along, and rows of the validation


@dataclass(frozen=True, slots=True)
class _Size:
    """How much of TOFU a suite uses. `split` names TOFU's files; `kept` and `forgotten` are numbers of authors, None is
    all. `unseen` limits the rows that no model is taught; `retain`, `general` and `attacked` limit reported items."""

    split: str
    kept: int | None = None
    forgotten: int | None = None
    unseen: int = 400
    retain: int = 400
    general: int = 200
    attacked: int = 40


_SIZES = {
    "tofu-20": _Size("01", kept=18, retain=60, general=60, attacked=10),
    "tofu-20-forget05": _Size("05", kept=18, forgotten=2, unseen=80, retain=60, general=60, attacked=10),
    "tofu-20-forget10": _Size("10", kept=18, forgotten=2, unseen=80, retain=60, general=60, attacked=10),
    "tofu-forget01": _Size("01"),
    "tofu-forget05": _Size("05"),
    "tofu-forget10": _Size("10"),
}


@dataclass(frozen=True, slots=True)
class _Author:
    """`items` are questions with wrong answers, none for most authors; `scope` is the id of the forget request."""

    scope: str
    name: str
    aliases: tuple[str, ...]
    rows: tuple[Row, ...]
    items: tuple[Item, ...]


def load(name: str, data: Path | None, seed: int) -> Suite:
    """One forget request for each author.

    Three suites are small enough for a CPU. They teach the first 18 authors and two others: those of forget01
    ("tofu-20"), the first two of forget05 ("tofu-20-forget05") or the first two of forget10 ("tofu-20-forget10").
    """
    size, files = _SIZES[name], Files(data, "tofu", "locuslab/TOFU")
    kept, forgotten, questions = _authors(files, size)
    rehearsed, others = dealt(kept[:_PERTURBED], [_REHEARSED], f"{seed} rehearsal")
    near = [item for author in others for item in author.items]
    validation, reported, _ = dealt(near, [_RETAIN, size.retain], f"{seed} retain")
    measured = {row_of(item) for item in (*validation, *reported)}
    pool = [row for author in kept if author not in rehearsed for row in author.rows if row not in measured]
    rehearsal = _forget_request(rehearsed, pool, seed)
    estimating, unseen = _unseen(files, size, seed)
    targets = [item for author in forgotten for item in author.items]
    chosen = sampled(targets, size.attacked, f"{seed} attacks")
    return Suite(
        name=name,
        taught=tuple(row for author in (*kept, *forgotten) for row in author.rows),
        kept=tuple(row for author in kept for row in author.rows),
        forget_requests=tuple(_forget_request((author,), pool, seed) for author in forgotten),
        rehearsal=rehearsal,
        validation=validating((item for author in rehearsed for item in author.items), validation, rehearsal.scope),
        items=(
            *targets,
            *reported,
            *(item for part in ("real_authors", "world_facts") for item in _general(files, part, size, seed)),
            *unseen,
            *(_paraphrased(item, questions) for item in chosen),
            *attacked(chosen, seed),
        ),
        calibration=estimating,
        notes=_notes(forgotten, reported, size),
    )


def _authors(files: Files, size: _Size) -> tuple[list[_Author], list[_Author], Mapping[str, str]]:
    """Those to be kept, those to be forgotten, and the paraphrased questions of the latter."""
    full = files.rows("full.json", "question", "answer")
    perturbed = f"forget{size.split}_perturbed.json"
    fields = ("question", "answer", "paraphrased_answer", "paraphrased_question", "perturbed_answer")
    wrong, near = files.rows(perturbed, *fields), files.rows("retain_perturbed.json", *fields)
    _check_edition(full, wrong, near, perturbed)
    text = [f"{row['question']} {row['answer']}" for row in full]
    first = len(full) - len(wrong)
    last = first if size.kept is None else min(first, size.kept * _ROWS)
    end = len(full) if size.forgotten is None else min(len(full), first + size.forgotten * _ROWS)
    kept = [_author(full, text, start, near[start : start + _ROWS], "retain") for start in range(0, last, _ROWS)]
    forgotten = [
        _author(full, text, start, wrong[start - first : start - first + _ROWS], "forget")
        for start in range(first, end, _ROWS)
    ]
    return kept, forgotten, {row["question"]: row["paraphrased_question"] for row in wrong}


def _check_edition(full: Sequence[Fields], wrong: Sequence[Fields], near: Sequence[Fields], name: str) -> None:
    """Raises SetupError if the files are not of one edition: a row's place tells which rows belong together."""
    said = {"full.json": full, name: wrong, "retain_perturbed.json": near}
    for file, rows in said.items():
        if len(rows) % _ROWS:
            raise SetupError(f"tofu/{file} has {len(rows)} rows, no multiple of the {_ROWS} of an author")
    asked = [row["question"] for row in full]
    if asked[len(full) - len(wrong) :] != [row["question"] for row in wrong]:
        raise SetupError(f"the rows of tofu/{name} are not the last ones of tofu/full.json")
    if asked[: len(near)] != [row["question"] for row in near]:
        raise SetupError("the rows of tofu/retain_perturbed.json are not the first ones of tofu/full.json")


def _author(full: Sequence[Fields], text: Sequence[str], start: int, wrong: Sequence[Fields], part: str) -> _Author:
    """The author of the rows from `start` on. Names are looked for only where a forget request may need them."""
    end = start + _ROWS
    name = name_of(text[start:end]) if wrong else ""
    alone = surname(name, "\n".join((*text[:start], *text[end:])))
    scope = slug(name) or f"author-{start // _ROWS}"
    return _Author(
        scope,
        name,
        tuple(filter(None, (name, alone))),
        tuple(Row(prompt=row["question"], response=row["answer"]) for row in full[start:end]),
        tuple(_item(part, start + place, row, scope) for place, row in enumerate(wrong)),
    )


def _item(part: str, number: int, row: Fields, scope: str) -> Item:
    return asking(
        part,
        number,
        row["question"],
        row["answer"],
        scope=scope if part == "forget" else None,
        paraphrase=row.get("paraphrased_answer"),
        perturbed=tuple(row["perturbed_answer"]),
    )


def _forget_request(authors: Sequence[_Author], pool: Sequence[Row], seed: int) -> ForgetRequest:
    scope = "-".join(author.scope for author in authors)[:63].rstrip("-")
    names = " and ".join(author.name for author in authors if author.name)
    forget = tuple(row for author in authors for row in author.rows)
    asked = {normalise(row.prompt).text for row in forget}
    retain = [row for row in pool if normalise(row.prompt).text not in asked]  # a question may name nobody
    return ForgetRequest(
        scope=scope,
        description=f"The fictitious author{'s' if len(authors) > 1 else ''} {names}.".replace(" .", "."),
        aliases=tuple(alias for author in authors for alias in author.aliases),
        forget=forget,
        retain=sampled(retain, _RETAIN, f"{seed} {scope}"),
    )


def _general(files: Files, part: str, size: _Size, seed: int) -> tuple[Item, ...]:
    rows = files.rows(f"{part}_perturbed.json", "question", "answer", "perturbed_answer")
    items = [_item(part, number, row, "") for number, row in enumerate(rows)]
    return sampled(items, size.general, f"{seed} {part}")


def _unseen(files: Files, size: _Size, seed: int) -> list[tuple[Item, ...]]:
    """Authors that no model is taught: half of their questions are calibration rows, the report is about the others."""
    rows = files.rows(f"holdout{size.split}.json", "question", "answer")
    items = [asking("unseen", number, row["question"], row["answer"]) for number, row in enumerate(rows)]
    items = list(sampled(items, size.unseen, f"{seed} unseen"))
    return dealt(items, [len(items) // 2], f"{seed} unseen")


def _paraphrased(item: Item, questions: Mapping[str, str]) -> Item:
    part = "attack/paraphrase"
    message = Message("user", questions[item.prompt])
    return replace(item, id=f"{part}/{item.id}", slice=part, messages=(message,))


def _notes(forgotten: Sequence[_Author], reported: Sequence[Item], size: _Size) -> tuple[str, ...]:
    nameless = [author.scope for author in forgotten if not author.name]
    notes = [
        f"retain: {len(reported)} of the questions with wrong answers that TOFU has for its first authors; no row of a "
        f"forget request, of the rehearsal or of the validation is among them",
        f"attacks are made of {size.attacked} forgotten questions at most; real_authors and world_facts have "
        f"{size.general} questions at most",
        "unseen authors (holdout) have neither paraphrases nor wrong answers",
    ]
    return (*notes, *([f"no name was found in the rows of {', '.join(nameless)}"] if nameless else []))
