"""Who meets which arm, and what is guarded there."""

from typing import Any

import pytest
from hand_made import CORRUPTION
from scipy.stats import chisquare

from gateway.core import Finding, Message, Pass, Plan, Refuse, Request, Screening
from gateway.experiments.assignment import GUARDED, Arm, By, Design, arm_of, plan_on, subject_of
from gateway.methods.registry import method
from gateway.policy import Guard, decide

ECO = method("corruption")
OZ = Guard("oz", "refuse", ECO, CORRUPTION, "Not Oz.")
NARNIA = Guard("narnia", "refuse", ECO, CORRUPTION, "Not Narnia.")
GUARDS = {"oz": OZ, "narnia": NARNIA}
SUBJECTS = [f"user {n}" for n in range(10_000)]
ARMS = (Arm("small", 0.1), Arm("large", 0.3))


def request_of(**fields: Any) -> Request:
    return Request("1", "chat", "tiny", (Message("user", "Oz or Narnia?"),), **fields)


def finding(scope: str) -> Finding:
    return Finding(scope, "lexical", 1.0, 0.5, True, 0, ((0, 0, 2),))


def dealt(arms: tuple[Arm, ...], salt: str = "unrecall") -> list[str]:
    return [arm.name if (arm := arm_of(subject, arms, salt)) else GUARDED for subject in SUBJECTS]


def test_shares_are_kept() -> None:
    names = dealt(ARMS)
    counts = [names.count(name) for name in ("small", "large", GUARDED)]
    assert chisquare(counts, [1000, 3000, 6000]).pvalue > 0.01


def test_a_subject_stays_where_it_is_on_every_machine_and_in_every_version() -> None:
    assert "".join(name[0] for name in dealt(ARMS)[:12]) == "gggllgggslss"


def test_another_salt_deals_anew() -> None:
    """Independently: of the subjects of one deal's arms, the other deal's shares are kept."""
    first, second = dealt(ARMS), dealt(ARMS, "again")
    among = [b for a, b in zip(first, second, strict=True) if a == "large"]
    counts = [among.count(name) for name in ("small", "large", GUARDED)]
    assert chisquare(counts, [len(among) * share for share in (0.1, 0.3, 0.6)]).pvalue > 0.01


def test_a_larger_share_of_the_last_arm_moves_nobody_but_newcomers() -> None:
    before, after = dealt(ARMS), dealt((ARMS[0], Arm("large", 0.5)))
    moved = {(a, b) for a, b in zip(before, after, strict=True) if a != b}
    assert moved == {(GUARDED, "large")}


def test_all_and_nothing() -> None:
    assert set(dealt((Arm("all", 1.0),))) == {"all"}
    assert set(dealt(())) == {GUARDED}


@pytest.mark.parametrize(
    ("by", "user", "subject"),
    [("user", "ann", "user ann"), ("user", "", "caller key1"), ("key", "ann", "caller key1")],
)
def test_who_is_assigned(by: By, user: str, subject: str) -> None:
    assert subject_of(request_of(user=user, caller="key1"), by) == subject


def test_a_split_answers_by_subject_and_a_shadow_by_request() -> None:
    split = Design((Arm("b", 0.5),))
    assert len({split.answering(Request(str(n), "chat", "m", (), user="ann")).name for n in range(50)}) == 1
    assert split.shadowing(request_of(user="ann")) is None
    shadow = Design((Arm("b", 0.5),), mode="shadow")
    assert {shadow.answering(request_of(user=str(n))).name for n in range(50)} == {GUARDED}
    drawn = {shadow.shadowing(Request(str(n), "chat", "m", (), user="ann")) for n in range(50)}
    assert drawn == {None, Arm("b", 0.5)}


def planned(arm: Arm, guards: dict[str, Guard], *findings: Finding) -> Plan:
    return plan_on(arm, Screening(findings), guards, lambda screening, left: decide(request_of(), screening, left))


@pytest.mark.parametrize(
    ("unlearned", "plan"),
    [
        (False, Refuse("Not Oz.", fallback="Not Oz.")),
        (frozenset(), Refuse("Not Oz.", fallback="Not Oz.")),
        (frozenset({"oz"}), Refuse("Not Narnia.", fallback="Not Narnia.")),
        (frozenset({"oz", "narnia"}), Pass()),
        (True, Pass()),
    ],
)
def test_an_arm_is_guarded_except_for_scopes_that_its_weights_have_forgotten(unlearned: Any, plan: object) -> None:
    arm = Arm("b", 1.0, unlearned)
    assert planned(arm, GUARDS, finding("oz"), finding("narnia")) == plan


def test_ungated_guards_are_left_out_too() -> None:
    always = {"oz": Guard("oz", "refuse", ECO, CORRUPTION, "Never.", gated=False)}
    assert planned(Arm("b"), always) == Refuse("Never.", fallback="Never.")
    assert planned(Arm("b", 1.0, True), always) == Pass()
