"""The arms of an online comparison, and which arm answers a request: data and pure functions."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from gateway.core import Plan, Request, Screening
from gateway.policy import Decide, Guard

__all__ = ["GUARDED", "Arm", "By", "Design", "Mode", "arm_of", "plan_on", "subject_of"]

GUARDED = "guarded"
Mode = Literal["split", "shadow"]
By = Literal["user", "key"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Arm:
    """A model that can answer. `share` is its part of the users (split) or of the flagged requests (shadow).

    With `unlearned` the operator declares that the model's weights have forgotten these scopes (True: every scope,
    later ones too). They are NOT guarded on this arm, whatever the gate finds.
    """

    name: str
    share: float = 0.0
    unlearned: bool | frozenset[str] = False

    def guards(self, by_scope: Mapping[str, _T]) -> dict[str, _T]:
        """The guards without the scopes that this arm's weights have forgotten."""
        return {scope: value for scope, value in by_scope.items() if not self.has_forgotten(scope)}

    def has_forgotten(self, scope: str) -> bool:
        """Whether the operator declared that the arm has forgotten the scope."""
        return self.unlearned if isinstance(self.unlearned, bool) else scope in self.unlearned


@dataclass(frozen=True, slots=True)
class Design:
    """What is compared. `arms` are those beside the guarded arm, which has the rest. Without arms nothing is compared.

    At most `shadows` requests are shadowed at once, each for `shadow_timeout_s` at most.
    """

    arms: tuple[Arm, ...] = ()
    mode: Mode = "split"
    by: By = "user"
    salt: str = "unrecall"
    shadows: int = 8
    shadow_timeout_s: float = 60.0

    def answering(self, request: Request) -> Arm:
        """The arm whose answer the client gets. A subject stays with one arm as long as shares and salt stay the
        same."""
        found = arm_of(subject_of(request, self.by), self.arms, self.salt) if self.mode == "split" else None
        return found or Arm(GUARDED)

    def shadowing(self, request: Request) -> Arm | None:
        """The arm that answers beside it if the request is flagged; drawn again for each request."""
        return arm_of(request.id, self.arms, self.salt) if self.mode == "shadow" else None


def arm_of(subject: str, arms: Sequence[Arm], salt: str) -> Arm | None:
    """The arm into whose share the subject falls; None where no arm's does.

    Shares lie side by side in their order, so that a larger share of the last arm moves no subject between the others.
    """
    digest = hashlib.sha256(f"{salt}\0{subject}".encode()).digest()
    place, end = int.from_bytes(digest[:8], "big") / 2**64, 0.0
    for arm in arms:
        end += arm.share
        if place < end:
            return arm
    return None


def subject_of(request: Request, by: By) -> str:
    """Who is assigned to an arm: the request's `user` field if there is one and `ab_by` lets it count, else the
    caller."""
    return f"user {request.user}" if by == "user" and request.user else f"caller {request.caller}"


def plan_on(
    arm: Arm,
    screening: Screening,
    guards: Mapping[str, Guard],
    decide: Decide,
) -> Plan:
    """The policy's decision on an arm: scopes that the arm's weights have forgotten do not count.

    Args:
        arm: the arm that answers.
        screening: what the gate found.
        guards: of all scopes.
        decide: the policy.
    """
    return decide(screening.without(arm.has_forgotten), arm.guards(guards))
