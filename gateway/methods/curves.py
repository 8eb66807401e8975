"""The learning curve as a picture."""

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate

__all__ = ["curve_png"]


def curve_png(curves: Mapping[str, Sequence[float]], *, step: str, value: str) -> bytes:
    """A PNG of values by step, lower being better: every value as a dot, the best so far as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (part, values) in enumerate(curves.items()):
        steps = range(1, len(values) + 1)
        axes.scatter(steps, values, s=14, alpha=0.5, color=f"C{number}")
        axes.step(steps, list(accumulate(values, min)), where="post", label=part, color=f"C{number}")
    axes.set_xlabel(step)
    axes.set_ylabel(f"{value} (lower is better)")
    axes.legend()
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()
