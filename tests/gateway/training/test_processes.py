"""Several processes learn what one would have learned, and end together."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from harness import NO_THREADS, ROOT, free_port
from safetensors.torch import load_file
from tiny import tiny_model

from adapters.parallel import ALONE, Processes
from gateway.errors import SetupError
from gateway.methods.registry import method
from gateway.models.language_model import load_language_model
from gateway.training.config import Training
from gateway.training.workers import launched, send_base

sys.path.append(str(Path(__file__).parent))
from together import TRAININGS, learned

SCRIPT = Path(__file__).with_name("together.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    made, place = tiny_model(), tmp_path_factory.mktemp("tiny")
    made.model.save_pretrained(place)
    made.tokenizer.save_pretrained(place)
    return place


@pytest.fixture(scope="module")
def shared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes under `accelerate launch` learned."""
    out = tmp_path_factory.mktemp("shared")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(free_port()), str(SCRIPT), str(folder), str(out)]
    env = {**os.environ, **NO_THREADS, "PYTHONPATH": f"{ROOT}"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False, env=env)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return out


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_learn_what_one_learns(folder: Path, shared: Path, tmp_path: Path, name: str) -> None:
    alone = learned(name, load_language_model(folder).model)
    method(name).save(alone.artifact, tmp_path)
    written = (shared / name / "curve.json").read_bytes()
    losses, other = (json.loads(text)["loss"] for text in (alone.extra["curve.json"], written))
    assert len(losses) == 9
    assert len(set(losses)) == 9
    assert other == pytest.approx(losses, abs=1e-4)
    (weights,) = (file.name for file in tmp_path.glob("*.safetensors"))
    expected, found = load_file(tmp_path / weights), load_file(shared / name / weights)
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-4, rtol=1e-3)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Starts the second of two processes with some code; this process is the first."""
    port = str(free_port())
    env = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in {**env, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)

    def start(code: str) -> None:
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **NO_THREADS, **env, "RANK": "1"}, cwd=ROOT)

    return start


def test_a_process_that_fails_ends_the_others(folder: Path, beside) -> None:
    beside(
        "from gateway.training.workers import launched\n"
        "with launched() as processes:\n"
        "    processes.receive()\n"
        "    raise MemoryError\n"
    )
    model = load_language_model(folder).model
    with (
        pytest.raises(SetupError, match=r"process 0 of 2: another process of this training has ended"),
        launched() as processes,
    ):
        learned("lora", model, processes)


def test_without_a_launcher_nothing_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # some schedulers set it, without a rank
    with launched() as processes:
        assert processes is ALONE
        assert not torch.distributed.is_initialized()


def test_a_method_that_searches_has_nothing_to_share() -> None:
    with pytest.raises(SetupError, match=r"corruption does not learn by gradients.* without a launcher"):
        send_base(Processes(0, 2), Training(), "ab")
