"""A gate that followed any changes of packs says what a gate built from scratch says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers.encoder.sentence import Encoder
from classifiers.leaks.watch import Watched
from classifiers.names import index
from classifiers.names.ordinary import Alias
from classifiers.svm.model import Head
from gateway.core import Message, Request, Screening
from gateway.methods.registry import method
from gateway.packs.store import Pack
from gateway.policy import Guard, decide
from gateway.screening.gate import Gate

SCOPES = ("books", "films", "narnia", "oz")
NAMES = ("Aslan", "Dorothy", "Emerald City", "Toto", Alias("Lucy", "confirmed"))
TEXTS = ("Who is Aslan?", "Dorothy and Toto reach the Emerald City.", "Lucy met Aslan.", "Who is Lucy?", "Hello")


@pytest.fixture(scope="module")
def heads(encoder: Encoder) -> Sequence[Head]:
    """Classifiers that flag a text each, and one that only leans to it."""
    found = []
    for text, threshold in ((TEXTS[0], 0.5), (TEXTS[3], 0.5), (TEXTS[3], 2.0)):
        (windows,) = encoder.encode([text])
        found.append(Head(np.asarray(windows[:1], np.float32), np.full(1, 2.0, np.float32), -1.0, 20.0, threshold))
    return found


packs = st.fixed_dictionaries(
    {
        "aliases": st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
        "head": st.integers(0, 2),
        "enabled": st.booleans(),
        "plan": st.sampled_from(("refuse", "instruct")),
    }
)
steps = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(SCOPES), packs, max_size=2), st.sets(st.sampled_from(SCOPES), max_size=2)
    ),
    min_size=1,
    max_size=6,
)


def pack_of(scope: str, given_: Mapping[str, Any], heads: Sequence[Head]) -> Pack:
    guard = Guard(scope, given_["plan"], method("corruption"), None, f"Not {scope}.", f"Forget {scope}.")
    names = tuple(given_["aliases"])
    model, watched = partial(heads.__getitem__, given_["head"]), Watched(names)
    return Pack("v-1", given_["enabled"], names, "classifier", model, guard, watched)


def said(gate: Gate) -> list[tuple[Screening, Any]]:
    requests = [Request("1", "chat", "m", (Message("user", text),)) for text in TEXTS]
    found = gate.screen(requests)
    return [(one, decide(request, one, gate.ready(one))) for request, one in zip(requests, found, strict=True)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=steps)
def test_any_changes_leave_what_a_new_gate_has(
    encoder: Encoder, heads: Sequence[Head], changes: Sequence[tuple[Mapping[str, Any], set[str]]]
) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(index, "_FRESH_WORDS", 2)
        gate, held = Gate({}, encoder), dict[str, Pack]()
        for given_, removed in changes:
            added = {scope: pack_of(scope, one, heads) for scope, one in given_.items()}
            old, before = gate, said(gate)
            gate = gate.updated(added, removed - added.keys())
            held = {scope: pack for scope, pack in held.items() if scope not in removed} | added
            fresh = Gate(dict(sorted(held.items())), encoder)
            assert said(gate) == said(fresh)
            assert gate.guards.keys() == fresh.guards.keys()
            assert said(old) == before, "a request keeps the gate that it began with"


def test_switching_off_and_on_is_the_same_as_going_and_coming(encoder: Encoder, heads: Sequence[Head]) -> None:
    pack = pack_of("oz", {"aliases": ("Toto",), "head": 0, "enabled": True, "plan": "refuse"}, heads)
    on = Gate({"oz": pack}, encoder)
    off = on.updated({"oz": replace(pack, enabled=False)}, ())
    assert (off.guards, off.named([TEXTS[1]])) == ({}, [()])
    assert said(off.updated({"oz": pack}, ())) == said(on)
