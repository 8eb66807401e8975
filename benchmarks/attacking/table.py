"""The tables of docs/attacks.md and of the README, as Markdown, from benchmarks/results/attack-*.json.

python -m benchmarks.attacking.table [--all]

Each file is the results.json of one run of `unrecall attack`, copied there under another name.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.attacking.measures import share
from benchmarks.attacking.report import counted
from benchmarks.attacks.registry import FAMILIES
from benchmarks.record import RESULTS

__all__ = ["families", "headline", "tables"]

_DEMO, _TAUGHT = "attack-harry-potter", "attack-tofu-20"
_SLICES = ("named", "famous", "unnamed", "described")
_SIDES = ("gateway", "plain", "retrained")


def headline() -> str:
    """By kind of dress: what the gate misses on the demo scope, and what leaks on the taught model."""
    demo, taught = _read(_DEMO), _read(_TAUGHT)
    rows = []
    for kind, names in _by_kind(demo).items():
        misses = [
            _pooled(demo[name]["gate_missed"].get("all") for name in names if demo[name]["seen"] == seen)
            for seen in (True, False)
        ]
        leaks = [_pooled(_leaks(taught, name).get(side) for name in names) for side in _SIDES]
        rows.append([kind, str(len(names)), *map(counted, (*misses, *leaks))])
    head = ["dress", "families", "missed, seen", "missed, unseen", *(f"leaked, {side}" for side in _SIDES)]
    return _markdown(head, rows)


def tables() -> str:
    """Every family: gate misses by slice on the demo scope, then leaks on the taught model, then the adaptive ones."""
    demo, taught = _read(_DEMO), _read(_TAUGHT)
    missed = [
        [
            _label(name, family),
            *(_percent(family["gate_missed"].get(part)) for part in _SLICES),
            counted(family["gate_missed"].get("all")),
            counted(family["benign_flagged"] or None),
        ]
        for name, family in demo.items()
    ]
    leaked = [
        [
            _label(name, family),
            *(_percent(_leaks(taught, name).get(side)) for side in _SIDES),
            counted(family["beyond"]),
        ]
        for name, family in taught.items()
        if family.get("leaks")
    ]
    parts = (
        _markdown(["missed by the gate, %", *_SLICES, "all", "false alarms"], missed),
        _markdown(["leaked, %", *_SIDES, "gateway minus retrained"], leaked),
        *([_sampling()] if "sampling" in _whole(_TAUGHT) else ()),
        _suffix(),
    )
    return "\n\n".join(parts)


def families() -> str:
    """What each family does, from the registry."""
    rows = [
        [f"`{name}`", family.kind, "yes" if family.seen else "no", family.about.replace("|", "\\|"), family.source]
        for name, family in FAMILIES.items()
    ]
    return _markdown(["family", "kind", "seen", "what it does", "source"], rows)


def _sampling() -> str:
    found = _whole(_TAUGHT)["sampling"]
    ks = [*found["beyond"]]
    rows = [[side, *(f"{100 * rates[k]:.0f}%" for k in ks)] for side, rates in found["leak_at_k"].items()]
    rows.append(["gateway minus retrained", *(counted(found["beyond"][k]) for k in ks)])
    return _markdown([f"leak@k, {found['questions']} questions", *(f"k = {k}" for k in ks)], rows)


def _suffix() -> str:
    found = _whole(_DEMO)["suffix"]
    names = ("classifier_missed", "classifier_missed_with_suffix", "gate_missed", "gate_missed_with_suffix")
    return _markdown(
        ["questions without a name, held out", "missed"],
        [[name.replace("_", " "), counted(found[name])] for name in names],
    )


def _by_kind(found: Mapping[str, Any]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name, family in found.items():
        kinds.setdefault(family["kind"], []).append(name)
    return kinds


def _pooled(shares: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    known = [found for found in shares if found]
    hits, n = sum(found["hits"] for found in known), sum(found["n"] for found in known)
    return share([place < hits for place in range(n)])


def _leaks(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    leaks: Mapping[str, Any] = found.get(name, {}).get("leaks", {}).get("all", {})
    return leaks


def _label(name: str, family: Mapping[str, Any]) -> str:
    return f"`{name}`{' *' if family['shows_answer'] else ''}{' (seen)' if family['seen'] else ''}"


def _percent(found: Mapping[str, Any] | None) -> str:
    return f"{100 * found['rate']:.0f}" if found else "–"


def _whole(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _whole(name)["families"]
    return found


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(headline())
    if "--all" in sys.argv:
        print(f"\n{tables()}\n\n{families()}")
