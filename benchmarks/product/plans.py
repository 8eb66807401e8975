"""What each plan costs on a real vLLM, in one run; and what it costs when more scopes have LoRAs than vLLM has slots.

The packs are those of benchmarks.product.continual: corruption packs of the first persons, soft prompts of the next
ones, unlearning LoRAs of the others. Every question is new to the gate's cache, and every answer is greedy.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.compare.invented import Person
from benchmarks.product.memorised import world
from benchmarks.record import quantiles_ms
from benchmarks.serving import audited, first_token, gateway
from classifiers.traffic import general_traffic

__all__ = ["measure_plans"]

_SHARES = (("corruption", 0, 3), ("soft-prompt", 3, 6), ("lora", 6, 10))  # method, first person, one past the last
_PLANS = {"corruption": "Corrupt", "soft-prompt": "SoftPrompt", "lora": "UseAdapter"}
_SLOTS = 2
_BODY = {"model": "smollm2", "temperature": 0, "max_tokens": 16}


def measure_plans(upstream: str, model: Path, trained: Path, *, seed: int, rounds: int = 12) -> dict[str, Any]:
    """`upstream` serves the memorised `model`; `trained` holds METHOD/packs of ten persons."""
    persons = world(10, seed).forgotten
    with tempfile.TemporaryDirectory() as scratch:
        packs, adapters = Path(scratch) / "packs", Path(scratch) / "adapters"
        by_plan = {_PLANS[method]: persons[a:b] for method, a, b in _SHARES}
        for method, start, end in _SHARES:
            for person in persons[start:end]:
                shutil.copytree(trained / method / "packs" / person.id, packs / person.id)
        settings = {"model": str(model), "adapters_folder": adapters, "adapter_slots": _SLOTS}
        with gateway(upstream, packs, **settings) as url, audited() as lines:
            asked = _first_tokens(url, by_plan, rounds)
            _wait_for(lines, len(asked))
            seconds, others = _met(asked, lines)
            loads = _loads(url, by_plan["UseAdapter"], rounds, lines)
    return {
        "first_token": {plan: quantiles_ms(found) for plan, found in seconds.items()},
        "left_out": others,
        "gate_ms_p50": sorted(line["gate_ms"] for line in lines)[len(lines) // 2],
        "lora": {"scopes": len(by_plan["UseAdapter"]), "slots": _SLOTS, **loads},
    }


def _first_tokens(url: str, by_plan: Mapping[str, Sequence[Person]], rounds: int) -> list[tuple[str, float]]:
    """The expected plan and the seconds to the first token of each request, the plans in turns. The first two rounds
    warm up. The requests for UseAdapter ask about one person, so that its LoRA is loaded."""
    others = iter(general_traffic())
    asked = {plan: _questions(persons[:1], f"{plan} ") for plan, persons in by_plan.items()}
    found = []
    for number in range(rounds + 2):
        for plan in ("Pass", *by_plan):
            text = f"{next(others)} ({number})" if plan == "Pass" else next(asked[plan])
            found.append((plan, asyncio.run(first_token(url, text, **_BODY))))
    return found


def _loads(url: str, persons: Sequence[Person], rounds: int, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of whole answers while vLLM has the LoRA loaded, and while it must drop another LoRA for it first.

    There are more persons than slots, and they are asked in turn: the first question about a person finds the LoRA
    evicted, the second one finds it loaded. `lines` are the audit lines; they grow with every request.
    """
    seconds: dict[str, list[float]] = {"evicted_before": [], "loaded": []}
    questions = {person.id: _questions([person], "load ") for person in persons}
    others = 0
    for _ in range(rounds):
        for person in persons:
            for found in seconds.values():
                took = _answered(url, next(questions[person.id]))
                if (lines[-1]["plan"], lines[-1]["scopes"]) == ("UseAdapter", [person.id]):
                    found.append(took)
                else:
                    others += 1
    quantiles = {name: quantiles_ms(found) for name, found in seconds.items()}
    difference = quantiles["evicted_before"]["p50_ms"] - quantiles["loaded"]["p50_ms"]
    return {**quantiles, "load_and_evict_p50_ms": round(difference, 3), "left_out": others}


def _wait_for(lines: Sequence[object], count: int) -> None:
    """Waits for the audit lines: a client that leaves after the first token is gone before its line is written."""
    deadline = time.monotonic() + 10
    while len(lines) < count and time.monotonic() < deadline:
        time.sleep(0.05)


def _answered(url: str, text: str) -> float:
    body = {**_BODY, "max_tokens": 4, "messages": [{"role": "user", "content": text}]}
    started = time.perf_counter()
    httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return time.perf_counter() - started


def _questions(persons: Sequence[Person], mark: str) -> Iterator[str]:
    """Endless questions about the persons, no two alike."""
    number = 0
    while True:
        for person in persons:
            for question in person.paraphrases:
                number += 1
                yield f"{question.prompt} ({mark}{number})"


def _met(asked: Sequence[tuple[str, float]], lines: Sequence[dict[str, Any]]) -> tuple[dict[str, list[float]], int]:
    """Seconds by plan without the first two rounds, and how many requests had another plan than the expected one: the
    gateway refuses a question that two scopes with different methods flag."""
    plans = list(dict.fromkeys(plan for plan, _ in asked))
    found: dict[str, list[float]] = {plan: [] for plan in plans}
    others = 0
    for number, ((plan, seconds), line) in enumerate(zip(asked, lines, strict=True)):
        if line["plan"] != plan:
            others += 1
        elif number >= 2 * len(plans):
            found[plan].append(seconds)
    return found, others
