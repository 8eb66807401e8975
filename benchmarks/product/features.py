"""What a client sees of one prompt's answers, as numbers."""

import difflib
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

__all__ = ["GROUPS", "Streamed", "ask", "features_of"]

Json = dict[str, Any]
_TOP = 5

GROUPS: dict[str, tuple[str, ...]] = {
    "time": ("first_ms", "gap_ms", "gap_sd_ms", "last_ms"),
    "chunks": ("reads", "events", "event_bytes", "event_bytes_sd"),
    "length": ("tokens", "characters", "stopped"),
    "logprobs": ("mean", "first", "lowest", "spread", "entropy", "certain"),
    "repeats": ("same_text", "same_numbers", "drawn_alike"),
}
"""Features by what a client watches."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """One streamed answer: `times` in seconds since the request for each read that had text, `sizes` of its events in
    bytes without words and numbers, and of each token its logprob and those of its alternatives."""

    status: int
    headers: tuple[str, ...]
    text: str
    finish: str
    times: tuple[float, ...]
    sizes: tuple[int, ...]
    logprobs: tuple[float, ...]
    tops: tuple[tuple[float, ...], ...]
    shape: str


def ask(client: httpx.Client, url: str, model: str, prompt: str, *, tokens: int, temperature: float) -> Streamed:
    """Asks with everything that tells: streamed, with logprobs."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "top_logprobs": _TOP,
    }
    times: list[float] = []
    data = b""
    started = time.perf_counter()
    with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        for piece in answer.iter_raw():
            data += piece
            if b'"content":' in piece:
                times.append(time.perf_counter() - started)
    blocks = [block for block in data.split(b"\n\n") if block.startswith(b"data: {")]
    payloads = [orjson.loads(block[6:]) for block in blocks]
    choices = [choice for payload in payloads for choice in payload.get("choices", ())]
    told = [one for choice in choices for one in (choice.get("logprobs") or {}).get("content") or ()]
    return Streamed(
        status=answer.status_code,
        headers=tuple(sorted(name for name in answer.headers if name != "date")),
        text="".join(choice["delta"].get("content") or "" for choice in choices),
        finish=next((str(choice["finish_reason"]) for choice in choices if choice["finish_reason"]), ""),
        times=tuple(times),
        sizes=tuple(map(_form_bytes, payloads)),
        logprobs=tuple(one["logprob"] for one in told),
        tops=tuple(tuple(other["logprob"] for other in one["top_logprobs"]) for one in told),
        shape=str([sorted(payload) for payload in payloads[:2]]) + str(sorted(payloads[-1]) if payloads else ""),
    )


def features_of(greedy: Sequence[Streamed], drawn: Sequence[Streamed]) -> dict[str, float]:
    """The numbers of `GROUPS`.

    Args:
        greedy: two answers at temperature 0.
        drawn: two answers at temperature 1.
    """
    one, again = greedy
    gaps = [1000 * (b - a) for a, b in zip(one.times, one.times[1:], strict=False)] or [0.0]
    values = one.logprobs or (0.0,)
    pairs = list(zip(one.logprobs, again.logprobs, strict=False)) or [(0.0, 0.0)]
    return {
        "first_ms": 1000 * one.times[0] if one.times else -1.0,
        "gap_ms": statistics.median(gaps),
        "gap_sd_ms": statistics.pstdev(gaps),
        "last_ms": 1000 * one.times[-1] if one.times else -1.0,
        "reads": float(len(one.times)),
        "events": float(len(one.sizes)),
        "event_bytes": statistics.fmean(one.sizes),
        "event_bytes_sd": statistics.pstdev(one.sizes),
        "tokens": float(len(one.logprobs)),
        "characters": float(len(one.text)),
        "stopped": float(one.finish == "stop"),
        "mean": statistics.fmean(values),
        "first": values[0],
        "lowest": min(values),
        "spread": statistics.pstdev(values),
        "entropy": statistics.fmean(map(_entropy, one.tops)) if one.tops else 0.0,
        "certain": sum(value > -1e-6 for value in values) / len(values),
        "same_text": float(one.text == again.text),
        "same_numbers": max(abs(a - b) for a, b in pairs),
        "drawn_alike": difflib.SequenceMatcher(None, drawn[0].text, drawn[1].text).ratio(),
    }


def _form_bytes(payload: Json) -> int:
    """The length of an event without its words and numbers."""
    choices = [{**choice, "delta": sorted(choice["delta"]), "logprobs": None} for choice in payload.get("choices", ())]
    return len(orjson.dumps({**payload, "choices": choices, "usage": None, "created": 0}))


def _entropy(values: Sequence[float]) -> float:
    return -math.fsum(math.exp(value) * value for value in values)
