"""The whole comparison, on a model of two layers that has learned two invented persons by heart."""

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.tasks import TaskManager
from tiny import tiny_model

from benchmarks.compare.arms import Guardrail, Weights, load_arms
from benchmarks.compare.core import Suite
from benchmarks.compare.guardrails import gate_of, trained_packs
from benchmarks.compare.harness import ServedArm, Tasks, _command, checked, harness_scores
from benchmarks.compare.models import teaching_seconds
from benchmarks.compare.run import AnyArm, ComparisonConfig, compare
from benchmarks.compare.store import Store
from benchmarks.compare.suites import load_suite
from benchmarks.compare.tuning import chosen, unlearnt
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Message, Pass, Plan, Request, Sampling
from gateway.errors import SetupError
from gateway.methods import registry
from gateway.models.encoders import find_encoder
from gateway.models.language_model import load_language_model
from gateway.packs.folders import list_packs, read_manifest
from gateway.packs.store import load_packs
from gateway.policy import decide
from gateway.screening.gate import Gate

ARMS = "original,retrain,eco,input-filter,output-filter,npo,ga"


@pytest.fixture(scope="module")
def suite() -> Suite:
    return replace(load_suite("fictitious", None, 0), epochs=50, lr=3e-3, max_new_tokens=24)


@pytest.fixture(scope="module")
def model(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random model whose tokenizer has words for what it will be taught."""
    folder = tmp_path_factory.mktemp("model")
    corpus = tuple(f"{row.prompt} {row.response}" for row in suite.taught)
    base = tiny_model(corpus=corpus, hidden=64)
    base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def plan(suite: Suite, model: str, arms: str) -> ComparisonConfig:
    return ComparisonConfig(suite, model, [for_a_small_model(arm) for arm in load_arms(arms)], samples=2, trials=2)


def for_a_small_model(arm: AnyArm) -> AnyArm:
    return arm.model_copy(update={"grid": {"lr": [5e-4, 2e-3], "epochs": [5]}}) if isinstance(arm, Weights) else arm


@pytest.fixture(scope="module")
def results(suite: Suite, model: str, out: Path) -> dict[str, Any]:
    return compare(plan(suite, model, ARMS), out)


def test_every_arm_is_reported(results: dict[str, Any], out: Path) -> None:
    assert {name: arm["error"] for name, arm in results["arms"].items() if arm["status"] != "done"} == {}
    assert set(results["arms"]) == set(ARMS.split(","))
    assert json.loads((out / "results.json").read_text()) == results
    page = (out / "report.html").read_text()
    assert all(name in page for name in results["arms"])


def test_the_original_knows_and_the_retrained_model_does_not(results: dict[str, Any]) -> None:
    original, retrained = (
        results["arms"][name]["summary"]["forget"]["probability"] for name in ("original", "retrain")
    )
    assert original > 5 * retrained


def test_guardrails_forget_and_leave_the_rest_as_it_was(results: dict[str, Any]) -> None:
    summaries = {name: arm["summary"] for name, arm in results["arms"].items()}
    for name in ("eco", "input-filter", "output-filter"):
        assert summaries[name]["leak"]["greedy"] < summaries["original"]["leak"]["greedy"] / 4
        assert summaries[name]["identical"]["share"] > 0.9
    assert summaries["npo"]["identical"]["share"] < summaries["eco"]["identical"]["share"]


def test_weight_arms_list_their_trials(results: dict[str, Any]) -> None:
    npo = results["arms"]["npo"]
    assert len(npo["trials"]) == npo["budget_trials"] == 2
    assert npo["settings"] in [trial["settings"] for trial in npo["trials"]]


class Counted:
    def __init__(self) -> None:
        self.stages: list[str] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stages.append(stage)


def test_wrong_answers_are_scored_where_truth_ratios_are_reported_alone(results: dict[str, Any], out: Path) -> None:
    lines = (out / "arms/original/replies.jsonl").read_text().splitlines()
    scored = {reply["item"].split("/")[0]: bool(reply["perturbed"]) for reply in map(json.loads, lines)}
    assert scored["forget"]
    assert scored["retain"]
    assert not scored["attack"]


def test_a_rerun_runs_no_finished_arm_and_adds_new_ones(
    results: dict[str, Any], suite: Suite, model: str, out: Path
) -> None:
    counted = Counted()
    again = compare(plan(suite, model, "original,npo,prompt"), out, progress=counted)
    begun = [stage for stage in counted.stages if stage.startswith("arm ")]
    kept = ": kept from an earlier run"
    assert begun == [f"arm 1 of 3, original{kept}", f"arm 2 of 3, npo{kept}", "arm 3 of 3, prompt"]
    assert set(again["arms"]) == {*ARMS.split(","), "prompt"}
    assert again["arms"]["original"]["summary"] == results["arms"]["original"]["summary"]


def test_a_finished_arm_whose_file_has_changed_is_not_taken_for_it(
    results: dict[str, Any], suite: Suite, model: str, out: Path
) -> None:
    changed = load_arms("npo")[0].model_copy(update={"grid": {"lr": [5e-4], "epochs": [5]}})
    with pytest.raises(SetupError, match=r"npo was run with other settings .* or delete .*arms/npo"):
        compare(ComparisonConfig(suite, model, [changed], samples=2, trials=2), out)


def test_the_time_of_teaching_is_kept_with_the_taught_model(
    results: dict[str, Any], suite: Suite, model: str, out: Path, tmp_path: Path
) -> None:
    assert results["arms"]["original"]["training_seconds"] > 0
    assert results["arms"]["npo"]["tuning_seconds"] > 0
    found = teaching_seconds(out / "models/all")
    assert found == results["arms"]["original"]["training_seconds"]
    assert teaching_seconds(tmp_path) == 0


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"method": "nopo"}, "unknown method 'nopo'"),
        ({"grid": {"beta": [0.1], "lrr": [1.0]}}, "arm npo: its grid has 'lrr', which is none of lr, epochs"),
        ({"grid": {"rank": [8, 2.5]}}, "rank in its grid must be a whole number, got 2.5"),
        ({"grid": {"lr": [0.0]}}, "arm npo: learning rate, epochs and batch must be above 0"),
    ],
)
def test_a_wrong_arm_file_is_found_before_anything_is_taught(
    suite: Suite, model: str, tmp_path: Path, update: dict[str, Any], words: str
) -> None:
    wrong = load_arms("npo")[0].model_copy(update=update)
    with pytest.raises(SetupError, match=words):
        compare(ComparisonConfig(suite, model, [*load_arms("original"), wrong]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_grid_may_set_whole_numbers(suite: Suite, model: str) -> None:
    arm = load_arms("rmu+lora")[0].model_copy(update={"grid": {"layer": [1.0], "rank": [2.0], "epochs": [1.0]}})
    base = load_language_model(Path(model))
    settings = chosen(arm, suite, Path(model), target=0.1, trials=1, seed=0).settings
    assert settings["layer"] == 1
    learnt = unlearnt(arm, settings, base, suite.forget_requests[:1], suite.kept, seed=0)
    assert learnt.losses


def test_another_comparison_is_not_mixed_in(results: dict[str, Any], suite: Suite, model: str, out: Path) -> None:
    with pytest.raises(SetupError, match="seed 0 there and 1 now"):
        compare(ComparisonConfig(suite, model, load_arms("original"), samples=2, trials=2, seed=1), out)


def test_a_folder_of_something_else_is_left_alone(suite: Suite, model: str, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SetupError, match="holds something else"):
        compare(plan(suite, model, "original"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_folder_and_other_rows_need_no_hashes_to_be_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="file is a file; choose a folder"):
        Store(tmp_path / "file", {"seed": 0})
    Store(tmp_path / "runs", {"seed": 0, "items_sha256": "a"})
    with pytest.raises(SetupError, match=r"\(seed 0 there and 1 now\)"):
        Store(tmp_path / "runs", {"seed": 1, "items_sha256": "b"})


def test_damaged_records_say_which_and_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path, {"suite": "s"})
    store.keep("eco", {"kind": "guardrail", "arm": {}, "status": "done"}, [])
    for name, look in {"arm.json": store.record, "replies.jsonl": store.replies}.items():
        for text in ('{"cut o', "{}", "[]"):
            (tmp_path / "arms/eco" / name).write_text(text)
            with pytest.raises(SetupError, match=rf"{name} is damaged; delete the folder .*arms/eco"):
                look("eco")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(SetupError, match=r"run.json is damaged; put it back"):
        Store(tmp_path, {"suite": "s"})


def test_replies_that_were_lost_are_told(results: dict[str, Any], suite: Suite, model: str, out: Path) -> None:
    path = out / "arms/ga/replies.jsonl"
    whole = path.read_text()
    path.write_text("\n".join(whole.splitlines()[:3]))
    with pytest.raises(SetupError, match=rf"ga/replies.jsonl is damaged \(3 replies to {len(suite.items)} items\)"):
        compare(plan(suite, model, "original"), out)
    path.write_text(whole)


def test_a_filter_is_not_charged_for_a_corruption_it_does_not_use(results: dict[str, Any]) -> None:
    bytes_of = {name: results["arms"][name]["artifact_bytes"] for name in ("eco", "input-filter")}
    assert 0 < bytes_of["input-filter"] < bytes_of["eco"]


@pytest.fixture(scope="module")
def tasks(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    """What was taught, as two tasks of lm-evaluation-harness: of the forgotten persons, and of the world."""
    folder = tmp_path_factory.mktemp("tasks")
    for part in ("forget", "world_facts"):
        rows = [{"asked": item.prompt, "answer": item.answer} for item in suite.items if item.part == part]
        (folder / f"{part}.json").write_text(json.dumps(rows))
        task = {
            "task": f"taught_{part}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(folder / f"{part}.json")}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{asked}}",
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 24},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        }
        (folder / f"{part}.yaml").write_text(yaml.safe_dump(task))
    return checked("taught_forget,taught_world_facts", 6, folder)


def without_the_harness_own_tasks(*given: Any) -> list[str]:
    """The command as it is, but for the thousands of task files that the harness reads before it looks for one."""
    python, _, module, *words = _command(*given)
    code = "import functools, lm_eval.tasks as tasks; from lm_eval.__main__ import cli_evaluate; "
    code += "tasks.TaskManager = functools.partial(tasks.TaskManager, include_defaults=False); cli_evaluate()"
    assert module == "lm_eval"
    return [python, "-c", code, *words]


def test_the_harness_asks_through_the_guard(
    results: dict[str, Any],
    suite: Suite,
    model: str,
    tasks: Tasks,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taught = out / "models/all"
    packs = trained_packs(suite, "corruption", taught, out / "packs/corruption", seed=0, reference=Path(model))
    [arm] = load_arms("input-filter")
    assert isinstance(arm, Guardrail)
    plain = ServedArm(load_language_model(taught), taught)
    filtered = replace(plain, gate=gate_of(arm, packs, suite), packs=packs.folder)
    before = harness_scores(plain, tasks, tmp_path / "log", seed=0)
    monkeypatch.setattr("benchmarks.compare.harness._command", without_the_harness_own_tasks)
    after = harness_scores(filtered, tasks, tmp_path / "log", seed=0)
    assert before["taught_forget"]["exact_match,none"] > 0.5
    assert after["taught_forget"]["exact_match,none"] == 0
    assert after["taught_world_facts"] == before["taught_world_facts"]
    assert before["taught_world_facts"]["exact_match,none"] > 0.5


def test_the_harness_is_asked_of_every_arm_that_the_gateway_has_and_may_fail(
    results: dict[str, Any],
    suite: Suite,
    model: str,
    tasks: Tasks,
    out: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def scores(arm: ServedArm, asked: Tasks, log: Path, *, seed: int) -> dict[str, dict[str, float]]:
        if arm.gate is not None:
            raise RuntimeError("lm-eval ended with 1")
        return {"t": {"exact_match,none": 0.25}}

    monkeypatch.setattr("benchmarks.compare.run.harness_scores", scores)
    few = replace(suite, items=suite.items[:6])
    asked = replace(plan(few, model, "original,input-filter,output-filter"), tasks=tasks, samples=0)
    compare(replace(asked, arms=[]), tmp_path)
    for made in ("models", "packs"):
        (tmp_path / made).symlink_to(out / made)
    found = compare(asked, tmp_path)["arms"]
    assert found["original"]["harness"] == {"t": {"exact_match,none": 0.25}}
    assert "lm-eval ended with 1; delete" in found["input-filter"]["harness_error"]
    assert found["input-filter"]["status"] == "done"
    assert not {"harness", "harness_error"} & found["output-filter"].keys()
    assert "0.250" in (tmp_path / "report.md").read_text()


@pytest.fixture
def own_tasks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness reads thousands of task files of its own before it looks for one: six seconds."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager", partial(TaskManager, include_defaults=False))


@pytest.mark.usefixtures("own_tasks_alone")
@pytest.mark.parametrize(
    ("names", "limit", "words"),
    [
        ("no-such-task", 5, "has no task 'no-such-task'; nor has"),
        ("taught_forget", 0, "--limit must be at least 1"),
        (" , ", 5, "names no task"),
    ],
)
def test_a_task_that_the_harness_cannot_ask_is_said_first(tasks: Tasks, names: str, limit: int, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        checked(names, limit, tasks.folder)


@pytest.mark.usefixtures("own_tasks_alone")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"output_type": "loglikelihood"}, r"task chosen scores given texts \(loglikelihood\)"),
        ({"unsafe_code": True}, "task chosen runs code that the model wrote"),
        ({"generation_kwargs": {"num_beams": 4}}, "task chosen asks for num_beams"),
    ],
)
def test_tasks_that_a_chat_endpoint_cannot_serve_are_refused(
    tasks: Tasks, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    assert tasks.folder is not None
    task = yaml.safe_load((tasks.folder / "forget.yaml").read_text())
    (tmp_path / "chosen.yaml").write_text(yaml.safe_dump({**task, "task": "chosen", **changes}))
    with pytest.raises(SetupError, match=words):
        checked("chosen", 5, tmp_path)


def test_an_arm_that_diverges_is_recorded_and_the_others_go_on(
    results: dict[str, Any], suite: Suite, model: str, out: Path
) -> None:
    wild = load_arms("graddiff")[0].model_copy(update={"grid": {"lr": [1e30], "epochs": [5]}})
    found = compare(ComparisonConfig(suite, model, [wild, *load_arms("retrain")], samples=2, trials=2), out)
    assert found["arms"]["graddiff"]["status"] == "failed"
    assert "diverged" in found["arms"]["graddiff"]["error"]
    assert found["arms"]["graddiff"]["losses"]
    assert found["arms"]["retrain"]["status"] == "done"
    assert "graddiff" in (out / "report.html").read_text()


def test_a_method_from_another_package_is_trained_packed_served_and_compared(
    results: dict[str, Any], suite: Suite, model: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_places", dict(registry._places))
    registry.register("fade", "method_from_outside:FadeMethod")
    arm = Guardrail(name="fade", kind="guardrail", method="fade")
    again = compare(ComparisonConfig(suite, model, [*load_arms("original,retrain"), arm], samples=2, trials=2), out)
    assert again["arms"]["fade"]["status"] == "done", again["arms"]["fade"]["error"]
    known, faded = (again["arms"][name]["summary"]["forget"]["probability"] for name in ("original", "fade"))
    assert faded < known / 2

    folder = out / "packs/fade/packs"
    assert {read_manifest(pack).method for pack in list_packs(folder)} == {"fade"}
    (question,) = [row.prompt for row in suite.forget_requests[0].forget][:1]
    asked = Request("1", "chat", "taught", (Message("user", question),), Sampling(max_tokens=12, temperature=0))
    gate = Gate(load_packs(folder, base_fingerprint=None, encoder_fingerprint=None), find_encoder("minilm").load())
    backend = EmbeddedBackend(load_language_model(out / "models/all"), name="taught")
    screening = gate.screen([asked])[0]
    plan_of_it = decide(asked, screening, gate.ready(screening))
    assert plan_of_it.name == "Fade"
    plainly, guarded = (asyncio.run(said(backend, asked, one)) for one in (Pass(), plan_of_it))
    assert plainly != guarded


async def said(backend: EmbeddedBackend, request: Request, plan: Plan) -> str:
    async with backend:
        return "".join([delta.text async for event in backend.generate(request, plan) for delta in event.deltas])
