"""Clients that do not send, or do not read: their connections end, and everybody else is served meanwhile."""

import asyncio
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from harness import MODEL, chat, eventually, gateway_app, post
from starlette.types import Receive, Scope, Send
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.server.process import server_of

PATIENCE_S = 0.5
CHAT = "/v1/chat/completions"
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n".encode()


class Flood:
    """An application that writes for as long as somebody reads."""

    def __init__(self) -> None:
        self.written = 0
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": bytes(1 << 14), "more_body": True})
            self.written += 1 << 14
            await asyncio.sleep(0)
        self.ended += 1


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def serving(app: object) -> Iterator[str]:
    server = server_of(app, client_timeout_s=PATIENCE_S)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    assert eventually(lambda: server.started, within_s=60)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    packs = tmp_path_factory.mktemp("none")
    app = gateway_app(EmbeddedBackend(tiny_model(), name=MODEL), packs, client_timeout_s=PATIENCE_S)
    with serving(app) as url:
        yield url


def connected(url: str, *sent: bytes) -> socket.socket:
    parts = urlsplit(url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.settimeout(20)
    client.connect((parts.hostname, parts.port))
    for piece in sent:
        client.sendall(piece)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the connection ends; it must end."""
    received = b""
    try:
        while piece := client.recv(1 << 16):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize("sent", [b"", b"PO", HEAD, HEAD + b"x-more: "], ids=["nothing", "a word", "no end", "a piece"])
def test_a_head_that_does_not_come(gateway: str, sent: bytes) -> None:
    with connected(gateway, sent) as client:
        assert post(gateway + CHAT, chat("Hello", max_tokens=1)).status_code == 200
        assert rest(client) == b""


def test_a_head_that_drips(gateway: str) -> None:
    """Each byte comes in time, and the head never."""
    begun = time.monotonic()
    with connected(gateway, HEAD) as client, suppress(OSError):
        while time.monotonic() - begun < 20:
            client.sendall(b"x")
            time.sleep(0.02)
    assert PATIENCE_S <= time.monotonic() - begun < 20


def test_a_second_head_on_the_same_connection(gateway: str) -> None:
    body = json.dumps(chat("Hello", max_tokens=1)).encode()
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    with connected(gateway, whole + whole + HEAD[:20]) as client:
        assert rest(client).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("drips", [False, True])
def test_a_body_that_does_not_come(gateway: str, drips: bool) -> None:
    with connected(gateway, HEAD + b"content-length: 10000\r\n\r\n", b'{"model":') as client:
        while drips and not select.select([client], [], [], 0.02)[0]:  # each byte comes in time, and the last never
            client.sendall(b" ")
        head, _, body = rest(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["code"] == "request_timeout"


def test_clients_that_never_read_hold_little_and_are_cut_off() -> None:
    flood = Flood()
    with serving(flood) as url:
        clients = [connected(url, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") for _ in range(20)]
        assert eventually(lambda: flood.ended == 20, within_s=20)
        assert flood.written < 20 * (1 << 19), "64 KiB here, 128 KiB in the system, and what the client's side takes"
        for client in clients:
            client.close()


def test_a_client_that_reads_slowly_is_served() -> None:
    flood = Flood()
    with serving(flood) as url, connected(url, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") as client:
        end = time.monotonic() + 4 * PATIENCE_S
        while time.monotonic() < end:
            assert client.recv(1 << 22)
            time.sleep(PATIENCE_S / 10)
        assert flood.ended == 0
