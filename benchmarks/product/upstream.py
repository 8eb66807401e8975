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

__all__ = ["vllm_server"]

_START_S = 300


@contextmanager
def vllm_server(environment: Path, model: Path, log: Path) -> Iterator[str]:
    """Starts vLLM from its own virtual environment (`make vllm`) and gives its URL. RuntimeError if it cannot."""
    tried = environment / ".tried"
    reason = tried.read_text(encoding="utf-8").strip() if tried.is_file() else "run `make vllm` first"
    if reason != "ok":
        raise RuntimeError(f"no vLLM here: {reason}")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [
        *(str(environment / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server"),
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
            _wait(process, url, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"vLLM ended with {process.returncode}; see {log}")
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(1)
    raise RuntimeError(f"vLLM was not ready after {_START_S} s; see {log}")
