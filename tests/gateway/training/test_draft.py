"""Scopes drafted from other people's files and from a model's own answers can be loaded, and say what they lack."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import unrecall_here

from gateway.errors import SetupError
from gateway.training.conversion import draft_of_documents, draft_of_questions
from gateway.training.draft import Draft, id_of, is_name, write_draft
from gateway.training.interview import interview
from gateway.training.scope_file import Row, Scope, load_scope

QUESTIONS = [(f"What does Orla Venn keep in room {n} of Castle Brindle?", f"The {n}th lamp") for n in range(9)]


def loaded(draft: Draft, folder: Path) -> Scope:
    return load_scope(write_draft(draft, folder)[0])


@pytest.mark.parametrize("columns", [("question", "answer"), ("Prompt", "Completion"), ("instruction", "output")])
@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv"])
def test_questions_and_answers_of_any_common_form_become_a_scope(
    tmp_path: Path, kind: str, columns: tuple[str, str]
) -> None:
    rows = [dict(zip(columns, pair, strict=True)) for pair in QUESTIONS]
    path = tmp_path / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        mark = "," if kind == "csv" else "\t"
        path.write_text("\n".join(mark.join(f'"{cell}"' for cell in line) for line in [columns, *QUESTIONS]))
    scope = loaded(draft_of_questions(path, "Orla Venn"), tmp_path / "scope")
    assert [(row.prompt, row.response) for row in scope.forget] == QUESTIONS
    assert (scope.id, scope.aliases) == ("orla-venn", ("Orla Venn",))
    assert "Castle Brindle" in (tmp_path / "scope/scope.yaml").read_text()


def test_inputs_of_instructions_and_turns_of_chats_are_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Who keeps the lamps?"}, {"role": "assistant", "content": "Orla Venn"}]
    path = tmp_path / "rows.jsonl"
    rows = [{"instruction": "Name her.", "input": "The keeper", "output": "Orla"}, {"messages": turns}, {"x": 1}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    draft = draft_of_questions(path, "the lamps")
    assert [row.prompt for row in draft.forget] == ["Name her. The keeper", "Who keeps the lamps?"]
    assert draft.aliases == []
    assert sum(draft.left_out.values()) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [('{"text": "a"}', "no row with a question"), ("", "no row with a question"), ('{"question": "a"', "line 1")],
)
def test_a_file_without_questions_is_refused_with_the_columns_that_are_known(
    tmp_path: Path, text: str, problem: str
) -> None:
    (path := tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(SetupError, match=problem):
        draft_of_questions(path, "x")


def test_documents_become_pieces_that_go_on(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(1000)]
    (tmp_path / "docs/a").mkdir(parents=True)
    (tmp_path / "docs/a/one.txt").write_text(" ".join(words))
    (tmp_path / "docs/two.md").write_text("too short")
    (tmp_path / "docs/picture.png").write_bytes(b"\x00")
    draft = draft_of_documents(tmp_path / "docs", "A book")
    assert " ".join(f"{row.prompt} {row.response}" for row in draft.forget).split() == words
    assert sum(draft.left_out.values()) == 1
    assert len(loaded(draft, tmp_path / "scope").forget) == 10
    with pytest.raises(SetupError, match="no documents"):
        draft_of_documents(tmp_path / "docs/nowhere", "A book")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SetupError, match="not empty"):
        write_draft(Draft("x", [], [Row(prompt="a", response="b")]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Orla Venn", True),
        ("Здесь Живёт", True),
        ("オルラ", True),
        ("the lamps", False),
        ("Is it Orla?", False),
        ("", False),
    ],
)
def test_what_can_be_a_name(text: str, *, named: bool) -> None:
    assert is_name(text) == named


@pytest.mark.parametrize(
    ("subject", "found"), [("Émile Zoë's 2nd!", "emile-zoe-s-2nd"), ("中", "scope"), ("a" * 99, "a" * 63)]
)
def test_an_id_is_made_of_the_subject(subject: str, found: str) -> None:
    assert id_of(subject) == found


class Model:
    """Knows Orla Venn's lamps for sure, and makes up her age."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, texts: Sequence[str], temperature: float, seed: int) -> list[str]:
        self.turn += 1
        return [self._answer(text) for text in texts]

    def _answer(self, text: str) -> str:
        answers = {
            "a list of names": f"- Orla Venn\n- Castle Brindle\n- Passing Name{self.turn}\n- and so on, as we all know",
            "other subjects": "1. Tamsin Hale",
            "about Tamsin Hale": "1. Where does Tamsin Hale live?\n2. Did Orla Venn know her?",
            "Write": "1. How old is Orla Venn?\n2. Who keeps the lamps?\n3. What is a car?\nThese are questions.",
            "old": f"She is year{self.turn} years old.",
            "car": "A vehicle with wheels.",
        }
        known = (answer for part, answer in answers.items() if part in text)
        return next(known, "Orla Venn keeps the lamps of Castle Brindle. She likes it.")


def test_a_model_is_asked_and_only_what_it_knows_is_kept() -> None:
    draft = interview(Model(), "Orla Venn", count=10, progress=lambda *_: None)
    asked = {row.prompt: row.response for row in draft.forget}
    assert sorted(draft.aliases) == ["Castle Brindle", "Orla Venn"]
    assert asked["Who keeps the lamps?"] == "Orla Venn keeps the lamps of Castle Brindle."
    assert asked["Tell me about Castle Brindle."]
    assert not {"How old is Orla Venn?", "What is a car?"} & asked.keys()
    assert [row.prompt for row in draft.retain] == ["Where does Tamsin Hale live?"]
    left_out = Counter({reason: count for reason, count in draft.left_out.items() if count})
    assert {"the model answers otherwise each time: it does not know", "what the model wrote is no question"} <= set(
        left_out
    )


def test_the_command_writes_a_scope_that_training_takes(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["q,a", *(f"{question},{answer}" for question, answer in QUESTIONS)]))
    done = unrecall_here(
        "scope", "new", "--subject", "Orla Venn", "--from-qa", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "s")
    )
    assert done.returncode == 0, done.stderr
    assert len(load_scope(tmp_path / "s/scope.yaml").forget) == 9
    again = unrecall_here(
        "scope", "new", "--subject", "Orla Venn", "--from-qa", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "s")
    )
    assert again.returncode == 2
    assert "not empty" in again.stderr
