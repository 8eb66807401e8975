"""The memory of a training: computed from shapes it is what torch gives out, and it is told before the work begins."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_tokenizer

import gateway.models.devices
import gateway.training.estimate
import gateway.training.run
from benchmarks.product.memory import measured_step, save_random
from gateway.errors import SetupError
from gateway.models.loading import Loading
from gateway.packs.files import Policy
from gateway.training.config import Training, training_of
from gateway.training.estimate import Estimate, check_reference, estimate_of
from gateway.training.memory import PUBLIC_SHAPES, ModelShape, TrainingStep, memory_of
from gateway.training.run import train_scope
from gateway.training.scope_file import Row, Scope

SMALL = ModelShape(4, 256, 512, 8, 4, 32, 8000, True)
SCOPE = Scope(
    "oz",
    "Oz.",
    ("Oz",),
    tuple(Row(prompt=f"Who is {name} of Oz?", response="A wizard.") for name in "abcde"),
    (),
    Policy(),
)
GIB = 2**30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of the small shape."""
    tokenizer, model = tmp_path_factory.mktemp("tokenizer"), tmp_path_factory.mktemp("small")
    tiny_tokenizer().save_pretrained(tokenizer)
    return save_random(SMALL, model, tokenizer)


@pytest.mark.parametrize(
    ("method", "loading"),
    [
        ("lora", Loading("float32")),
        ("lora", Loading("bfloat16")),
        ("lora", Loading("bfloat16", gradient_checkpointing=True)),
        ("soft-prompt", Loading("bfloat16")),
    ],
    ids=["LoRA, float32", "LoRA, bfloat16", "LoRA, checkpointed", "soft prompt, bfloat16"],
)
def test_what_is_computed_is_what_torch_gives_out(folder: Path, method: str, loading: Loading) -> None:
    found = measured_step(folder, method, loading, SMALL)
    assert found["computed_bytes"] == pytest.approx(found["measured_bytes"], rel=0.15)


def test_the_number_of_weights_is_that_of_the_published_models() -> None:
    counted = {name: shape.parameters for name, shape in PUBLIC_SHAPES.items()}
    assert counted == {
        "SmolLM2 135M": 134_515_008,
        "SmolLM2 360M": 361_821_120,
        "SmolLM2 1.7B": 1_711_376_384,
        "Llama 3.1 8B": 8_030_261_248,
        "Llama 3.1 70B": 70_553_706_496,
    }


@pytest.mark.parametrize("shape", PUBLIC_SHAPES.values(), ids=PUBLIC_SHAPES)
def test_each_way_to_save_memory_saves_some(shape: ModelShape) -> None:
    plain = memory_of(shape, TrainingStep("lora"))
    checkpointed = memory_of(shape, TrainingStep("lora", checkpointing=True))
    eight_bit = memory_of(shape, TrainingStep("lora", eight_bit=True))
    assert checkpointed.activations < plain.activations / 5
    assert checkpointed.weights == plain.weights
    assert eight_bit.weights < plain.weights
    assert memory_of(shape, TrainingStep("lora", rows=2)).step < plain.step
    assert memory_of(shape, TrainingStep("corruption")).step == 0


def estimate(folder: Path, free: int, monkeypatch: pytest.MonkeyPatch, **options: object) -> Estimate:
    monkeypatch.setattr(gateway.training.estimate, "free_bytes", lambda *_: free)
    found = estimate_of(SCOPE, training_of("lora", loading=Loading(**options)), folder, folder)  # type: ignore[arg-type]
    assert found
    return found


def test_too_little_memory_is_told_with_what_helps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimate(folder, GIB, monkeypatch).total
    enough = estimate(folder, int(0.9 * needed), monkeypatch)
    enough.check()  # an estimate is no measurement
    checkpointed = estimate(folder, GIB, monkeypatch, gradient_checkpointing=True).total
    with pytest.raises(
        SetupError, match=r"takes about \d+ MiB of main memory .* with --gradient-checkpointing it takes"
    ):
        estimate(folder, checkpointed, monkeypatch).check()
    with pytest.raises(SetupError, match="take a machine with more memory"):
        estimate(folder, 1000, monkeypatch).check()


def test_the_weights_of_a_reference_model_count(folder: Path) -> None:
    alone, with_reference = (
        estimate_of(SCOPE, Training(), folder, folder, reference=other) for other in (None, folder)
    )
    assert alone
    assert with_reference
    assert alone.memory.weights == SMALL.parameters * 2
    assert with_reference.memory.weights == 2 * alone.memory.weights


def test_a_reference_model_on_another_device_is_no_burden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gateway.training.estimate, "free_bytes", lambda device: GIB if device.type == "cpu" else 1000)
    loading = Loading(device="cpu")
    beside, apart = (
        estimate_of(SCOPE, Training(loading=loading), folder, folder, reference=folder, reference_device=device)
        for device in ("cpu", "cuda:0")
    )
    assert beside
    assert apart
    assert beside.memory.weights == 2 * apart.memory.weights == 4 * SMALL.parameters
    check_reference(folder, loading)
    with pytest.raises(SetupError, match=r"takes \d+ MiB on cuda:0, where 0 MiB are free: .*--reference-device"):
        check_reference(folder, Loading(device="cuda:0"))


def test_memory_for_one_answer_at_a_time_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.training.estimate, "free_bytes", lambda *_: GIB)
    found = estimate_of(SCOPE, Training(), folder, folder)
    assert found
    assert found.memory.weights < found.least < found.total
    replace(found, free=found.least).check()
    with pytest.raises(SetupError, match="more memory"):
        replace(found, free=int(0.7 * found.least)).check()


def test_memory_that_runs_out_is_told_with_the_figures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(gateway.training.run, "train_pack", out_of_memory)
    example = Path(__file__).parents[3] / "examples/harry-potter/scope.yaml"
    with pytest.raises(SetupError, match=r"takes about .* are free.* torch says: CUDA out of memory\. Tried") as told:
        train_scope(scope_file=example, model=str(folder), encoder="minilm", out=folder / "packs")
    assert "\n" not in str(told.value)


def test_processes_share_a_batch_and_the_machine(folder: Path) -> None:
    one, two = (estimate_of(SCOPE, training_of("lora"), folder, folder, processes=count) for count in (1, 2))
    assert one
    assert two
    assert (one.step.rows, two.step.rows) == (4, 2)
    assert two.total == 2 * two.memory.total


def test_nothing_is_loaded_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(gateway.training.estimate, "free_bytes", lambda *_: 2**20)
    example = Path(__file__).parents[3] / "examples/harry-potter/scope.yaml"
    with pytest.raises(SetupError, match=r"1 MiB are free"):
        train_scope(
            scope_file=example,
            model="smollm2",
            encoder="minilm",
            out=tmp_path,
            training=training_of("lora"),
            progress=lambda stage, done, total: told.append(stage),
        )
    assert "loading models" not in told
    assert any(stage.startswith("training takes about") for stage in told)


def test_the_free_memory_of_a_container_is_what_its_limit_leaves(tmp_path: Path) -> None:
    for name, text in {
        "memory.max": "1000",
        "memory.current": "700",
        "memory.stat": "anon 300\ninactive_file 200\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert gateway.models.devices._free_of_group(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max\n")
    assert gateway.models.devices._free_of_group(tmp_path) is None


def test_the_page_shows_what_is_computed() -> None:
    ways: list[dict[str, Any]] = [{"method": "corruption"}]
    ways += [{"method": "soft-prompt", "passes": 3, "checkpointing": kept} for kept in (False, True)]
    ways += [{"method": "lora", "checkpointing": kept} for kept in (False, True)]
    ways += [{"method": "lora", "checkpointing": True, "eight_bit": True}]
    page = (Path(__file__).parents[3] / "docs/training.md").read_text(encoding="utf-8")
    for name, shape in PUBLIC_SHAPES.items():
        found = [memory_of(shape, TrainingStep(**way)) for way in ways]
        sizes = [found[0].weights, *(memory.total for memory in found)]
        assert f"| {name} | {' | '.join(f'{size / GIB:.1f}' for size in sizes)} |" in page


def test_the_page_says_how_far_the_measured_figures_are() -> None:
    root = Path(__file__).parents[3]
    sizes = json.loads((root / "benchmarks/results/memory.json").read_text(encoding="utf-8"))["sizes"]
    ratios = [one["ratio"] for cases in sizes.values() for one in cases]
    words = f"the computed figure is {min(ratios):.2f} to {max(ratios):.2f} times"
    assert words in (root / "docs/training.md").read_text(encoding="utf-8")
