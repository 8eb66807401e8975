"""The tables of docs/threat-model.md, from benchmarks/results/visibility.json.

python -m benchmarks.product.visibility_table
"""

from collections.abc import Iterator
from typing import Any

from benchmarks.printing import show
from benchmarks.record import markdown, read

__all__ = ["table"]

_WATCHED = {
    "time": "time",
    "chunks": "reads and events",
    "length": "length",
    "repeats": "repeats",
    "logprobs": "logprobs",
    "without_logprobs": "all but logprobs",
    "all": "all",
}
_FOUND_BY = ("time", "without_logprobs", "all")
_PLANS = ("unguarded", "Corrupt", "SoftPrompt", "UseAdapter", "Instruct", "Refuse")


def table() -> str:
    """Markdown: AUROCs with their intervals, and how many queries find the scope."""
    servers = {name: part for name, part in read("visibility").items() if "/" in name}
    names = sorted(servers, key=lambda name: (name.split("/")[0], _PLANS.index(name.split("/")[1]), name))
    head = ["server, plan, pace", "pairs", *_WATCHED.values()]
    aurocs = [[_called(name), str(servers[name]["n"]), *_cells(servers[name]["auroc"])] for name in names]
    found_by = [
        [_called(name), *_queries(servers[name]["queries_to_find_the_scope"])]
        for name in names
        if "unguarded" not in name
    ]
    head_of_queries = ["queries that find the scope, who watches", *(_WATCHED[one] for one in _FOUND_BY)]
    return f"{markdown(head, aurocs)}\n\n{markdown(head_of_queries, found_by)}"


def _called(name: str) -> str:
    server, plan, pace = name.split("/")
    plan = "no guard" if plan == "unguarded" else f"`{plan}`"
    return f"{server}, {plan}, `{pace}`"


def _cells(aurocs: dict[str, Any]) -> Iterator[str]:
    for watched in _WATCHED:
        if watched not in aurocs:
            yield "not measured"
            continue
        value, low, high = (f"{number:.2f}".removeprefix("0") for number in aurocs[watched])
        yield value if low == high else f"{value} ({low} to {high})"


def _queries(found: dict[str, Any]) -> Iterator[str]:
    """The median; nobody who is told nothing comes to the right scope more often than by chance."""
    for watched in _FOUND_BY:
        if watched not in found:
            yield "not measured"
        elif found[watched]["right"] < 0.5:
            yield f"none ({found[watched]['right']:.0%} right)"
        else:
            yield f"{found[watched]['median']:g} ({found[watched]['right']:.0%} right)"


if __name__ == "__main__":
    show(table())
