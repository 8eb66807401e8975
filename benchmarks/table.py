"""The README's results table, written from benchmarks/results/*.json: python -m benchmarks.table"""

import json
from typing import Any

from benchmarks.record import RESULTS

__all__ = ["table"]


def table() -> str:
    """Markdown rows of figure, value, number of rows, aim."""
    lines = ["| figure | measured | n | aim |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {value} | {n} | {aim} |" for name, value, n, aim in [*_forgetting(), *_latency(), *_ttft()]]
    return "\n".join(lines)


def _forgetting() -> list[tuple[str, str, int | str, str]]:
    found = _read("forgetting")
    gate, public, answers = found["gate_heldout"], found["gate_public_data"], found["answers"]
    plain, guarded, twin = (answers[arm]["all"] for arm in ("plain", "guarded", "twin"))
    sampled = [_percent(answers[arm]["sampled"]["leak_any_of_8"]) for arm in ("plain", "guarded")]
    general, muse = public["general/all"], public["inside/muse-books"]
    return [
        (
            "held-out questions leaked, greedy: plain model → gateway (twins)",
            f"{_percent(plain['leak_greedy'])} → {_percent(guarded['leak_greedy'])} ({_percent(twin['leak_greedy'])})",
            plain["n"],
            "0",
        ),
        ("the same, any of 8 samples", " → ".join(sampled), answers["plain"]["sampled"]["n"], ""),
        (
            "relevance: plain → gateway (twins)",
            f"{plain['relevance']:.2f} → {guarded['relevance']:.2f} ({twin['relevance']:.2f})",
            plain["n"],
            "the twins'",
        ),
        (
            "near questions answered byte for byte as before",
            _percent(found["retained"]["identical"]),
            found["retained"]["n"],
            "100 %",
        ),
        ("gate misses, questions that name the subject", _percent(gate["named"]["fnr"]), gate["named"]["n"], "≤ 2 %"),
        ("gate misses, that do not name it", _percent(gate["unnamed"]["fnr"]), gate["unnamed"]["n"], "≤ 15 %"),
        ("gate misses, odd paraphrases", _percent(gate["paraphrase"]["fnr"]), gate["paraphrase"]["n"], ""),
        ("gate misses, multi-turn", _percent(gate["multi-turn"]["fnr"]), gate["multi-turn"]["n"], ""),
        ("gate misses, plot trivia (MUSE Books)", _percent(muse["fnr"]), muse["n"], ""),
        ("false alarms on general prompts", f"{general['fpr']:.2%}", _unnamed(general), "≤ 0.1 %"),
        ("false alarms on near questions", _percent(gate["near"]["fpr"]), _unnamed(gate["near"]), ""),
    ]


def _unnamed(rates: dict[str, int]) -> int:
    """False alarms are counted among the rows that do not name the scope."""
    return rates["n"] - rates["n_naming_the_scope"]


def _latency() -> list[tuple[str, str, int | str, str]]:
    one, many = (_read("latency")[f"concurrency_{number}"] for number in (1, 16))

    def pair(part: dict[str, float]) -> str:
        return f"{part['p50_ms']:.1f} / {part['p99_ms']:.1f} ms"

    return [
        ("gate, p50 / p99, 1 request at a time", pair(one["gate_part"]), one["gate_part"]["n"], "p50 ≤ 15 ms"),
        ("proxy, p50, 1 request at a time", f"{one['proxy_part_p50_ms']:.1f} ms", one["direct"]["n"], "≤ 2 ms"),
        (
            "through the gateway, p50 / p99, 16 at a time on 2 cores",
            pair(many["through_gateway"]),
            many["direct"]["n"],
            "",
        ),
    ]


def _ttft() -> list[tuple[str, str, int | str, str]]:
    found = _read("ttft")
    direct, through = found["direct"], found["through_gateway"]
    value = f"{direct['p50_ms']:.0f} → {through['p50_ms']:.0f} ms"
    return [("time to first token, p50, real vLLM: direct → through", value, direct["n"], "")]


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _percent(share: float) -> str:
    return f"{share:.1%}"


if __name__ == "__main__":
    print(table())
