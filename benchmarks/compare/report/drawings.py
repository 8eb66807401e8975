"""The drawings of the report: matplotlib figures that become SVG elements of the page."""

import html
import io
import itertools
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.compare.results import number

__all__ = ["FLOOR", "Look", "bars", "heat", "leaks", "looks", "loss", "plane", "svg"]

FLOOR = 1e-4  # smaller p-values are drawn here
_WIDTH = 5.4  # inches: small enough that the letters stay legible when a phone shrinks the page
_LEGEND_ROW = 0.1  # inches an arm: two stand side by side
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")  # apart for the colour-blind
_MARKERS = "oD^vPXs<>ph"


@dataclass(frozen=True, slots=True)
class Look:
    """How an arm is drawn, alike in every plot. Hollow: its weights were changed."""

    colour: str
    marker: str
    hollow: bool = False
    size: float = 7.0

    def line(self, *, joined: bool) -> dict[str, Any]:
        """What matplotlib's `plot` wants."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": "white" if self.hollow else self.colour,
            "linestyle": ("--" if self.hollow else "-") if joined else "none",
            "linewidth": 1.3,
        }


def looks(kinds: Mapping[str, str], *, original: str | None, retrained: str | None) -> dict[str, Look]:
    """A look for each arm: the retrained model a black star, the original a black square."""
    fixed = {retrained: Look("black", "*", size=13.0), original: Look("black", "s", size=6.0)}
    styles = zip(itertools.cycle(_COLOURS), itertools.cycle(_MARKERS), strict=False)
    return {arm: fixed.get(arm) or Look(*next(styles), hollow=kind == "weights") for arm, kind in kinds.items()}


def plane(
    points: Mapping[str, tuple[float, float]], look: Mapping[str, Look], *, aim: tuple[float, float] | None
) -> Figure:
    """Arms by (utility, forget quality). The corner beyond `aim`, the least of both, is shaded."""
    figure = _figure(3.4 + _LEGEND_ROW * len(points))
    axes = figure.add_subplot()
    for arm, (utility, quality) in points.items():
        axes.plot([utility], [max(quality, FLOOR)], **look[arm].line(joined=False), zorder=3)
    axes.margins(x=0.1)
    axes.set_yscale("log")
    axes.set_ylim(FLOOR / 1.6, 1.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{'≤ ' if value <= FLOOR else ''}{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    if aim:
        axes.plot(*aim, "none")  # in view, too
        right = axes.get_xlim()[1]
        axes.add_patch(Rectangle(aim, right - aim[0], 10.0, color="#009e73", alpha=0.15, linewidth=0))
    axes.set_xlabel("model utility (higher is better)")
    axes.set_title("forget quality, raw p (higher is better)", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    _legend(figure, look, list(points))
    return figure


def leaks(shares: Mapping[str, Sequence[float | None]], look: Mapping[str, Look], *, ticks: Sequence[str]) -> Figure:
    """A line for each arm: the share of facts that leaked, by the number of answers."""
    figure = _figure(3.4 + _LEGEND_ROW * len(shares))
    axes = figure.add_subplot()
    for arm, values in shares.items():
        axes.plot(
            range(len(ticks)),
            [math.nan if value is None else 100 * value for value in values],
            **look[arm].line(joined=True),
        )
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set_ylim(bottom=-1.5, top=max(5.0, axes.get_ylim()[1]))
    axes.set_title("facts leaked, % (lower is better)", loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    _legend(figure, look, list(shares))
    return figure


def heat(values: Mapping[str, Mapping[str, float | None]], columns: Sequence[str]) -> Figure:
    """A map of shares: a row for each key of `values`, a column for each arm; per cent in the cells, red is bad."""
    figure = _figure(1.2 + 0.27 * len(values), width=max(_WIDTH, 2.4 + 0.42 * len(columns)))
    axes = figure.add_subplot()
    for row, cells in enumerate(values.values()):
        for column, arm in enumerate(columns):
            share = cells.get(arm)
            colour = "#eeeeee" if share is None else mpl.colormaps["Reds"](0.85 * min(1.0, max(0.0, share)) ** 0.6)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white"))
            ink = "white" if share is not None and share > 0.55 else "black"
            axes.text(column + 0.5, row + 0.53, _cell(share), ha="center", va="center", fontsize=8, color=ink)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(values), 0)
    axes.set_yticks([row + 0.5 for row in range(len(values))], [_short(name) for name in values])
    axes.set_xticks([column + 0.5 for column in range(len(columns))], [_short(arm) for arm in columns])
    axes.tick_params(length=0, labeltop=True, labelbottom=False, labelsize=8.5)
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="left", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    return figure


def bars(panels: Mapping[str, Mapping[str, tuple[float | None, str]]], look: Mapping[str, Look]) -> Figure:
    """A panel for each title of `panels`, a bar for each arm's (value, value in words); lengths are logarithmic."""
    arms = sum(len(values) for values in panels.values())
    figure = _figure(0.5 * len(panels) + 0.21 * arms)
    grid = figure.subplots(len(panels), squeeze=False, height_ratios=[len(values) for values in panels.values()])
    for axes, (title, values) in zip(grid[:, 0], panels.items(), strict=True):
        lengths = _lengths([value for value, _ in values.values()])
        for row, ((arm, (_, words)), length) in enumerate(zip(values.items(), lengths, strict=True)):
            style = look[arm]
            face = "white" if style.hollow else style.colour
            axes.barh(row, length, height=0.7, facecolor=face, edgecolor=style.colour)
            axes.text(length + 0.01, row, words, va="center", fontsize=8)
        axes.set_title(title, loc="left", fontsize=9.5)
        axes.set_yticks(range(len(values)), [_short(arm) for arm in values], fontsize=8.5)
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.set_xlim(0, 1.25)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def loss(values: Sequence[Any]) -> Figure:
    """A training's loss by step; crosses at the foot are steps where it was no finite number."""
    figure = _figure(2.6)
    axes = figure.add_subplot()
    finite = [math.nan if (known := number(value)) is None else known for value in values]
    axes.plot(range(1, len(finite) + 1), finite, color=_COLOURS[0], marker=".", markersize=4, linewidth=1.2)
    lost = [step for step, value in enumerate(finite, 1) if math.isnan(value)]
    axes.plot(lost, [0.06] * len(lost), "x", color=_COLOURS[1], transform=axes.get_xaxis_transform())
    axes.set_xlim(0, len(values) + 1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.25)
    return figure


def svg(figure: Figure, *, label: str) -> str:
    """The figure as an `<svg>` element, read out as `label`. Its ids are its own, its letters stay text."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # an arm may be called $x$
    mark = f"f{zlib.crc32(label.encode(errors='replace')):08x}"
    target = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": mark}):
        FigureCanvasSVG(figure).print_svg(target)
    drawn = target.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    drawn = re.sub(r"<[^<>]+>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{mark}-", tag[0]), drawn)
    style = f"min-width: {60 * figure.get_figwidth():.0f}px"  # a wide one scrolls on a phone
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" style="{style}" ', 1).strip()


def _figure(height: float, width: float = _WIDTH) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _legend(figure: Figure, look: Mapping[str, Look], arms: Sequence[str]) -> None:
    handles = [Line2D([], [], **look[arm].line(joined=False)) for arm in arms]
    labels = [f" {_short(arm)}" for arm in arms]  # the space: matplotlib leaves out names that begin with _
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)


def _lengths(values: Sequence[float | None]) -> list[float]:
    """Logarithms stretched over .08 to 1, and 0 for what is nothing or unknown."""
    logs = [math.log10(value) for value in values if value and value > 0]
    if not logs:
        return [0.0] * len(values)
    low, span = min(logs), (max(logs) - min(logs)) or 1.0
    return [0.08 + 0.92 * (math.log10(value) - low) / span if value and value > 0 else 0.0 for value in values]


def _cell(share: float | None) -> str:
    if share is None:
        return "–"
    percent = 100 * share
    if 0 < percent < 0.01:
        return "<.01"
    return f"{percent:.0f}" if percent >= 10 or percent == 0 else f"{percent:.2g}"


def _short(name: str, longest: int = 26) -> str:
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if len(name) <= longest else name[: longest - 1] + "…"
