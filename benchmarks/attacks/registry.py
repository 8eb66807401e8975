"""Every attack family by name, and items attacked by them. A new family is a file here and a line in `_BUILT_IN` or
`_ATTACK_ONLY`. A file holds one FAMILY, or the FAMILIES that are relatives."""

import difflib
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType, ModuleType

from benchmarks.attacks import (
    affirmative_suffix,
    answer_dresses,
    base64_text,
    ciphers,
    clue_chain,
    composite,
    composites,
    continuation,
    fill_in_the_blank,
    homoglyphs,
    in_context_example,
    instruction_prefix,
    leetspeak,
    long_document,
    long_prompt,
    lookalikes,
    many_shot,
    misspellings,
    multi_hop,
    multi_turn,
    multiple_choice,
    noise_elsewhere,
    noise_prefix,
    prefill,
    puzzles,
    renamed_context,
    role_play,
    rot13,
    scripts,
    spaced_letters,
    spaced_name,
    splits,
    system_message,
    tool_result,
    typos,
    variables,
    worked_out,
    wrappers,
    zero_width,
)
from benchmarks.attacks.family import Family
from benchmarks.attacks.harmless import QUESTIONS
from benchmarks.items import Item
from gateway.errors import SetupError

__all__ = ["FAMILIES", "attacked", "benign_counterparts", "compared", "dress", "families_of", "register"]

# in the order in which a suite asks them: a new one goes last, or a folder of results is taken for another comparison
_BUILT_IN = (
    noise_prefix,
    instruction_prefix,
    composite,
    multi_turn,
    role_play,
    affirmative_suffix,
    fill_in_the_blank,
    multiple_choice,
    in_context_example,
    system_message,
    long_prompt,
    homoglyphs,
    zero_width,
    leetspeak,
    spaced_letters,
    base64_text,
    rot13,
    typos,
)
# what `unrecall attack` asks beside those: a comparison asks every arm, and has no time for so many
_ATTACK_ONLY = (
    noise_elsewhere,
    composites,
    many_shot,
    wrappers,
    long_document,
    splits,
    misspellings,
    spaced_name,
    ciphers,
    lookalikes,
    variables,
    scripts,
    continuation,
    prefill,
    renamed_context,
    tool_result,
    clue_chain,
    multi_hop,
    answer_dresses,
    puzzles,
    worked_out,
)


def _named(modules: Iterable[ModuleType]) -> dict[str, Family]:
    families = (family for module in modules for family in getattr(module, "FAMILIES", None) or (module.FAMILY,))
    return {family.name: family for family in families}


_families = _named((*_BUILT_IN, *_ATTACK_ONLY))
_NOT_COMPARED = frozenset(_named(_ATTACK_ONLY))
FAMILIES: Mapping[str, Family] = MappingProxyType(_families)
"""Every family by its name, those of `register` included."""


def register(family: Family) -> Family:
    """Adds a family from outside this package; suites that are loaded afterwards ask it, too. Returns it.

    Raises ValueError if another family has that name.
    """
    if family.name in _families:
        raise ValueError(f"there is an attack family {family.name!r} already; give yours another name")
    _families[family.name] = family
    return family


def compared() -> tuple[str, ...]:
    """The families that a comparison asks: those that were there from the start, and those of `register`."""
    return tuple(name for name in FAMILIES if name not in _NOT_COMPARED)


def families_of(wanted: str) -> tuple[str, ...]:
    """The names in a comma-separated list, or 'all'. Raises SetupError for one that no family has."""
    names = tuple(FAMILIES) if wanted == "all" else tuple(name.strip() for name in wanted.split(",") if name.strip())
    if not names:
        raise SetupError(f"no attack family is named; there are {', '.join(FAMILIES)}")
    for name in names:
        if name not in FAMILIES:
            raise SetupError(_unknown(name))
    return names


def attacked(items: Iterable[Item], seed: int, *, families: Collection[str] | None = None) -> tuple[Item, ...]:
    """Every chat item by every family that comparisons ask (or those named), as items of the slices "attack/FAMILY".

    An item and a seed always give the same attack, whatever other items there are. Completions items are left out.
    Raises KeyError for an unknown family.
    """
    chat, found = _chat(items), []
    for family in _chosen(families):
        for item in chat:
            attack = dress(family.name, item, seed)
            if attack is not None:
                found.append(attack)
    return tuple(found)


def dress(name: str, item: Item, seed: int) -> Item | None:
    """An item in a family's dress, as an item of the slice "attack/FAMILY"; None if the family cannot dress it. An item
    and a seed always give the same attack. Raises KeyError for an unknown family."""
    (family,) = _chosen([name])
    attack, part = family.rewrite(item, _rng(seed, family, item)), f"attack/{family.name}"
    return replace(attack, id=f"{part}/{item.id}", slice=part) if attack else None


def benign_counterparts(
    items: Iterable[Item], seed: int, *, families: Collection[str] | None = None
) -> tuple[Item, ...]:
    """For every attack that `attacked` makes of these items: the same dress on a harmless question.

    The family makes the same random choices as for the attack. A gate that flags the counterpart reacts to the dress
    and not to the question: counterparts lie outside every scope and belong to the slices "benign/FAMILY". Arguments as
    `attacked`.
    """
    chat, found = _chat(items), []
    for family in _chosen(families):
        part = f"benign/{family.name}"
        for item in chat:
            if family.rewrite(item, _rng(seed, family, item)) is None:
                continue
            harmless = random.Random(f"{seed} benign {family.name} {item.id}").choice(QUESTIONS)
            counterpart = family.rewrite(harmless, _rng(seed, family, item))
            if counterpart is not None:
                found.append(replace(counterpart, id=f"{part}/{item.id}", slice=part, scope=None))
    return tuple(found)


def _chat(items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.endpoint == "chat"]


def _chosen(names: Collection[str] | None) -> Iterator[Family]:
    for name in compared() if names is None else names:
        if name not in FAMILIES:
            raise KeyError(_unknown(name))
        yield FAMILIES[name]


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, FAMILIES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no attack family {name!r}; {hint}there are {', '.join(FAMILIES)}"


def _rng(seed: int, family: Family, item: Item) -> random.Random:
    return random.Random(f"{seed} {family.name} {item.id}")
