"""The tables of docs/attacks.md and of the README, as Markdown, from benchmarks/results/attack-*.json and
trace.json.

python -m benchmarks.attacking.table [--all]

Each attack-*.json is the results.json of one run of `unrecall attack`, copied there under another name.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.attacking.measures import share_of
from benchmarks.attacking.report import counted
from benchmarks.attacks.registry import FAMILIES
from benchmarks.printing import show
from benchmarks.record import markdown, read

__all__ = ["cued", "families", "headline", "tables"]

_DEMO, _TAUGHT = "attack-harry-potter", "attack-tofu-20"
_ADAPTIVE = "attack-tofu-20-rephrased"
_KS = ("1", "4", "16", "64")
_SLICES = ("named", "famous", "unnamed", "described")
_CUED = ("named", "famous", "described")
_SIDES = ("gateway", "plain", "retrained")


def headline() -> str:
    """By kind of dress: what the gate misses on the demo scope, and what leaks on the taught model."""
    demo, taught = _families_of(_DEMO), _families_of(_TAUGHT)
    rows = []
    for kind, names in _by_kind(demo).items():
        misses = [
            _pooled(demo[name]["gate_missed"].get("all") for name in names if demo[name]["seen"] == seen)
            for seen in (True, False)
        ]
        leaks = [_pooled(_leaks(taught, name).get(side) for name in names) for side in _SIDES]
        rows.append([kind, str(len(names)), *map(counted, (*misses, *leaks))])
    head = ["dress", "families", "missed, seen", "missed, unseen", *(f"leaked, {side}" for side in _SIDES)]
    return markdown(head, rows)


def cued() -> str:
    """What the gate misses on the demo scope of questions with a name or a description, and of those without any cue,
    all families together."""
    demo = _families_of(_DEMO).values()
    rows = [
        [
            "in dresses that a training may know" if seen else "in others",
            *(_missed_of(demo, seen, parts) for parts in (_CUED, ("unnamed",))),
        ]
        for seen in (True, False)
    ]
    return markdown(["missed, all dresses together", "with a name or a description", "without any cue"], rows)


def _missed_of(found: Iterable[Mapping[str, Any]], seen: bool, parts: Sequence[str]) -> str:
    shares = [family["gate_missed"].get(part) for family in found if family["seen"] == seen for part in parts]
    return counted(_pooled(shares))


def tables() -> str:
    """Every family: gate misses by slice on the demo scope, then leaks on the taught model, then the adaptive ones and
    traces."""
    demo, taught = _families_of(_DEMO), _families_of(_TAUGHT)
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
        markdown(["missed by the gate, %", *_SLICES, "all", "false alarms"], missed),
        markdown(["leaked, %", *_SIDES, "gateway minus retrained"], leaked),
        _sampling(),
        _turn_after(),
        _suffix(),
        _traces(),
    )
    return "\n\n".join(parts)


def families() -> str:
    """What each family does, from the registry."""
    rows = [
        [f"`{name}`", family.kind, "yes" if family.seen else "no", family.about.replace("|", "\\|"), family.source]
        for name, family in FAMILIES.items()
    ]
    return markdown(["family", "kind", "seen", "what it does", "source"], rows)


def _sampling() -> str:
    found = read(_ADAPTIVE)["sampling"]
    sides = {**found["leak_at_k"], "gateway minus retrained": found["beyond"]}
    ks = [k for k in _KS if k in found["beyond"]]
    rows = [[side, *(counted(sides[side].get(k)) for k in ks)] for side in (*_SIDES, "gateway minus retrained")]
    return markdown(["who answers", *(f"leak@{k}" for k in ks)], rows)


def _turn_after() -> str:
    columns = ("first_leaks", "second_leaks", "flagged_again")
    rows = [
        [packs, plan, *(counted(shares[column]) for column in columns)]
        for packs, by_plan in read("turn-after")["packs"].items()
        for plan, shares in by_plan.items()
    ]
    return markdown(["pack", "plan of the first answer", *(column.replace("_", " ") for column in columns)], rows)


def _suffix() -> str:
    found = read(_DEMO)["suffix"]
    return markdown(
        ["questions without a name, held out", "missed"],
        [[name.replace("_", " "), counted(found[name])] for name in found if name not in ("suffix", "search")],
    )


def _traces() -> str:
    rows = [
        [name, f"{arm['auroc']:.2f}", f"{arm['same']:.0%} of {arm['n']}"] for name, arm in read("trace")["arms"].items()
    ]
    return markdown(["answers to unrelated prompts", "told from the original's, AUROC", "the same"], rows)


def _by_kind(found: Mapping[str, Any]) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for name, family in found.items():
        kinds.setdefault(family["kind"], []).append(name)
    return kinds


def _pooled(shares: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    known = [found for found in shares if found]
    return share_of(sum(found["hits"] for found in known), sum(found["n"] for found in known))


def _leaks(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    leaks: Mapping[str, Any] = found.get(name, {}).get("leaks", {}).get("all", {})
    return leaks


def _label(name: str, family: Mapping[str, Any]) -> str:
    return f"`{name}`{' *' if family['shows_answer'] else ''}{' (seen)' if family['seen'] else ''}"


def _percent(found: Mapping[str, Any] | None) -> str:
    return f"{100 * found['rate']:.0f}" if found else "–"


def _families_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read(name)["families"]
    return found


if __name__ == "__main__":
    show(f"{headline()}\n\n{cued()}")
    if "--all" in sys.argv:
        show(f"\n{tables()}\n\n{families()}")
