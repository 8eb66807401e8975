"""The script for a GPU: it says so where there is none, and its parts work on a CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hand_made import BASE, artifacts_of, manifest_of
from tiny import tiny_model

from benchmarks.product import gpu
from benchmarks.product.gpu_serving import packs_of_each_plan
from benchmarks.product.gpu_training import measure_training, random_model
from gateway.core import Call, Message, Request
from gateway.methods.registry import method
from gateway.packs.folders import list_packs, read_manifest
from gateway.packs.manifest import Languages
from gateway.packs.store import load_pack, save_pack
from gateway.training.memory import ModelShape

SMALL = ModelShape(1, 32, 64, 2, 1, 16, 700, True)


def test_without_a_gpu_nothing_is_measured_and_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--packs", str(tmp_path)]) == 1
    assert "no GPU" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        gpu.main(["--packs", str(tmp_path), "--quick"])
    assert "--out" in capsys.readouterr().err


def test_a_random_model_has_its_shape_and_every_method_is_measured() -> None:
    cpu, tokenizer = torch.device("cpu"), tiny_model().tokenizer
    model = random_model(SMALL, cpu)
    assert sum(weight.numel() for weight in model.parameters()) == SMALL.parameters
    assert model.dtype == torch.bfloat16
    found = measure_training(SMALL, tokenizer, cpu, steps=4)
    assert found["weights"] == SMALL.parameters
    assert found["corruption"]["evaluation_s"] > 0
    assert found["soft-prompt"]["step_s"] > 0
    assert found["lora"]["step_s"] > 0


def test_memory_that_runs_out_for_one_method_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nmore")

    monkeypatch.setattr("benchmarks.product.gpu_training.train_soft_prompt", full)
    found = measure_training(SMALL, tiny_model().tokenizer, torch.device("cpu"), steps=4)
    assert found["soft-prompt"] == {"out_of_memory": "CUDA out of memory."}
    assert found["lora"]["step_s"] > 0


def test_a_part_that_is_measured_later_stands_beside_the_earlier_ones_of_the_same_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(shape: ModelShape, *_: Any, **__: Any) -> dict[str, Any]:
        return {"weights": shape.parameters}

    out = tmp_path / "gpu.json"
    out.write_text(json.dumps({"card": gpu.about_card(), "start_s": 75.0}), encoding="utf-8")
    monkeypatch.setattr(gpu, "measure_training", training)
    words = ["--packs", str(tmp_path), "--quick", "--parts", "training", "--out", str(out)]
    assert gpu.main(words) == 0
    kept = json.loads(out.read_text(encoding="utf-8"))
    assert kept["start_s"] == 75.0
    assert kept["training"]["tiny"]["weights"] > 0
    assert kept["environment"]["cores"]

    out.write_text(json.dumps({"card": {"name": "another"}, "start_s": 75.0}), encoding="utf-8")
    gpu.main(words)
    assert "start_s" not in json.loads(out.read_text(encoding="utf-8"))


def test_there_is_a_pack_of_each_plan_that_its_name_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the example guards other languages, which these do not."""
    base = tiny_model()
    base.model.save_pretrained(tmp_path / "model")
    languages = {"encoder_fingerprint": BASE, "alpha": 0.001, "rows": 9, "alarms": 0, "held_out_rows": 9}
    save_pack(tmp_path / "packs", artifacts_of(), manifest_of("narnia"))
    example = read_manifest(tmp_path / "packs/narnia").model_copy(update={"languages": Languages(**languages)})
    monkeypatch.setattr("benchmarks.product.gpu_serving.read_manifest", lambda _: example)
    made = packs_of_each_plan(tmp_path / "packs", tmp_path / "model", tmp_path / "made")
    request = Request("1", "chat", "m", (Message("user", "Who was the king of Atlantis?"),))
    plans = {}
    for folder in list_packs(made):
        pack, chosen = load_pack(folder), method(read_manifest(folder).method)
        assert read_manifest(folder).languages is None
        plans[pack.aliases[0]] = chosen.plan(request, [Call(folder.name, pack.artifact, ())]).name
        if adapter := chosen.adapter(pack.artifact):
            linears = {
                name: (layer.in_features, layer.out_features)
                for name, layer in base.model.named_modules()
                if isinstance(layer, torch.nn.Linear)
            }
            assert adapter.misfit(linears) is None
            assert len(adapter.layers) == 7 * base.model.config.num_hidden_layers
    assert plans == {"Avalon": "Corrupt", "Lemuria": "SoftPrompt", "Atlantis": "UseAdapter"}
