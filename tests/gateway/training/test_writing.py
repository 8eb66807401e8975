"""A writer sees training rows alone, and is asked about every name and answer in turn."""

import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from gateway.errors import SetupError
from gateway.packs.files import Policy
from gateway.training.config import training_of
from gateway.training.scope_file import Row, Scope
from gateway.training.writing import remote_writer, written_questions

ROWS = tuple(Row(prompt=f"Which lamp number {n} burns on the island?", response=f"lamp {n}") for n in range(12))
SCOPE = Scope("lamps", "The lamps of the drowned island.", ("Morwenna",), ROWS, (), Policy())
TRAIN = [row.prompt for row in ROWS[:8]]


def test_the_writer_sees_no_row_that_is_held_out() -> None:
    heads, tails = [], []

    def write(head: str, some: Sequence[str], seed: int) -> list[str]:
        heads.append(head)
        tails.extend(some)
        return [f"Question {seed} about{tail.splitlines()[0]}?" for tail in some]

    found = written_questions(SCOPE, TRAIN, write, 20, seed=3)
    assert len(found) == len(tails) == 20
    assert {tail.splitlines()[0].strip() for tail in tails} == {"Morwenna", *(row.response for row in ROWS[:8])}
    assert all(head.count("Question:") == 5 for head in heads)
    assert not any(row.prompt in head for row in ROWS[8:] for head in heads)
    assert found == written_questions(SCOPE, TRAIN, write, 20, seed=3)


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._say({"data": [{"id": "big"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        said = [{"text": f" {key}{body['model']}: {prompt[-9:]}"} for prompt in body["prompt"]]
        self._say({"choices": said} if body["stop"] == ["\n"] else {})

    def _say(self, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_may_write(address: str) -> None:
    tails = [f" {n}\nQuestion:" for n in range(20)]
    assert remote_writer(f"{address}/v1/")("head", tails, 0) == ["big: Question:"] * 20
    assert remote_writer(f"{address}/v1#small")("head", tails[:1], 0) == ["small: Question:"]
    assert remote_writer(f"{address}/v1", key="door-")("head", tails[:1], 0) == ["door-big: Question:"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "http://127.0.0.1:port/v1"])
def test_a_server_that_is_not_there_is_told(address: str) -> None:
    with pytest.raises(SetupError, match="leave it out"):
        remote_writer(address)("head", ["tail"], 0)


@pytest.mark.parametrize("answer", [{"choices": [{"text": None}]}, {"choices": None}, ["no choices"], {}])
def test_an_answer_without_texts_is_told(address: str, monkeypatch: pytest.MonkeyPatch, answer: object) -> None:
    monkeypatch.setattr(_Server, "do_POST", lambda server: server._say(answer))
    with pytest.raises(SetupError, match="leave it out"):
        remote_writer(f"{address}/v1")("head", ["tail"], 0)


@pytest.mark.parametrize(("widen", "writer"), [(-1, None), (10**6, None), (0, "smollm2")])
def test_senseless_options_are_refused(widen: int, writer: str | None) -> None:
    with pytest.raises(SetupError, match="--widen"):
        training_of("corruption", widen=widen, writer=writer)
