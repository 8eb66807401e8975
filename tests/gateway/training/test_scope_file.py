"""Scope files: each mistake an operator can make is named with its place and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifiers.names.ordinary import Alias, name_of
from gateway.core import DEFAULT_REFUSAL
from gateway.errors import ScopeError
from gateway.training.scope_file import Row, load_scope

EXAMPLE = Path(__file__).parents[3] / "examples" / "harry-potter" / "scope.yaml"


def rows(count: int, word: str = "forget") -> str:
    return "".join(json.dumps({"prompt": f"{word} {i}?", "response": f"answer {i}"}) + "\n" for i in range(count))


class Files:
    """A good scope in a folder, to be spoilt."""

    def __init__(self, folder: Path) -> None:
        self.scope = folder / "scope.yaml"
        self.forget = folder / "forget.jsonl"
        self.retain = folder / "retain.jsonl"
        self.calibration = folder / "calibration.jsonl"
        self.forget.write_text(rows(9), encoding="utf-8")
        self.calibration.write_text(rows(8, "calibration"), encoding="utf-8")
        self.retain.write_text(rows(3, "retain"), encoding="utf-8")
        self.write()

    def write(self, **changes: Any) -> None:
        good = {
            "id": "narnia",
            "description": "Narnia and its people",
            "aliases": ["Narnia", "Aslan"],
            "forget": "forget.jsonl",
            "retain": "retain.jsonl",
        }
        content = {key: value for key, value in {**good, **changes}.items() if value != "leave out"}
        self.scope.write_text(yaml.safe_dump(content), encoding="utf-8")

    def complaint(self) -> str:
        with pytest.raises(ScopeError) as error:
            load_scope(self.scope)
        return str(error.value)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_good_scope(files: Files) -> None:
    scope = load_scope(files.scope)
    assert (scope.id, scope.description, scope.aliases) == ("narnia", "Narnia and its people", ("Narnia", "Aslan"))
    assert len(scope.forget) == 9
    assert scope.retain[0] == Row(prompt="retain 0?", response="answer 0")
    assert (scope.policy.plan, scope.policy.refusal) == ("forget", DEFAULT_REFUSAL)


def test_aliases_and_retain_rows_may_be_left_out(files: Files) -> None:
    files.write(aliases="leave out", retain="leave out")
    scope = load_scope(files.scope)
    assert (scope.aliases, scope.retain, scope.calibration) == ((), (), ())


def test_calibration_rows_may_have_their_earlier_name(files: Files) -> None:
    files.write(calibration="calibration.jsonl")
    named = load_scope(files.scope)
    files.write(unseen="calibration.jsonl")
    assert load_scope(files.scope) == named
    files.write(unseen="calibration.jsonl", calibration="calibration.jsonl")
    assert files.complaint() == (
        f"{files.scope}: calibration and unseen are the same setting: keep calibration, take unseen out"
    )
    files.write(unseen=["a", "b"])
    assert "scope.yaml: calibration: " in files.complaint()


def test_calibration_rows_are_enough_for_a_spread_and_are_none_to_forget(files: Files) -> None:
    files.write(calibration="calibration.jsonl")
    assert load_scope(files.scope).calibration[0] == Row(prompt="calibration 0?", response="answer 0")
    files.calibration.write_text(rows(7, "calibration"))
    assert "calibration.jsonl has 7 different rows; calibration needs at least 8" in files.complaint()
    files.calibration.write_text(rows(8, "calibration") + '{"prompt": "Forget 3", "response": "x"}\n')
    assert "1 prompts stand in both the forget and the calibration file, such as 'Forget 3'" in files.complaint()
    files.calibration.write_text(rows(8, "calibration") + '{"prompt": "Retain 1", "response": "x"}\n')
    assert "1 prompts stand in both the retain and the calibration file, such as 'Retain 1'" in files.complaint()


def test_the_example_is_good() -> None:
    scope = load_scope(EXAMPLE)
    assert scope.id == "harry-potter"
    assert len(scope.forget) >= 8


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"- a\n- b\n", b"just words"])
def test_an_empty_file_or_no_mapping(files: Files, content: bytes) -> None:
    files.scope.write_bytes(content)
    assert "empty or no mapping" in files.complaint()


@pytest.mark.parametrize("content", [b"id: [", b"a: b: c", b"\tid: x", b'"'])
def test_no_yaml(files: Files, content: bytes) -> None:
    files.scope.write_bytes(content)
    assert "scope.yaml is not valid YAML" in files.complaint()


def test_a_file_that_runs_code_is_no_yaml_here(files: Files) -> None:
    files.scope.write_text("!!python/object/apply:os.getcwd []")
    assert "not valid YAML" in files.complaint()


def test_unreadable_files(files: Files, tmp_path: Path) -> None:
    files.scope.write_bytes(b"id: \xff")
    assert "cannot read the scope file" in files.complaint()
    files.scope.unlink()
    assert "cannot read the scope file" in files.complaint()
    files.scope = tmp_path
    assert "cannot read the scope file" in files.complaint()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "there is no key 'colour'"),
        ({"policy": {"plan": "forget", "colour": "red"}}, "policy, colour"),
        (
            {"policy": {"plan": "explode"}},
            "policy, plan: 'explode' is none of 'forget', 'refuse' or 'instruct'; write one of them",
        ),
        (
            {"policy": {"plan": "forgte"}},
            "policy, plan: 'forgte' is none of 'forget', 'refuse' or 'instruct'; did you mean forget?",
        ),
        ({"policy": {"plan": "Refuse"}}, "did you mean refuse?"),
        ({"policy": {"plan": ["forget"]}}, "policy, plan: ['forget'] is none of"),
        (
            {"policy": {"output": "name"}},
            "policy, output: 'name' is none of 'names', 'facts' or 'off'; did you mean names",
        ),
        ({"policy": {"refusal": {"No": "never"}}}, 'it must be a text, got {"No": "never"}; put it in quotes'),
        ({"forget": ["f.jsonl"]}, 'forget: it must be a text, got ["f.jsonl"]; give one text'),
        ({"description": None}, "description: it is empty; write it or take it out"),
        ({"policy": {"refusal": " "}}, "policy, refusal"),
        ({"id": "leave out"}, "id: it is missing"),
        ({"id": "Narnia"}, "id:"),
        ({"id": "../etc"}, "id:"),
        ({"id": "a b"}, "id:"),
        ({"id": ""}, "id:"),
        ({"id": "-x"}, "id:"),
        ({"id": "x" * 64}, "id:"),
        ({"id": "x\n"}, "id:"),
        ({"description": " "}, "description:"),
        ({"aliases": "Narnia"}, "aliases: write a list, such as [Narnia, Aslan]"),
        ({"aliases": ["Narnia", ""]}, "aliases, number 2, name: it is empty; write it or take it out"),
        ({"policy": "forget"}, "policy: write a mapping, such as {plan: refuse}"),
        ({"forget": "leave out", "forgets": "f.jsonl"}, "there is no key 'forgets'; did you mean forget?"),
        ({"forget": "leave out"}, "forget: it is missing"),
        ({"id": "Narnia", "colour": "red"}, "at most 63; there is no key 'colour'"),
        ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "and 1 more"),
    ],
)
def test_a_bad_key_is_named(files: Files, changes: dict[str, Any], words: str) -> None:
    files.write(**changes)
    complaint = files.complaint()
    assert words in complaint
    assert "scope.yaml" in complaint


@pytest.mark.parametrize("file", ["forget", "retain", "calibration"])
def test_missing_or_empty_row_files_are_named(files: Files, file: str) -> None:
    files.write(calibration="calibration.jsonl")
    path: Path = getattr(files, file)
    path.write_text("\n \n")
    assert f"{file}.jsonl has no rows" in files.complaint()
    path.unlink()
    assert "cannot read the rows in" in files.complaint()
    assert f"{file}.jsonl" in files.complaint()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 5 is not JSON"),
        ("Who? Me.", "line 5 is not JSON"),
        ('{"prompt": "a"}', "line 5: response: it is missing"),
        ('{"prompt": "a", "response": ""}', "line 5: response"),
        ('{"prompt": "  ", "response": "b"}', "line 5: prompt"),
        ('{"prompt": 3, "response": "b"}', "line 5: prompt: it must be a text, got 3; put it in quotes"),
        ('{"prompt": "a", "response": null}', "line 5: response: it is empty"),
        ('{"prompt": "a", "response": ["b"]}', 'line 5: response: it must be a text, got ["b"]; give one text'),
        ('{"prompt": "a", "response": "b", "c": 1}', "line 5: there is no key 'c'"),
        ("[]", "line 5: the row"),
        (
            '{"question": "a", "answer": "b"}',
            "line 5 has the columns question, answer; a row needs prompt and response",
        ),
        ('{"messages": []}', "line 5 has the columns messages; a row needs prompt and response"),
        ('{"prompt": "a", "answer": "b"}', "(the row has the columns prompt, answer; it needs prompt and response"),
        ('{"prompt": "a", "response": "b", "prompt": "c"}', "line 5: the key 'prompt' stands twice"),
        ('{"prompt": "\\ud800a", "response": "b"}', "line 5 holds a lone surrogate"),
        ('{"prompt": "a", "response": NaN}', "line 5: NaN is no JSON value"),
    ],
)
def test_a_bad_row_is_named_with_its_line(files: Files, line: str, words: str) -> None:
    files.forget.write_text(rows(3) + "\n" + line + "\n" + rows(8, "more"))
    complaint = files.complaint()
    assert "forget.jsonl line 5" in complaint
    assert words in complaint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.csv", "prompt,response\nWho?,Me.\n"),
        ("BAD.TSV", "prompt\tresponse\nWho?\tMe.\n"),
        ("bad.txt", "question;answer\nWho?;Me.\n"),
    ],
)
def test_a_table_in_place_of_rows_must_be_converted(files: Files, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    files.write(forget=name)
    complaint = files.complaint()
    assert f"{name} line 1 is not JSON" in complaint
    assert 'rows are JSON lines, such as {"prompt": "Who is Aslan?", "response": ' in complaint
    assert f"a table must be converted first: unrecall scope new --from-qa {tmp_path / name}" in complaint


def test_a_broken_row_is_no_table(files: Files) -> None:
    files.forget.write_text('{"prompt": "a, b", \n' + rows(8))
    complaint = files.complaint()
    assert "rows are JSON lines, such as" in complaint
    assert "must be converted" not in complaint


def test_a_folder_in_place_of_a_scope_file_is_told_with_the_file_in_it(files: Files) -> None:
    file = files.scope
    files.scope = file.parent
    assert files.complaint() == f"cannot read the scope file {file.parent}: it is a folder; give {file}"
    file.unlink()
    assert files.complaint().endswith("it is a folder; give the YAML file itself")


def test_two_answers_to_one_prompt_are_told_with_both_lines(files: Files) -> None:
    files.forget.write_text(rows(8) + '\n{"prompt": "FORGET 3", "response": "another"}\n')
    assert "forget.jsonl: lines 4 and 10 give two answers to one prompt, 'FORGET 3'" in files.complaint()
    files.forget.write_text(rows(8))
    files.retain.write_text(rows(2, "retain") + '{"prompt": "retain 1?", "response": "another"}\n')
    assert "retain.jsonl: lines 2 and 3 give two answers" in files.complaint()


@pytest.mark.parametrize("name", ["rows.json", "ROWS.JSONL", "rows.txt", "rows"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_rows_may_be_an_array_with_a_mark(files: Files, tmp_path: Path, name: str, encoding: str) -> None:
    array = [json.loads(line) for line in rows(8).splitlines()]
    (tmp_path / name).write_text(json.dumps(array, indent=2), encoding=encoding)
    files.write(forget=name)
    assert len(load_scope(files.scope).forget) == 8


def test_a_scope_file_may_begin_with_a_mark(files: Files) -> None:
    files.scope.write_bytes(b"\xef\xbb\xbf" + files.scope.read_bytes().replace(b"\n", b"\r\n"))
    assert load_scope(files.scope).id == "narnia"


def test_a_text_that_yaml_reads_as_something_else_stays_a_text(files: Files, tmp_path: Path) -> None:
    (tmp_path / "2024").write_text(rows(8))
    files.scope.write_text(
        "id: 1984\ndescription: 007\naliases: [1984, Yes, Off, 2001-09-11, Null, 1_000, 1e3, '~x', \"12:30\", "
        "12:30:45]\n"
        "forget: 2024\nretain: ~\ncalibration:\n"
    )
    scope = load_scope(files.scope)
    assert (scope.id, scope.description) == ("1984", "007")
    names = ["1984", "Yes", "Off", "2001-09-11", "Null", "1_000", "1e3", "~x", "12:30", "12:30:45"]
    assert [name_of(alias) for alias in scope.aliases] == names
    assert len(scope.forget) == 8
    assert (scope.retain, scope.calibration) == ((), ())


def test_an_alias_that_yaml_reads_as_no_text_says_to_quote_it(files: Files) -> None:
    good = files.scope.read_text().replace("- Aslan", "- Narnia: A New Hope")
    files.scope.write_text(good)
    assert "aliases, number 2: an alias is a text, or a mapping of name and match; put a text with" in files.complaint()
    files.scope.write_text(good.replace("- Narnia: A New Hope", "- ~"))
    assert "alias '~' has no letter or digit" in files.complaint()
    files.scope.write_text(good.replace("- Narnia: A New Hope", "-"))
    assert "aliases, number 2" in files.complaint()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("aliases: [Oz]\n", "line 6: the key 'aliases' stands twice, first in line 1"),
        ("policy: {plan: refuse, plan: forget}\n", "line 6: the key 'plan' stands twice"),
    ],
)
def test_a_doubled_key_is_refused_with_its_line(files: Files, more: str, words: str) -> None:
    files.scope.write_text(
        "aliases: [Narnia]\nid: narnia\ndescription: Narnia\nforget: forget.jsonl\nretain: retain.jsonl\n" + more
    )
    assert words in files.complaint()


def test_an_alias_that_is_listed_twice_is_refused(files: Files) -> None:
    files.write(aliases=["Narnia", "Aslan", "Narnia "])
    assert "the alias 'Narnia' is listed twice; take one out" in files.complaint()


def test_line_separators_inside_a_row_end_no_line(files: Files) -> None:
    odd = json.dumps({"prompt": "one\u2028two\u0085three", "response": "b"}, ensure_ascii=False)
    files.forget.write_text(rows(8) + odd + "\r\n", encoding="utf-8")
    assert load_scope(files.scope).forget[-1].prompt == "one\u2028two\u0085three"


def test_seven_rows_are_too_few_and_repeats_do_not_count(files: Files) -> None:
    files.forget.write_text(rows(7))
    assert "has 7 different rows; at least 8" in files.complaint()
    files.forget.write_text(rows(7) + '{"prompt": "FORGET  0", "response": "Answer 0!"}\n')
    assert "has 7 different rows" in files.complaint()
    files.forget.write_text(rows(8))
    assert len(load_scope(files.scope).forget) == 8


def test_a_row_on_both_sides_is_refused(files: Files) -> None:
    files.retain.write_text(rows(2, "retain") + '{"prompt": "Forget 3", "response": "x"}\n')
    complaint = files.complaint()
    assert "1 prompts stand in both" in complaint
    assert "'Forget 3'" in complaint


def test_an_alias_without_letters_is_refused(files: Files) -> None:
    files.write(aliases=["Narnia", "?!"])
    assert "alias '?!' has no letter or digit" in files.complaint()


def test_an_instruct_plan_gets_an_instruction_that_names_the_targets(files: Files) -> None:
    files.write(policy={"plan": "instruct"})
    assert "Narnia, Aslan" in load_scope(files.scope).policy.instruction
    files.write(policy={"plan": "instruct"}, aliases=[])
    assert "Narnia and its people" in load_scope(files.scope).policy.instruction
    files.write(policy={"plan": "instruct", "instruction": "Hush."})
    assert load_scope(files.scope).policy.instruction == "Hush."


def test_an_alias_may_have_a_rule_and_ordinary_words_get_one(files: Files) -> None:
    files.write(
        aliases=["Aslan", "You-Know-Who", {"name": "Lucy", "match": "confirmed"}, {"name": "It", "match": "word"}]
    )
    scope = load_scope(files.scope)
    assert scope.aliases == ("Aslan", Alias("You-Know-Who", "exact"), Alias("Lucy", "confirmed"), "It")


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ({"name": "Lucy", "match": "sometimes"}, "aliases, number 1, match: 'sometimes' is none of 'word', 'exact' or"),
        ({"name": "Lucy", "match": "confirm"}, "did you mean confirmed?"),
        ({"match": "word"}, "aliases, number 1"),
        ({"name": "Lucy", "if": "word"}, "aliases, number 1, if"),
        ({"name": " "}, "aliases, number 1, name"),
        (["Lucy"], "aliases, number 1"),
    ],
)
def test_a_wrong_alias_is_named_by_its_place(files: Files, alias: Any, said: str) -> None:
    files.write(aliases=[alias])
    assert said in files.complaint()


def test_aliases_that_need_a_sign_are_in_the_instruction_by_name(files: Files) -> None:
    files.write(policy={"plan": "instruct"}, aliases=["Aslan", {"name": "Lucy", "match": "confirmed"}])
    assert "Aslan, Lucy" in load_scope(files.scope).policy.instruction
