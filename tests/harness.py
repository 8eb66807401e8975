"""Real servers for the tests: a gateway in a thread, vLLM in a process, and readers of what they send."""

import io
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import orjson
import uvicorn
from fastapi import FastAPI
from openai import OpenAI

from classifiers.leaks.model import LeakModel
from gateway.backends.base import Backend
from gateway.cli.main import main
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint, resolve
from gateway.packs.files import Artifacts, Policy
from gateway.packs.folders import read_manifest
from gateway.packs.store import load_pack, save_pack
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.settings import load_settings

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
MODEL = "smollm2"
ADMIN_KEY = "for-the-operator"
ADMIN = {"x-unrecall-admin-key": ADMIN_KEY}
SEA = "The sea has taken it all."  # all that the LoRA of the tests says
NO_THREADS = {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Gateway:
    """A gateway that listens. `direct` is the address of the vLLM server behind it, if it has one."""

    url: str
    backend: Backend
    packs: Path
    direct: str | None = None

    @property
    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key="any", max_retries=0, timeout=120)

    def post(self, path: str, body: Json | bytes, **options: Any) -> httpx.Response:
        return post(self.url + path, body, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30, **options)

    def plan(self, path: str, body: Json) -> str:
        """What the gateway does with it, told to the operator alone. One token is asked for: the plan is the same."""
        return self.post(path, {**body, "max_tokens": 1}, headers=ADMIN).headers["x-unrecall-plan"]


def post(url: str, body: Json | bytes, **options: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {"content-type": "application/json", **options.pop("headers", {})}
    return httpx.post(url, content=content, headers=headers, timeout=120, **options)


def chat(prompt: str, **fields: Any) -> Json:
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 16, **fields}


def completion(prompt: Any, **fields: Any) -> Json:
    return {"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 12, **fields}


def events(response: httpx.Response) -> list[Json]:
    """The payloads of a stream, which must be well formed and complete."""
    *blocks, done, rest = response.content.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [orjson.loads(block.removeprefix(b"data: ")) for block in blocks]


def text_of(response: httpx.Response) -> str:
    """The text of the first choice, streamed or not, chat or not."""
    assert response.status_code == 200, response.text
    streamed = response.headers["content-type"].startswith("text/event-stream")
    choices = [
        choice
        for payload in (events(response) if streamed else [response.json()])
        for choice in payload["choices"]
        if choice["index"] == 0
    ]
    parts = [choice if "text" in choice else choice.get("message", choice.get("delta")) for choice in choices]
    return "".join(part.get("content", part.get("text")) or "" for part in parts)


def shape(value: Any) -> Any:
    """Keys in their order and kinds of values: what tells two answers apart besides their words."""
    if isinstance(value, dict):
        return [(key, "words" if key in ("top_logprobs", "bytes") else shape(value[key])) for key in value]
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def eventually(condition: Callable[[], Any], *, within_s: float) -> bool:
    """Whether the condition comes true in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def free_port() -> int:
    """Below those that the system gives to whoever asks for any: no server of another test takes it in between."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of an ASGI application, served over TCP from a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert eventually(lambda: server.started or not thread.is_alive(), within_s=60)
        assert server.started, "the server did not start"
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def gateway_app(backend: Backend, packs: Path, **settings: Any) -> FastAPI:
    overrides = {"packs": packs, "admin_key": ADMIN_KEY, "packs_poll_s": 0.1, **settings}
    loaded = load_settings(None, overrides)
    encoder = find_encoder("minilm")
    reloader = PackReloader(
        packs,
        encoder=encoder.load(),
        base_fingerprint=fingerprint(resolve(MODEL)),
        encoder_fingerprint=encoder.fingerprint,
        poll_s=loaded.packs_poll_s,
    )
    return create_app(loaded, backend, reloader)


@contextmanager
def gateway_over(backend: Backend, packs: Path, *, direct: str | None = None, **settings: Any) -> Iterator[Gateway]:
    with serving(gateway_app(backend, packs, **settings)) as url:
        yield Gateway(url, backend, packs, direct)


def copy_pack(
    source: Path,
    packs: Path,
    scope: str,
    alias: str,
    policy: Policy | None = None,
    *,
    method: str | None = None,
    artifact: Any = None,
) -> None:
    """Another scope's pack without training: it knows one name, and its classifier is never sure enough."""
    policy = policy or Policy()
    pack, manifest = load_pack(source), read_manifest(source)
    artifacts = Artifacts(
        aliases=(alias,),
        policy=policy,
        detector=pack.detector,
        model=replace(pack.model, threshold=1e6),
        method=method or manifest.method,
        artifact=artifact or pack.artifact,
        leaks=LeakModel.empty(),
        extra={},
    )
    save_pack(packs, artifacts, {**manifest.model_dump(exclude={"version", "files"}), "scope": scope})


@contextmanager
def process(
    command: list[str], *, env: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, all of which is gone afterwards."""
    with log.open("wb") as output, ExitStack() as stack:
        started = subprocess.Popen(
            command, env={**os.environ, **(env or {})}, stdout=output, stderr=output, start_new_session=True, cwd=ROOT
        )
        stack.callback(_end, started)
        yield started


def _end(started: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def vllm(log: Path) -> Iterator[str]:
    """The address of a real vLLM server on the CPU."""
    port = free_port()
    command = [str(ROOT / ".venv-vllm/bin/python"), str(ROOT / "tests/patient_vllm.py")]
    command += ["--model", str(resolve(MODEL)), "--served-model-name", MODEL, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--max-model-len", "1024", "--dtype", "bfloat16", "--enable-prompt-embeds"]
    command += ["--enable-lora", "--max-lora-rank", "16", "--max-loras", "2"]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    # vLLM 0.32 dies on a batch of embeddings and tokens once LoRA wraps its token embeddings: leave those out.
    command += ["--lora-target-modules", *"q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()]
    env = {
        **NO_THREADS,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    url = f"http://127.0.0.1:{port}"
    with process(command, env=env, log=log) as started:
        eventually(lambda: started.poll() is not None or answers(f"{url}/health"), within_s=300)
        assert answers(f"{url}/health"), f"vLLM did not start; the end of {log}:\n{log.read_text()[-3000:]}"
        yield url


def unrecall(*words: Any, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Runs the command line to its end, in a process of its own and on lines that are not broken."""
    command = [sys.executable, "-m", "gateway.cli.main", *map(str, words)]
    env = {**os.environ, **NO_THREADS, "COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=ROOT, check=False, env=env)


def unrecall_here(*words: Any) -> subprocess.CompletedProcess[str]:
    """The same within this process: no models are imported again."""
    command = ["unrecall", *map(str, words)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", command):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
