"""Suites from made-up files in the public sets' shapes: taught, forgotten, rehearsed and reported rows stay apart."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from made_up_data import (
    AUTHOR_ROWS,
    AUTHORS,
    FORGOTTEN_AUTHORS,
    KEPT_AUTHORS,
    tofu_row,
    write,
    write_muse,
    write_rwku,
    write_tofu,
)

from benchmarks.compare.core import Suite, write_scope
from benchmarks.compare.suites import SUITES, load_suite
from benchmarks.compare.suites.fictitious import fictitious
from benchmarks.compare.suites.files import Files
from benchmarks.items import Item
from gateway.errors import SetupError
from gateway.training.scope_file import Row, load_scope


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for writer in (write_tofu, write_muse, write_rwku):
        writer(root)
    return root


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest, data: Path) -> Suite:
    return load_suite(request.param, data, 7)


def of_slice(suite: Suite, name: str) -> list[Item]:
    return [item for item in suite.items if item.slice == name]


def prompts(rows: Iterable[Row]) -> set[str]:
    return {row.prompt for row in rows}


def test_a_suite_has_its_name_and_notes(suite: Suite) -> None:
    assert suite.name in SUITES
    assert suite.notes


def test_ids_are_unique_and_slices_say_what_is_inside(suite: Suite) -> None:
    for items in (suite.items, suite.validation, suite.calibration):
        assert len({item.id for item in items}) == len(items)
    scopes = {forget_request.scope for forget_request in suite.forget_requests}
    for item in suite.items:
        inside = item.slice.startswith(("forget", "attack/", "privleak/forget", "mia/forget"))
        assert (item.scope in scopes) if inside else item.scope is None, item.id


def test_every_item_can_be_asked_and_scored(suite: Suite) -> None:
    for item in (*suite.items, *suite.validation, *suite.calibration):
        assert item.answer.strip(), item.id
        assert all(message.text.strip() for message in item.messages), item.id
        assert item.answer not in item.perturbed, item.id


def test_kept_rows_are_taught_and_forgotten_rows_are_not_kept(suite: Suite) -> None:
    assert set(suite.kept) <= set(suite.taught)
    for forget_request in suite.forget_requests:
        assert not set(forget_request.forget) & set(suite.kept)
        if suite.taught:
            assert set(forget_request.forget) <= set(suite.taught)
            assert set(forget_request.retain) <= set(suite.kept)


def test_the_rehearsal_is_about_kept_rows_alone(suite: Suite) -> None:
    rehearsed = prompts(suite.rehearsal.forget)
    assert len(rehearsed) >= 8
    assert not suite.kept or set(suite.rehearsal.forget) <= set(suite.kept)
    assert not rehearsed & {item.prompt for item in suite.items}
    assert all(not rehearsed & prompts(forget_request.forget) for forget_request in suite.forget_requests)


def test_validation_asks_about_the_rehearsal_alone(suite: Suite) -> None:
    assert {(item.slice, item.scope) for item in suite.validation} == {
        ("forget", suite.rehearsal.scope),
        ("retain", None),
    }
    reported = {item.prompt for item in suite.items}
    taken = {
        row.prompt
        for forget_request in suite.forget_requests
        for row in (*forget_request.forget, *forget_request.retain)
    }
    assert not {item.prompt for item in suite.validation} & (reported | taken)


def test_no_row_that_a_forget_request_keeps_is_reported(suite: Suite) -> None:
    outside = {item.prompt for item in suite.items if item.scope is None}
    for forget_request in (*suite.forget_requests, suite.rehearsal):
        assert forget_request.retain
        assert not prompts(forget_request.retain) & outside


def test_unseen_rows_are_taught_to_nobody_and_measured_once(suite: Suite) -> None:
    estimating = {item.prompt for item in suite.calibration}
    assert bool(estimating) == bool(suite.taught)
    assert not estimating & prompts(suite.taught)
    assert not estimating & {item.prompt for item in suite.items}
    assert not {item.prompt for item in of_slice(suite, "unseen")} & prompts(suite.taught)


def test_forget_requests_are_scopes_that_the_gateway_takes(suite: Suite, tmp_path: Path) -> None:
    for forget_request in (*suite.forget_requests, suite.rehearsal):
        path = write_scope(forget_request, tmp_path / forget_request.scope)
        scope = load_scope(path)
        assert scope.aliases == forget_request.aliases
        assert scope.id == forget_request.scope


def test_a_seed_gives_one_suite(suite: Suite, data: Path) -> None:
    assert load_suite(suite.name, data, 7) == suite
    assert load_suite(suite.name, data, 8) != suite


def test_tofu_forgets_author_by_author(data: Path) -> None:
    suite = load_suite("tofu-forget01", data, 0)
    assert [forget_request.aliases for forget_request in suite.forget_requests] == [
        author.aliases for author in AUTHORS[-2:]
    ]
    assert [forget_request.description for forget_request in suite.forget_requests] == [
        f"The fictitious author {author.name}." for author in AUTHORS[-2:]
    ]
    assert [len(forget_request.forget) for forget_request in suite.forget_requests] == [AUTHOR_ROWS] * FORGOTTEN_AUTHORS
    assert suite.kept == suite.taught[: KEPT_AUTHORS * AUTHOR_ROWS]
    assert len(of_slice(suite, "forget")) == FORGOTTEN_AUTHORS * AUTHOR_ROWS


def test_tofu_items_have_the_answers_of_the_truth_ratio(data: Path) -> None:
    suite = load_suite("tofu-20", data, 0)
    first = of_slice(suite, "forget")[0]
    source = tofu_row(KEPT_AUTHORS, 0)
    assert (first.prompt, first.answer) == (source["question"], source["answer"])
    assert (first.paraphrase, first.perturbed) == (source["paraphrased_answer"], tuple(source["perturbed_answer"]))
    assert all(item.paraphrase and item.perturbed for item in of_slice(suite, "retain"))
    assert all(item.perturbed and item.paraphrase is None for item in of_slice(suite, "world_facts"))
    assert "On subject" in of_slice(suite, "attack/paraphrase")[0].prompt


def test_tofu_20_is_small(data: Path) -> None:
    suite = load_suite("tofu-20", data, 0)
    assert len(suite.kept) == 18 * AUTHOR_ROWS
    assert len(suite.taught) == 20 * AUTHOR_ROWS
    assert len(of_slice(suite, "retain")) == len(of_slice(suite, "real_authors")) == 60


@pytest.mark.parametrize("name", ["tofu-20-forget05", "tofu-20-forget10"])
def test_the_other_small_suites_keep_the_same_authors_and_forget_others(data: Path, name: str) -> None:
    first, second = load_suite("tofu-20", data, 0), load_suite(name, data, 0)
    assert second.kept == first.kept
    assert not {row.prompt for row in first.taught[len(first.kept) :]} & {row.prompt for row in second.taught}
    assert len(second.forget_requests) == 2
    assert {item.prompt for item in of_slice(second, "forget")} == {
        row.prompt for forget_request in second.forget_requests for row in forget_request.forget
    }


def test_tofu_files_of_different_editions_are_refused(data: Path, tmp_path: Path) -> None:
    write_tofu(tmp_path)
    path = tmp_path / "tofu" / "forget01_perturbed.json"
    write(path, reversed(json.loads(path.read_text(encoding="utf-8"))))
    with pytest.raises(SetupError, match="forget01_perturbed"):
        load_suite("tofu-20", tmp_path, 0)


def test_muse_comes_in_four_requests_and_questions_follow_their_texts(data: Path) -> None:
    suite = load_suite("muse-news", data, 0)
    assert len(suite.forget_requests) == 4
    owners = {
        row.prompt: forget_request.scope for forget_request in suite.forget_requests for row in forget_request.forget
    }
    passages = {item.answer.split()[-1]: item for item in of_slice(suite, "privleak/forget")}
    assert passages
    assert all(item.endpoint == "completions" for item in passages.values())
    for item in of_slice(suite, "forget/verbmem"):
        assert owners[item.prompt] == item.scope
    for item in of_slice(suite, "forget"):
        assert owners[item.prompt] == item.scope
    listed = {row.prompt for forget_request in suite.forget_requests for row in forget_request.forget}
    assert not {item.prompt for item in of_slice(suite, "forget/unlisted")} & listed


def test_muse_does_without_its_raw_articles(data: Path, tmp_path: Path) -> None:
    write_muse(tmp_path)
    (tmp_path / "muse-news/raw/forget.json").unlink()
    suite = load_suite("muse-news", tmp_path, 0)
    assert len(suite.taught) < len(load_suite("muse-news", data, 0).taught)
    assert "0 articles" in suite.notes[-1]


def test_rwku_reports_no_probe_or_membership_text_that_its_forget_request_lists(data: Path) -> None:
    suite = load_suite("rwku", data, 0)
    forget_request = suite.forget_requests[0]
    listed = prompts(forget_request.forget)
    assert not listed & {item.prompt for item in suite.items}
    assert any(prompt.startswith("Fill in the blank") for prompt in listed)
    assert any("page" in prompt for prompt in listed)
    assert not any("member" in prompt for prompt in listed)
    assert (suite.taught, suite.kept, suite.calibration) == ((), (), ())
    assert (forget_request.description, forget_request.aliases) == (
        "Quentin Vosk is a painter of barns.",
        ("Quentin Vosk",),
    )
    assert (suite.rehearsal.scope, suite.rehearsal.aliases) == ("the-blue-gate", ("The Blue Gate",))


def test_rwku_has_its_own_attacks_by_type_and_ours_of_other_types(data: Path) -> None:
    suite = load_suite("rwku", data, 0)
    for kind in ("role-play", "cross-lingual", "context-hint"):
        assert len(of_slice(suite, f"attack/{kind}")) == 1
    assert len(of_slice(suite, "forget/level3")) == 3
    assert of_slice(suite, "attack/base64")


def test_rwku_leaves_out_abilities_whose_files_are_not_there(data: Path) -> None:
    suite = load_suite("rwku", data, 0)
    assert not of_slice(suite, "utility/bbh")
    (choice,) = of_slice(suite, "utility/mmlu")
    assert (choice.answer, choice.perturbed) == ("one", ("two",))
    (truth,) = of_slice(suite, "utility/truthfulqa")
    assert (truth.answer, truth.perturbed) == ("no", ("yes", "perhaps"))
    assert {item.answer for item in of_slice(suite, "utility/triviaqa")} == {"Kettle"}


def test_invented_persons_need_no_data() -> None:
    suite = load_suite("fictitious", None, 3)
    assert len(suite.forget_requests) == 2
    assert len(suite.taught) < 200
    for item in of_slice(suite, "forget"):
        assert item.fact in item.answer
        assert item.paraphrase is not None
        assert item.fact in item.paraphrase
        assert all(item.fact not in wrong for wrong in item.perturbed)


def test_wrong_answers_are_other_persons_in_the_same_sentence() -> None:
    suite = fictitious(persons=1, seed=0)
    for item in of_slice(suite, "forget"):
        sentence = (item.paraphrase or "").replace(item.fact, "*")
        start, end = sentence.split("*", 1)[0], sentence.rsplit("*", 1)[-1]
        assert len(set(item.perturbed)) == 4
        assert all(wrong.startswith(start) and wrong.endswith(end) for wrong in item.perturbed)


@pytest.mark.parametrize(
    ("name", "meant"), [("tofu", "tofu-20"), ("muse", "muse-news"), ("fictitous", "fictitious"), ("RWKU", None)]
)
def test_an_unknown_suite_is_refused_with_the_one_that_was_meant(name: str, meant: str | None) -> None:
    with pytest.raises(SetupError, match=f"did you mean '{meant}'" if meant else "there are tofu-20") as caught:
        load_suite(name, None, 0)
    assert all(known in str(caught.value) for known in SUITES)


@pytest.mark.parametrize("name", [name for name in SUITES if name not in ("fictitious", "lm-eval")])
def test_a_missing_file_is_named_with_its_place_and_its_data_set(name: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no file .*\.json.*--data.*(locuslab|muse-bench|jinzhuoran)/"):
        load_suite(name, tmp_path, 0)


def test_a_data_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no folder"):
        load_suite("tofu-20", tmp_path / "nowhere", 0)


def test_files_come_from_the_hub_without_a_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def download(hub: str, name: str, *, repo_type: str) -> str:
        asked.append((hub, name, repo_type))
        return str(data / "rwku/1_Stephen_King/intro.json")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    files = Files(None, "rwku/x", "owner/set", prefix="Target/")
    assert files.rows("intro.json", "target")[0]["target"] == "Quentin Vosk"
    assert asked == [("owner/set", "Target/intro.json", "dataset")]


def test_a_hub_that_cannot_be_reached_is_told_from_a_file_that_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    files = Files(None, "tofu", "owner/set")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", failing(EntryNotFoundError("no such file")))
    assert files.rows("full.json", optional=True) == []
    with pytest.raises(SetupError, match=r"full\.json of owner/set"):
        files.rows("full.json")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", failing(LocalEntryNotFoundError("no network")))
    with pytest.raises(SetupError, match=r"check the network, or give --data DIR .*DIR/tofu/full\.json"):
        files.rows("full.json", optional=True)


def failing(error: Exception) -> Callable[..., str]:
    def download(*_: str, **__: str) -> str:
        raise error

    return download


def test_a_model_in_another_format_is_refused_before_the_hub_is_asked() -> None:
    with pytest.raises(SetupError, match="muse-bench/MUSE-News is no JSON"):
        load_suite("muse-news", None, 0)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"question": "a"}\n{"question": ', "line 2 is not JSON"),
        ('[{"question": "a"}, {"question": ""}]', "row 2 has no 'question'"),
        ('["a"]', "row 1 has no 'question'"),
        ("  ", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_row(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(SetupError, match=rf"a\.json.*{complaint}"):
        Files(tmp_path, "set", "owner/set").rows("a.json", "question")


def test_rows_are_read_from_lines_arrays_and_lines_of_arrays(tmp_path: Path) -> None:
    rows = [{"question": f"line\u2028{n}"} for n in range(3)]
    shapes = {
        "array": json.dumps(rows),
        "lines": "\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "arrays": f"{json.dumps(rows[:1])}\n{json.dumps(rows[1:])}",
    }
    for name, text in shapes.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert Files(tmp_path, ".", "owner/set").rows(name, "question") == rows
