"""What doctor says of the memory that serving takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_families import save, tiny_of

import gateway.models.devices
from gateway.doctor.finding import Finding
from gateway.doctor.memory import memory, need_of
from gateway.doctor.parts import Parts
from gateway.settings import load_settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_of("qwen2"), tmp_path_factory.mktemp("model") / "model")


@dataclass(frozen=True, slots=True)
class Machine:
    folder: Path
    patch: pytest.MonkeyPatch

    def finding(self, free: int | None, *, serves: bool = False, **given: Any) -> Finding:
        """What doctor says with so many bytes free."""
        self.patch.setattr(gateway.models.devices, "free_bytes", lambda _: free)
        parts = Parts(load_settings(None, given), folder=self.folder)
        (found,) = memory(parts, lambda: serves)
        return found


@pytest.fixture
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(folder, monkeypatch)


def test_the_need_is_what_the_loaded_model_takes(folder: Path) -> None:
    model = tiny_of("qwen2").model
    stored = sum(tensor.nbytes for tensor in {p.data_ptr(): p for p in model.parameters()}.values())
    config = model.config
    of_a_token = (
        2 * config.num_hidden_layers * config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    )
    need = need_of(folder, "embedded", 3)
    assert need.loaded == stored
    assert need.answers == 3 * config.max_position_embeddings * of_a_token * model.dtype.itemsize
    table = model.get_input_embeddings().weight
    assert need_of(folder, "vllm", 3).total == table.nbytes


def test_a_model_that_does_not_fit_is_told_with_figures(machine: Machine) -> None:
    found = machine.finding(1000)
    assert (found.check, found.status) == ("memory", "failed")
    assert "0 MiB of memory are free" in found.message
    assert "--backend vllm" in found.message
    assert "--backend" not in machine.finding(1000, backend="vllm", upstream=["http://localhost:1"]).message


def test_room_for_the_model_alone_is_a_warning(machine: Machine) -> None:
    need = need_of(machine.folder, "embedded", 2)
    found = machine.finding(need.loaded + 1)
    assert found.status == "warning"
    assert "fewer slots (2 now)" in found.message
    assert machine.finding(need.total).status == "ok"


def test_a_gateway_that_serves_has_its_memory_already(machine: Machine) -> None:
    found = machine.finding(1000, serves=True)
    assert found.status == "ok"
    assert "serves already" in found.message


def test_a_system_that_tells_nothing_is_no_fault(machine: Machine) -> None:
    assert machine.finding(None).status == "warning"
