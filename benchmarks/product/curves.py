"""Draws docs/cost.svg: what the guard costs by prompt length, by connections and by scopes, from the result files.

python -m benchmarks.product.curves

Each panel shows what one result file says; a file that is not there leaves its panel out.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.record import RESULTS

__all__ = ["draw", "main"]

_TARGET = Path("docs/cost.svg")
_SIDES = {"direct": "without the gateway", "other": "older commit", "litellm": "LiteLLM, no guard"}
_INCHES = (3.4, 2.9)


def draw(results: Path, target: Path) -> list[str]:
    """Writes the drawing and returns the names of the panels that it has. Raises ValueError if no result is there.

    Args:
        results: the folder of result files.
        target: an SVG file.
    """
    panels = {
        name: (panel, json.loads((results / f"{name}.json").read_text(encoding="utf-8")))
        for name, panel in _PANELS.items()
        if (results / f"{name}.json").is_file()
    }
    if not panels:
        raise ValueError(f"{results} holds none of {', '.join(_PANELS)}; measure first")
    with mpl.rc_context({"svg.hashsalt": "unrecall", "font.size": 8, "axes.titlesize": 9}):
        figure = Figure(figsize=(_INCHES[0] * len(panels), _INCHES[1]), layout="constrained")
        for place, (panel, found) in enumerate(panels.values(), start=1):
            panel(figure.add_subplot(1, len(panels), place), found)
        FigureCanvasSVG(figure).print_svg(target, metadata={"Date": None})
    return list(panels)


def _lengths(axes: Axes, found: Mapping[str, Any]) -> None:
    for runtime in ("torch", "onnxruntime", "openvino"):
        if runtime in found:
            by_tokens = {int(tokens): ms for tokens, ms in found[runtime]["long_ms_by_tokens"].items()}
            axes.plot([11, *by_tokens], [found[runtime]["alone"]["p50_ms"], *by_tokens.values()], "o-", label=runtime)
    axes.set(title="Prompt length", xlabel="tokens", ylabel="encoder, ms, one core", xscale="log", yscale="log")
    axes.legend()


def _connections(axes: Axes, found: Mapping[str, Any]) -> None:
    """Of an upstream at the pace of a GPU server."""
    by_side: dict[str, dict[int, float]] = {}
    for name, sides in found.items():
        if match := re.fullmatch(r"gpu/Pass/stream/(\d+)", name):
            for side, part in sides.items():
                by_side.setdefault(side, {})[int(match[1])] = part["requests_per_s"]
    for side, rates in by_side.items():
        axes.plot(list(rates), list(rates.values()), "o-", label=_label(side))
    axes.set(title="Before a server at an H200's pace", xlabel="connections", ylabel="answers a second", xscale="log")
    axes.legend()


def _scopes(axes: Axes, found: Mapping[str, Any]) -> None:
    for part, label in (("single", "one text after the other"), ("single_cold", "with cold caches")):
        by_scopes = {int(scopes): times[part]["p50_ms"] for scopes, times in found["scopes"].items()}
        axes.plot(list(by_scopes), list(by_scopes.values()), "o-", label=label)
    axes.set(title="Scopes", xlabel="scopes in force", ylabel="scoring, p50, ms", xscale="log", ylim=(0, None))
    axes.legend()


def _label(side: str) -> str:
    if side.startswith("this_"):
        return f"gateway, {side.removeprefix('this_')} worker{'s' if side != 'this_1' else ''}"
    return _SIDES.get(side, side)


_PANELS: Mapping[str, Callable[[Axes, Mapping[str, Any]], None]] = {
    "encoders": _lengths,
    "throughput": _connections,
    "scoring": _scopes,
}


def main() -> None:
    """Draws docs/cost.svg."""
    print(_TARGET, draw(RESULTS, _TARGET))


if __name__ == "__main__":
    main()
