"""A real vLLM server for a measurement."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["await_health", "free_port", "started_vllm", "vllm_server"]

_START_S = 300


@contextmanager
def vllm_server(environment: Path, model: Path, log: Path) -> Iterator[str]:
    """Starts vLLM from its own virtual environment (`make vllm`) and gives its URL. RuntimeError if it cannot."""
    tried = environment / ".tried"
    reason = tried.read_text(encoding="utf-8").strip() if tried.is_file() else "run `make vllm` first"
    if reason != "ok":
        raise RuntimeError(f"no vLLM here: {reason}")
    with started_vllm(environment / "bin" / "python", model, log) as url:
        yield url


@contextmanager
def started_vllm(python: Path, model: Path, log: Path) -> Iterator[str]:
    """Starts the vLLM of that interpreter and gives its URL. RuntimeError if it cannot."""
    port = free_port()
    command = [
        *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)),
        *("--max-model-len", "1024", "--enable-prompt-embeds", "--dtype", "bfloat16"),
        *("--enable-lora", "--max-lora-rank", "16", "--max-loras", "2"),
        *("--lora-target-modules", *"q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()),
    ]
    settings = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await_health(process, f"{url}/health", seconds=_START_S, told=f"see {log}")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_health(process: "subprocess.Popen[bytes]", page: str, *, seconds: int, told: str) -> None:
    """Returns once a server's health page says 200. Raises RuntimeError, with what was `told`, if its process ends or
    the time is over.

    Args:
        process: the server's.
        page: the URL of the health page.
        seconds: the longest time to wait.
        told: where to read why.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server of {page} ended with {process.returncode}; {told}")
        try:
            if httpx.get(page, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    raise RuntimeError(f"{page} was not ready after {seconds} s; {told}")
