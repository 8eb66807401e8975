"""What `unrecall train` says of names that flag prompts which have nothing to do with the scope."""

from collections.abc import Iterator, Mapping

from classifiers.names.measure import AliasAlarms

__all__ = ["rows", "warnings"]

_WHERE = {"general": "shipped general prompts", "traffic": "rows of --traffic"}
_USUAL_SHARE = 0.001  # where no detector has a false-positive rate of its own


def rows(alarms: Mapping[str, AliasAlarms]) -> Iterator[tuple[str, str, str]]:
    """Table rows: figure, value, number of rows."""
    for kind, counted in alarms.items():
        yield f"names alone: {_WHERE[kind]} flagged", f"{_share(counted.flagged, counted.rows)}", str(counted.rows)


def warnings(alarms: Mapping[str, AliasAlarms], alpha: float | None) -> Iterator[str]:
    """A line for each name that alone flags more than the share `alpha` of prompts, and what to do."""
    share = _USUAL_SHARE if alpha is None else alpha
    for kind, counted in alarms.items():
        for alias, flagged in counted.over(share).items():
            yield (
                f"warning: the alias {alias!r} alone flags {flagged} of {counted.rows} {_WHERE[kind]} "
                f"({_share(flagged, counted.rows)}), more than the {share:.2%} of the classifier. If these prompts are "
                f"outside the scope, write {{name: {alias!r}, match: confirmed}} in the scope file, or a longer name."
            )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"
