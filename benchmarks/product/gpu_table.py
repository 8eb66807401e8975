"""What was measured on a GPU, as Markdown, from benchmarks/results/gpu.json: the tables of docs/deploy.md.

python -m benchmarks.product.gpu_table
"""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.printing import show
from benchmarks.record import markdown, read

__all__ = ["table"]

_GIB = 2**30
_METHODS = ("corruption", "soft-prompt", "lora")


def table(found: Mapping[str, Any] | None = None) -> str:
    """Markdown: what each plan costs before a vLLM, and what each training takes. Parts that were not measured are
    left out.

    Args:
        found: the figures; those of the results file by default.
    """
    found = read("gpu") if found is None else found
    parts = []
    if "serving" in found:
        head = ["plan", "at a time", "first byte p50, direct / through", "answers a second, direct / through"]
        parts.append(markdown([*head, "gateway"], _serving(found["serving"])))
    if "training" in found:
        head = ["random weights", *(f"{method}, seconds and memory" for method in _METHODS)]
        parts.append(markdown(head, _training(found["training"])))
    return "\n\n".join(parts)


def _serving(found: Mapping[str, Any]) -> Iterator[list[str]]:
    for workers, part in sorted(found.items(), key=lambda one: int(one[0])):
        for load, sides in part["loads"].items():
            plan, at_once = load.split("/")
            direct, through = sides["direct"], sides["through"]
            first = f"{direct['first_byte']['p50_ms']:.1f} / {through['first_byte']['p50_ms']:.1f} ms"
            rate = through["requests_per_s"] / direct["requests_per_s"]
            rates = f"{direct['requests_per_s']:,.0f} / {through['requests_per_s']:,.0f} ({rate:.2f})"
            yield [f"`{plan}`", at_once, first, rates, f"{workers} worker{'s' if workers != '1' else ''}"]


def _training(found: Mapping[str, Any]) -> Iterator[list[str]]:
    for part in found.values():
        yield [f"{part['weights'] / 1e9:.2f} billion", *(_cost(part[method]) for method in _METHODS)]


def _cost(found: Mapping[str, Any]) -> str:
    if "out_of_memory" in found:
        return "out of memory"
    seconds = f"{found['search_s']:.0f} s" if "search_s" in found else f"{found['step_s']:.2f} s a step"
    peak = f", {found['peak_bytes'] / _GIB:.1f} GiB" if "peak_bytes" in found else ""
    return f"{seconds}{peak} (computed {found['computed_bytes'] / _GIB:.1f})"


if __name__ == "__main__":
    show(table())
