"""Upstreams without a model, each in a process of its own: one answers at once, one as slowly as a GPU server did.

They speak HTTP/1.1 themselves, so that they take little of the cores that the gateway under test runs on. After a GET
on /fault/NAME such an upstream has one of `FAULTS`, until /fault/none; /running tells how many requests are under way.
"""

import asyncio
import bisect
import multiprocessing
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import orjson

__all__ = ["AT_ONCE", "FAULTS", "H200", "Pace", "check_tokens", "stub_server"]

FAULTS = ("fails", "closes", "hangs", "garbles", "slow", "closes_in_stream", "hangs_in_stream", "garbles_in_stream")
_GARBLED = b"\x00\xff<html>{" * 20
_TOKENS = 16  # of an answer whose request does not say how many; a shorter one ends sooner
_SLOW_S = 1.5
_LONG = 1000  # tokens; so long an answer goes out in one piece
_TEXT = " word"
# One token, whatever is asked: so the gateway's capability check sees that embeddings are answered as text is.
_LOGPROBS = {
    "text_offset": [0],
    "token_logprobs": [-0.5],
    "tokens": [_TEXT],
    "top_logprobs": [{_TEXT: -0.5, ".": -2.0}],
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a server takes, by the number of requests under way: (requests, seconds to the first token, seconds to
    the last). Between two of them the times are interpolated; none: it answers at once."""

    points: tuple[tuple[int, float, float], ...] = ()

    def at(self, running: int) -> tuple[float, float]:
        """Seconds to the first and to the last token while so many requests run."""
        if not self.points:
            return 0.0, 0.0
        place = bisect.bisect_left([point[0] for point in self.points], running)
        if place == 0:
            return self.points[0][1:]
        if place == len(self.points):
            return self.points[-1][1:]
        (low, *before), (high, *after) = self.points[place - 1], self.points[place]
        share = (running - low) / (high - low)
        first, last = (one + share * (other - one) for one, other in zip(before, after, strict=True))
        return first, last


AT_ONCE = Pace()
# SmolLM2-135M on an H200 with vLLM 0.26, 32 streamed tokens: first token, and all of them at its requests a second.
H200 = Pace(((1, 0.0195, 1 / 11.1), (8, 0.0257, 8 / 75), (32, 0.069, 32 / 146), (128, 0.171, 128 / 265)))


@contextmanager
def stub_server(pace: Pace = AT_ONCE, *, prompt_tokens: tuple[int, int] = (1, 1)) -> Iterator[str]:
    """The URL of such an upstream, in a process of its own. `prompt_tokens` are what it counts for a chat and for a
    completion: those of the gateway's own check (`check_tokens`), and it takes this server for its model's."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_serve, args=(sender, pace, prompt_tokens), daemon=True)
    process.start()
    try:
        yield receiver.recv()
    finally:
        process.terminate()
        process.join()


def check_tokens(model: str) -> tuple[int, int]:
    """How many tokens the gateway's check has with a packaged model, as a chat and as a completion."""
    from gateway.backends.vllm.shapes import CHECK_TEXT
    from gateway.core import Message, Request
    from gateway.models.folders import resolve
    from gateway.models.language_model import load_tokenizer
    from gateway.prompts.rendering import count_tokens

    tokenizer = load_tokenizer(resolve(model))
    chat = Request("check", "chat", "", (Message("user", CHECK_TEXT),))
    completion = Request("check", "completions", "", (Message("prompt", CHECK_TEXT),))
    return count_tokens(tokenizer, chat), count_tokens(tokenizer, completion)


def _serve(sender: Connection, pace: Pace, prompt_tokens: tuple[int, int]) -> None:
    import uvloop

    uvloop.run(_run(sender, pace, prompt_tokens))


async def _run(sender: Connection, pace: Pace, prompt_tokens: tuple[int, int]) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    counter = _Running()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Server(pace, counter, prompt_tokens), sock=listener, backlog=1024
    )
    sender.send(f"http://127.0.0.1:{listener.getsockname()[1]}")
    await server.serve_forever()


@dataclass(slots=True)
class _Running:
    requests: int = 0
    fault: str = "none"


def _events(chat: bool, tokens: int, usage: dict[str, int] | None) -> Sequence[bytes]:
    """The server-sent events of an answer, as vLLM has them."""
    head = {"id": "x", "object": "chat.completion.chunk" if chat else "text_completion", "created": 1}
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": None}
    said = {"delta": {"content": _TEXT}} if chat else {"text": _TEXT}
    opening = [{"delta": {"role": "assistant", "content": ""}}] if chat else []
    pieces = [{**choice, **piece} for piece in [*opening, *[said] * (tokens - 1)]]
    pieces.append({**choice, **said, "finish_reason": "length"})
    events: list[dict[str, Any]] = [{**head, "model": "smollm2", "choices": [piece]} for piece in pieces]
    if usage:
        events.append({**head, "model": "smollm2", "choices": [], "usage": usage})
    return [b"data: " + orjson.dumps(event) + b"\n\n" for event in events]


def _steps(pieces: Sequence[bytes]) -> Sequence[Sequence[bytes]]:
    """The pieces that vLLM writes at one step of its model: the role with the first token, and with the last one all
    that follows it."""
    first = next(number for number, piece in enumerate(pieces) if b'"role"' not in piece)
    last = next((number for number, piece in enumerate(pieces) if b'"finish_reason":"' in piece), len(pieces) - 1)
    if last <= first:
        return [pieces]
    return [pieces[: first + 1], *([piece] for piece in pieces[first + 1 : last]), pieces[last:]]


class _Server(asyncio.Protocol):
    """One connection."""

    def __init__(self, pace: Pace, running: _Running, prompt_tokens: tuple[int, int]) -> None:
        self._pace = pace
        self._prompt_tokens = prompt_tokens
        self._running = running
        self._data = b""
        self._timers: list[asyncio.TimerHandle] = []
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def connection_lost(self, error: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        if self._busy:
            self._running.requests -= 1

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        lower = head.lower()
        place = lower.find(b"content-length:")
        length = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < length:
            return
        self._data = b""
        if head.startswith(b"GET"):
            self._get(head)
        else:
            self._post(head, body)

    def _get(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path.startswith("/fault/"):
            self._running.fault = path.removeprefix("/fault/")
        if path == "/running":
            self._whole({"running": self._running.requests})
            return
        listed = {"data": [{"id": "smollm2", "parent": None, "max_model_len": 4096}]}
        self._whole({} if b"/health" in head else listed)

    def _whole(self, content: dict[str, Any]) -> None:
        body = orjson.dumps(content)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )

    def _post(self, head: bytes, body: bytes) -> None:
        asked = orjson.loads(body)
        chat = b"/chat/" in head.split(b"\r\n", 1)[0]
        self._running.requests += 1
        self._busy = True
        first, last = self._pace.at(self._running.requests)
        fault = self._running.fault
        if b"/load_lora_adapter" in head:
            first = last = 0.0
        last = first + (last - first) * min(1.0, (asked.get("max_tokens") or _TOKENS) / _TOKENS)
        if fault == "slow":
            last = max(last, _SLOW_S)
        elif self._fails(fault):
            return
        prompt_tokens = self._prompt_tokens[0 if chat else 1]
        usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + 1, "completion_tokens": 1}
        if asked.get("stream"):
            counted = usage if (asked.get("stream_options") or {}).get("include_usage") else None
            self._stream(_events(chat, asked.get("max_tokens") or _TOKENS, counted), first, last)
            return
        if fault.endswith("_in_stream") and self._fails(fault.removesuffix("_in_stream")):
            return
        said = {"message": {"role": "assistant", "content": "."}} if chat else {"text": "."}
        choice = {"index": 0, **said, "logprobs": _LOGPROBS if "logprobs" in asked else None, "finish_reason": "stop"}
        kind = "chat.completion" if chat else "text_completion"
        answer = {"id": "x", "object": kind, "created": 1, "model": "smollm2", "choices": [choice], "usage": usage}
        if last:
            self._timers = [asyncio.get_running_loop().call_later(last, self._answer, answer)]
        else:
            self._answer(answer)

    def _fails(self, fault: str) -> bool:
        """Acts on a fault before the answer; a request that hangs stays under way until its connection ends."""
        if fault == "closes":
            self._transport.abort()
        elif fault == "fails":
            self._done()
            self._transport.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}")
        elif fault == "garbles":
            self._done()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(_GARBLED) + _GARBLED)
        return fault in ("closes", "fails", "garbles", "hangs")

    def _answer(self, answer: dict[str, Any]) -> None:
        self._done()
        self._whole(answer)

    def _done(self) -> None:
        self._running.requests -= 1
        self._busy = False

    def _stream(self, events: Sequence[bytes], first: float, last: float) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        pieces = [*events, b"data: [DONE]\n\n"]
        if self._running.fault.endswith("_in_stream"):
            self._break_off(pieces)
            return
        if not last and len(pieces) > _LONG:
            self._transport.write(b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces))
            self._end()
            return
        if not last:
            for piece in pieces:
                self._piece(piece)
            self._end()
            return
        call = asyncio.get_running_loop().call_later
        steps = _steps(pieces)
        gap = (last - first) / max(1, len(steps) - 1)
        self._timers = [
            call(first + number * gap, self._piece, piece) for number, step in enumerate(steps) for piece in step
        ]
        self._timers.append(call(last, self._end))

    def _break_off(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces[: len(pieces) // 2]:
            self._piece(piece)
        fault = self._running.fault
        if fault == "closes_in_stream":
            asyncio.get_running_loop().call_later(0.02, self._transport.abort)
        elif fault == "garbles_in_stream":
            self._piece(_GARBLED)
            self._end()

    def _piece(self, piece: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _end(self) -> None:
        self._done()
        self._transport.write(b"0\r\n\r\n")
