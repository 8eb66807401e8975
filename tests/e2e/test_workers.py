"""`unrecall serve --workers 2`: two real processes behind one port, before an upstream without a model."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from harness import ADMIN, ADMIN_KEY, MODEL, NO_THREADS, chat, eventually, free_port, post, process, unrecall_here

from benchmarks.product.stub import check_tokens, stub_server
from gateway.telemetry.verification import verify_files

REQUESTS = 200
SERVES = re.compile(r"worker (\d) serves \(process (\d+)\)")
COUNTED = 'unrecall_requests_total{endpoint="chat",outcome="ok",plan="Pass"} '


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with stub_server(prompt_tokens=check_tokens(MODEL)) as url:
        yield url


@contextmanager
def workers(upstream: str, folder: Path) -> Iterator["Workers"]:
    packs = folder / "packs"
    packs.mkdir(exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--workers", "2", "--port", str(port)]
    command += ["--backend", "vllm", "--upstream", upstream, "--packs", str(packs)]
    env = {**NO_THREADS, "UNRECALL_ADMIN_KEY": ADMIN_KEY, "UNRECALL_AUDIT_FILE": str(folder / "audit.jsonl")}
    with process(command, env=env, log=folder / "serve.txt") as started:
        yield Workers(started, f"http://127.0.0.1:{port}", folder)


class Workers:
    def __init__(self, started: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
        self.started = started
        self.url = url
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "serve.txt").read_text()

    @property
    def audit(self) -> list[dict[str, object]]:
        """The lines of requests; the chain of all lines must be whole."""
        file = self._folder / "audit.jsonl"
        assert not verify_files([file]).problem
        return [line for line in map(json.loads, file.read_text().splitlines()) if "audit" not in line]

    def ready(self) -> list[tuple[str, int]]:
        """(number, process) of every worker that has ever served."""
        return [(number, int(pid)) for number, pid in SERVES.findall(self.log)]

    def wait_for(self, count: int) -> None:
        assert eventually(lambda: len(self.ready()) >= count or self.started.poll() is not None, within_s=90)
        assert self.started.poll() is None, self.log

    def ask(self, requests: int) -> list[int]:
        """Each on a connection of its own."""

        def one(number: int) -> int:
            return post(f"{self.url}/v1/chat/completions", chat(f"What is {number} and {number}?")).status_code

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(one, range(requests)))

    def counted(self) -> set[float]:
        """What several scrapes say, each answered by any of the workers."""
        texts = [httpx.get(f"{self.url}/metrics", headers=ADMIN).text for _ in range(6)]
        return {float(line.removeprefix(COUNTED)) for text in texts for line in text.splitlines() if COUNTED in line}


def test_two_workers_answer_as_one_and_one_that_dies_is_replaced(upstream: str, tmp_path: Path) -> None:
    with workers(upstream, tmp_path) as gateway:
        gateway.wait_for(2)
        assert gateway.log.count(f"serving on {gateway.url}\n") == 1
        assert gateway.ask(REQUESTS) == [200] * REQUESTS
        assert eventually(lambda: gateway.counted() == {REQUESTS}, within_s=30), "a line follows its answer"
        assert len(gateway.audit) == len({line["id"] for line in gateway.audit}) == REQUESTS
        assert {line["worker"] for line in gateway.audit} == {1, 2}

        number, victim = gateway.ready()[0]
        os.kill(victim, signal.SIGKILL)
        assert gateway.ask(20) == [200] * 20, "the other worker answers, and nothing waits for the dead one"
        gateway.wait_for(3)
        assert gateway.ready()[2][0] == number
        assert gateway.ready()[2][1] != victim
        assert gateway.ask(20) == [200] * 20
        assert eventually(lambda: gateway.counted() == {REQUESTS + 40}, within_s=30), (
            "what the dead worker counted stays"
        )

        gateway.started.send_signal(signal.SIGTERM)
        assert gateway.started.wait(60) == 0
        assert "Traceback" not in gateway.log
    for _, pid in gateway.ready():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_start_that_fails_is_told_once(upstream: str, tmp_path: Path) -> None:
    (tmp_path / "packs" / "narnia").mkdir(parents=True)
    (tmp_path / "packs" / "narnia" / "manifest.json").write_text("{")
    with workers(upstream, tmp_path) as bad:
        assert bad.started.wait(90) == 2
        assert bad.log.count("error: ") == 1
        assert "pack 'narnia'" in bad.log
    assert "Traceback" not in bad.log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "workers: "),
        (["--workers", "2", "--backend", "vllm"], "needs the upstream's URL"),
        (["--workers", "2", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
    ],
)
def test_bad_settings_are_told_at_once(words: list[str], message: str) -> None:
    ended = unrecall_here("serve", *words)
    assert ended.returncode == 2
    assert message in ended.stderr.replace("\n", " ")
