"""One audit line for each accepted request, whatever ends it: real processes before an upstream without a model."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import ADMIN, ADMIN_KEY, MODEL, NO_THREADS, answers, chat, eventually, free_port, post, process

from benchmarks.product.stub import Pace, check_tokens, stub_server
from gateway.telemetry.verification import verify_files

SLOW = Pace(((1, 0.05, 4.0),))  # the first token soon, the last one after four seconds


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with stub_server(SLOW, prompt_tokens=check_tokens(MODEL)) as url:
        yield url


class Served:
    def __init__(self, started: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
        self.started = started
        self.url = url
        self.chat = f"{url}/v1/chat/completions"
        self.file = folder / "audit.jsonl"
        self._log = folder / "serve.txt"

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Of requests; the chain of all lines must be whole."""
        assert not verify_files([self.file], b"a key").problem
        return [line for line in map(json.loads, self.file.read_text().splitlines()) if "audit" not in line]

    def begin(self, count: int) -> list[threading.Thread]:
        """So many streams; each has its first bytes."""
        begun = threading.Semaphore(0)

        def read(number: int) -> None:
            body = chat(f"What is {number} and {number}?", stream=True)
            with suppress(httpx.HTTPError), httpx.stream("POST", self.chat, json=body, timeout=30) as answer:
                chunks = answer.iter_bytes()
                next(chunks)
                begun.release()
                for _ in chunks:
                    pass

        threads = [threading.Thread(target=read, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert begun.acquire(timeout=30)
        return threads


@contextmanager
def gateway(upstream: str, folder: Path, *words: str, **variables: str) -> Iterator[Served]:
    (folder / "packs").mkdir(exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--port", str(port), "--backend", "vllm"]
    command += ["--upstream", upstream, "--packs", str(folder / "packs"), *words]
    env = {"UNRECALL_ADMIN_KEY": ADMIN_KEY, "UNRECALL_AUDIT_FILE": str(folder / "audit.jsonl")}
    env |= {"UNRECALL_AUDIT_KEY": "a key", **NO_THREADS, **variables}
    with process(command, env=env, log=folder / "serve.txt") as started:
        served = Served(started, f"http://127.0.0.1:{port}", folder)
        assert eventually(lambda: started.poll() is not None or answers(f"{served.url}/healthz"), within_s=90)
        assert started.poll() is None, served.log
        yield served


@pytest.fixture(scope="module")
def alone(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway of one process, for as long as no test kills it: the last one does."""
    with gateway(upstream, tmp_path_factory.mktemp("alone")) as served:
        yield served


def test_a_disk_that_is_full_stops_the_answers_until_there_is_room(alone: Served) -> None:
    before, short = len(alone.lines), chat("Hello", max_tokens=1)
    assert post(alone.chat, short).status_code == 200
    full = alone.file.stat().st_size + 100
    resource.prlimit(alone.started.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
    statuses = [post(alone.chat, short).status_code for _ in range(4)]
    assert statuses == [200, 503, 503, 503], "the first is answered before its line fails"
    ready = httpx.get(f"{alone.url}/readyz", headers=ADMIN)
    assert ready.status_code == 503
    assert any("the audit log (" in problem for problem in ready.json()["problems"])
    assert "the audit log" in alone.log
    refused = post(alone.chat, short)
    assert refused.json()["error"]["code"] == "not_ready"
    assert str(alone.file.parent) not in refused.text
    resource.prlimit(alone.started.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert eventually(lambda: post(alone.chat, short).status_code == 200, within_s=30)
    assert httpx.get(f"{alone.url}/readyz").status_code == 200
    assert [line["outcome"] for line in alone.lines[before:]] == ["ok"] * 3, "no line is lost, and none is doubled"


def test_a_gateway_that_is_killed_owes_no_line_and_the_next_ends_its_answers_first(
    upstream: str, alone: Served
) -> None:
    before, folder = len(alone.lines), alone.file.parent
    assert post(alone.chat, chat("Hello", max_tokens=1)).status_code == 200
    httpx.get(f"{upstream}/fault/hangs_in_stream")  # so that none has ended before
    streams = alone.begin(5)
    os.kill(alone.started.pid, signal.SIGKILL)
    httpx.get(f"{upstream}/fault/none")
    alone.started.wait(60)
    for stream in streams:
        stream.join(30)
    assert [line["outcome"] for line in alone.lines[before:]] == ["ok"]
    with gateway(upstream, folder) as served:
        lines = served.lines[before:]
        assert [line["outcome"] for line in lines] == ["ok", *["killed"] * 5]
        assert len({line["id"] for line in lines}) == 6
        assert {line["model"] for line in lines} == {MODEL}
        told_to_end_it_ends_its_answers_first(served, before=before + 6)
    assert json.loads(served.file.read_text().splitlines()[-1])["audit"] == "closed"
    assert [path.name for path in folder.glob("audit.jsonl.*")] == []


def told_to_end_it_ends_its_answers_first(served: Served, *, before: int) -> None:
    """Of eight streams none is cut short; then there is nobody at the port. `before`: lines that stand already."""
    streams = served.begin(8)
    served.started.send_signal(signal.SIGTERM)
    for stream in streams:
        stream.join(30)
    assert served.started.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.url}/healthz")
    assert [line["outcome"] for line in served.lines[before:]] == ["ok"] * 8
    assert "Traceback" not in served.log


def test_a_worker_that_is_killed_owes_no_line_and_all_end_their_answers_first(upstream: str, tmp_path: Path) -> None:
    with gateway(upstream, tmp_path, "--workers", "2") as served:
        assert eventually(lambda: served.log.count(" serves (process") == 2, within_s=60)
        streams = served.begin(8)
        victim = served.log.partition("worker 1 serves (process ")[2].partition(")")[0]
        os.kill(int(victim), signal.SIGKILL)
        for stream in streams:
            stream.join(30)
        assert eventually(lambda: len(served.lines) == 8, within_s=60)
        outcomes = {line["outcome"] for line in served.lines}
        assert "killed" in outcomes
        assert outcomes <= {"ok", "killed"}
        # the one that takes its place has hardly begun to load
        told_to_end_it_ends_its_answers_first(served, before=8)


def test_the_operator_may_want_answers_nevertheless(upstream: str, tmp_path: Path) -> None:
    with gateway(upstream, tmp_path, UNRECALL_ON_AUDIT_ERROR="answer") as served:
        full = served.file.stat().st_size
        resource.prlimit(served.started.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        assert [post(served.chat, chat("Hello", max_tokens=1)).status_code for _ in range(3)] == [200] * 3
        ready = httpx.get(f"{served.url}/readyz", headers=ADMIN)
        assert (ready.status_code, ready.json()["healthy"]) == (200, False)
        resource.prlimit(served.started.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert eventually(lambda: httpx.get(f"{served.url}/readyz", headers=ADMIN).json()["healthy"], within_s=30)
        assert len(served.lines) == 3
