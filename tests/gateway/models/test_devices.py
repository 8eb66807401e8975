"""The devices that an operator can name."""

import pytest
import torch

from gateway.errors import SetupError
from gateway.models.devices import check_device, device_named, free_bytes


@pytest.mark.parametrize("gpus", [0, 2])
def test_auto_is_a_gpu_if_there_is_one(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert device_named("auto").type == ("cuda" if gpus else "cpu")
    assert device_named("cpu") == torch.device("cpu")
    for name in ("auto", "cpu", *(("cuda", "cuda:0", "cuda:1") if gpus else ())):
        check_device(name, "--device")


@pytest.mark.parametrize(
    ("name", "gpus", "words"),
    [
        ("gpu", 2, "--device must be auto, cpu, cuda or cuda:N"),
        ("cuda:", 2, "must be auto"),
        ("cuda:-1", 2, "must be auto"),
        ("CPU", 0, "must be auto"),
        ("cuda", 0, "finds no GPU.*--device cpu"),
        ("cuda:2", 2, "has 2 GPUs, counted from cuda:0"),
        ("cuda:1", 1, "has 1 GPU, counted from cuda:0"),
    ],
)
def test_a_device_that_is_not_there_is_told(name: str, gpus: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(SetupError, match=words):
        check_device(name, "--device")


def test_what_a_gpu_holds_and_does_not_use_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert free_bytes(torch.device("cuda:1")) == 130
