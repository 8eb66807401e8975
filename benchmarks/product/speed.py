"""What the gateway costs, as Markdown, from benchmarks/results/*.json: the tables of docs/performance.md.

python -m benchmarks.product.speed
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.printing import show
from benchmarks.record import markdown, read

__all__ = ["tables"]

_RUNTIMES = {"torch": "torch, bfloat16", "onnxruntime": "ONNX Runtime, 8 bits", "openvino": "OpenVINO, 8 bits"}
_KINDS = {
    "Pass/whole": "outside every scope, whole",
    "Pass/stream": "outside every scope, streamed",
    "flagged/whole": "inside, corrupted, whole",
    "flagged/stream": "inside, corrupted, streamed",
}
_SIDES = {
    "direct": "the upstream alone",
    "litellm": "LiteLLM, no guard",
    "litellm_guarded": "LiteLLM, guard of the same encoder",
    "unrecall": "Unrecall, guard on",
}


def tables() -> str:
    """Markdown: encoder runtimes, throughput against the older commit, a server at a GPU's pace, other proxies, and ten
    thousand scopes."""
    parts = (_encoders(), _throughput(), _gpu(), _proxies(), _scopes())
    return "\n\n".join(parts)


def _encoders() -> str:
    found = read("encoders")
    names = [name for name in _RUNTIMES if name in found]
    columns = [found[name] for name in names]
    rows = [
        ["a short prompt alone, p50 / p99", *(f"{_pair(one['alone'])} ms" for one in columns)],
        ["a prompt in a batch of 16, p50", *(f"{one['in_batches_of_16']['p50_ms']:.2f} ms" for one in columns)],
        *(
            [f"a text of {int(tokens):,} tokens", *(f"{one['long_ms_by_tokens'][tokens]:.0f} ms" for one in columns)]
            for tokens in columns[0]["long_ms_by_tokens"]
        ),
        ["score apart from torch's, mean / largest", *(_apart(one["score_difference"]) for one in columns)],
        ["verdicts of torch's head that change", *(_flips(one["score_difference"]) for one in columns)],
        ["misses of a gate of its own", *(_rate(one["own_gate"], "fnr", "forget_rows") for one in columns)],
        ["false alarms of it", *(_rate(one["own_gate"], "fpr", "general_rows") for one in columns)],
    ]
    return markdown(["one core", *(_RUNTIMES[name] for name in names)], rows)


def _throughput() -> str:
    found = read("throughput")
    sides = [side for side in found["at_once/Pass/whole/64"] if side.startswith("this_")]
    head = ["requests a second, 64 connections", "the upstream alone", "older commit", *map(_workers, sides), "ratio"]
    rows = []
    for kind, title in _KINDS.items():
        part = found[f"at_once/{kind}/64"]
        rates = {side: part[side]["requests_per_s"] for side in ("direct", "other", *sides)}
        best = max(rates[side] for side in sides) / rates["other"]
        rows.append([title, *(f"{rate:,.0f}" for rate in rates.values()), f"{best:.1f}"])
    return markdown(head, rows)


def _gpu() -> str:
    found = read("throughput")
    rows = []
    for connections in (1, 8, 32, 128):
        part = found[f"gpu/Pass/stream/{connections}"]
        sides = {side: one for side, one in part.items() if side == "direct" or side.startswith("this_")}
        first = {side: one["first_byte"]["p50_ms"] for side, one in sides.items()}
        rates = {side: one["requests_per_s"] for side, one in sides.items()}
        cells = [f"{first[side]:.1f} ms ({first[side] / first['direct']:.2f}), {rates[side]:.0f}/s" for side in sides]
        rows.append([str(connections), *cells])
    heads = ["the upstream alone", *(_workers(side) for side in sides if side != "direct")]
    return markdown(["connections: first byte p50 (ratio), answers a second", *heads], rows)


def _proxies() -> str:
    found = read("proxies")
    memory = found["memory_mib"]
    rows = []
    for side, title in _SIDES.items():
        cells = [
            f"{found[connections][side]['requests_per_s']:,.0f} ({found[connections][side]['whole']['p50_ms']:.1f} ms)"
            for connections in ("1", "16", "64")
        ]
        rows.append([title, *cells, f"{memory[side]:,.0f} MiB" if side in memory else ""])
    return markdown(["requests a second (p50), by connections", "1", "16", "64", "memory"], rows)


def _scopes() -> str:
    found, scoring = read("scopes"), read("scoring")["scopes"]
    acts = found["acts_after"]
    rows = [
        ["start: packs read, first text screened", f"{found['start']['first_answer_s']:.1f} s", "≤ 10 s"],
        ["memory of an idle scope", f"{found['memory']['kib_each']:.0f} KiB", "≤ 64 KiB"],
        ["a scope that is added acts after, p50 / largest", _acts(acts["added"]), "≤ 1 s"],
        ["a scope that is removed, likewise", _acts(acts["removed"]), "≤ 1 s"],
        ["`unrecall packs list`", f"{found['packs_list']['s']:.1f} s", "≤ 2 s"],
        ["looking for changes", f"{found['idle_share_of_a_core']:.1%} of a core", ""],
        ["gate, p50: one scope → all", _gates(found["gate_ms"]), "≤ 1.3 times"],
        ["scoring alone, p50: one → all", _scorings(scoring), ""],
    ]
    return markdown(["10,000 scopes", "measured", "aim"], rows)


def _gates(found: Mapping[str, Any]) -> str:
    one, every = found["one_scope"]["p50_ms"], found["all"]["p50_ms"]
    return f"{one:.2f} → {every:.2f} ms ({every / one:.2f} times)"


def _scorings(found: Mapping[str, Any]) -> str:
    return f"{found['1']['single']['p50_ms']:.2f} → {found['10000']['single']['p50_ms']:.2f} ms"


def _acts(found: Mapping[str, Any]) -> str:
    return f"{found['p50_ms']:.0f} / {found['max_ms']:.0f} ms"


def _workers(side: str) -> str:
    number = side.removeprefix("this_")
    return f"{number} worker{'' if number == '1' else 's'}"


def _pair(found: Mapping[str, Any]) -> str:
    return f"{found['p50_ms']:.2f} / {found['p99_ms']:.2f}"


def _apart(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:.4f} / {found['largest']:.4f}"


def _flips(found: Mapping[str, Any]) -> str:
    return f"{found['flipped']} of {found['n']:,}"


def _rate(found: Mapping[str, Any], rate: str, rows: str) -> str:
    return f"{found[rate]:.2%} of {found[rows]:,}"


if __name__ == "__main__":
    show(tables())
