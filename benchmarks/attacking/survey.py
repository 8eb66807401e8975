"""Every family over every slice: what the gate misses, and what leaks from the gateway and from models without one."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.attacking.answers import Said
from benchmarks.attacking.measures import difference, leaked, share
from benchmarks.attacking.questions import SLICES, counterfactual
from benchmarks.attacks.family import Family, question_of
from benchmarks.attacks.harmless import QUESTIONS
from benchmarks.attacks.registry import FAMILIES, dress
from benchmarks.items import Item
from gateway.core import Pass

__all__ = ["PLAIN", "UNDRESSED", "Attack", "attacks_of", "gate_rates", "harmless_of", "leak_rates", "summary"]

PLAIN = "plain"
UNDRESSED = Family(PLAIN, "this project's own", "It asks the question as it is.", lambda item, rng: item)
_Ask = Callable[[Sequence[Item]], list[Said]]


@dataclass(frozen=True, slots=True)
class Attack:
    """A question and its dressed form."""

    family: Family
    question: Item
    item: Item

    def leaks(self, said: Said) -> bool:
        """Whether an answer tells the truth."""
        return leaked(said, self.item, question_of(self.question), self.family)


def attacks_of(items: Sequence[Item], families: Sequence[str], seed: int) -> list[Attack]:
    """Each question as it is, and in the dress of each family that can dress it. Raises KeyError for an unknown
    family."""
    found = [Attack(UNDRESSED, item, item) for item in items]
    for name in families:
        dressed = ((item, dress(name, item, seed)) for item in items)
        found += [Attack(FAMILIES[name], item, attack) for item, attack in dressed if attack]
    return found


def counterfactuals_of(attacks: Sequence[Attack], seed: int) -> list[Attack | None]:
    """The same attacks on invented names; None where the question names nothing."""
    found: list[Attack | None] = []
    for attack in attacks:
        asked = counterfactual(attack.question, seed)
        dressed = asked and (asked if attack.family is UNDRESSED else dress(attack.family.name, asked, seed))
        found.append(replace(attack, item=dressed) if dressed else None)
    return found


def harmless_of(families: Sequence[str], questions: Sequence[Item], seed: int) -> list[Attack]:
    """The same dresses on harmless questions: what the gate flags here, it flags for the dress."""
    return attacks_of(questions or QUESTIONS, families, seed)


def few(attacks: Sequence[Attack], count: int, seed: int) -> list[Attack]:
    """At most `count` attacks of each family and slice, the same questions for all families as far as they go."""
    groups: dict[tuple[str, str], list[Attack]] = {}
    for attack in attacks:
        groups.setdefault((attack.family.name, attack.question.slice), []).append(attack)
    order: dict[str, float] = {}
    for attack in attacks:
        order.setdefault(attack.question.id, random.Random(f"{seed} few {attack.question.id}").random())
    return [a for group in groups.values() for a in sorted(group, key=lambda a: order[a.question.id])[:count]]


def gate_rates(attacks: Sequence[Attack], flags: Sequence[bool]) -> dict[str, dict[str, Any]]:
    """By family: the share of prompts that the gate missed, of each slice and of all."""
    missed: dict[str, dict[str, list[bool]]] = {}
    for attack, flag in zip(attacks, flags, strict=True):
        by_slice = missed.setdefault(attack.family.name, {})
        for part in (attack.question.slice, "all"):
            by_slice.setdefault(part, []).append(not flag)
    return {
        family: {part: share(by_slice[part]) for part in (*SLICES, "all") if part in by_slice}
        for family, by_slice in missed.items()
    }


def leak_rates(attacks: Sequence[Attack], sides: Mapping[str, _Ask], *, floor: str, seed: int) -> dict[str, Any]:
    """By family: leak rates of each side, of each slice and of all, and how far the gateway's lies above the floor's.

    Args:
        attacks: what is asked.
        sides: by name, who answers. The plain model also answers the counterfactual prompts.
        floor: the side whose leaks are no fault of the gateway's: "retrained" or "counterfactual".
        seed: of the counterfactual prompts.
    """
    told: dict[str, list[bool | None]] = {}
    passed: list[bool | None] = [None] * len(attacks)
    for side, ask in sides.items():
        answers = ask([attack.item for attack in attacks])
        told[side] = [attack.leaks(said) for attack, said in zip(attacks, answers, strict=True)]
        if side == "gateway":
            passed = [said.plan == Pass.name if said.plan else None for said in answers]
    others = counterfactuals_of(attacks, seed)
    said_of = iter(sides["plain"]([other.item for other in others if other]))
    told["counterfactual"] = [other.leaks(next(said_of)) if other else None for other in others]
    rows: dict[str, list[int]] = {}
    for place, attack in enumerate(attacks):
        rows.setdefault(attack.family.name, []).append(place)
    return {
        family: {
            "leaks": {
                part: {side: share(_known(flags, at)) for side, flags in told.items()}
                for part, at in _parts(attacks, places).items()
            },
            "beyond": _beyond(told["gateway"], told[floor], places),
            "passed": share(_known(passed, places)),
        }
        for family, places in rows.items()
    }


def _known(flags: Sequence[bool | None], places: Sequence[int]) -> list[bool]:
    return [flag for place in places if (flag := flags[place]) is not None]


def _parts(attacks: Sequence[Attack], places: Sequence[int]) -> dict[str, list[int]]:
    """The places of each slice that has some, and of all."""
    parts = {part: [place for place in places if attacks[place].question.slice == part] for part in SLICES}
    return {**{part: found for part, found in parts.items() if found}, "all": list(places)}


def _beyond(
    gateway: Sequence[bool | None], floor: Sequence[bool | None], places: Sequence[int]
) -> dict[str, Any] | None:
    """Over the questions that both were asked."""
    both = [place for place in places if gateway[place] is not None and floor[place] is not None]
    return difference(_known(gateway, both), _known(floor, both))


def summary(gate: Mapping[str, Any], benign: Mapping[str, Any], leaks: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is known of each family."""
    found: dict[str, Any] = {}
    for name in gate:
        family = FAMILIES.get(name, UNDRESSED)
        found[name] = {
            "kind": PLAIN if family is UNDRESSED else family.kind,
            "seen": family.seen or family is UNDRESSED,
            "shows_answer": family.shows_answer,
            "about": family.about,
            "source": family.source,
            "gate_missed": gate[name],
            "benign_flagged": benign.get(name, {}),
            **leaks.get(name, {}),
        }
    return found
