"""The learning curve as a picture."""

import io
from collections.abc import Mapping, Sequence
from itertools import accumulate

__all__ = ["curve_png"]


def curve_png(distances: Mapping[str, Sequence[float]]) -> bytes:
    """A PNG of each part's distance to the target by evaluation: every trial as a dot, the best so far as a line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for number, (part, values) in enumerate(distances.items()):
        steps = range(1, len(values) + 1)
        axes.scatter(steps, values, s=14, alpha=0.5, color=f"C{number}")
        axes.step(steps, list(accumulate(values, min)), where="post", label=part, color=f"C{number}")
    axes.set_xlabel("evaluation")
    axes.set_ylabel("distance to a model that never knew (lower is better)")
    axes.legend()
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()
