"""From the gate's findings to a plan: pure functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from gateway.core import DEFAULT_REFUSAL, Call, Instruct, ModelNeed, Pass, Plan, Refuse, Request, Screening, Unavailable
from gateway.errors import PackError

if TYPE_CHECKING:
    from adapters.lora.model import Lora

__all__ = ["ArtifactSource", "Decide", "Guard", "PlanName", "ServingMethod", "decide"]

PlanName = Literal["forget", "refuse", "instruct"]


class ServingMethod(Protocol):
    """What serving asks of a method; `gateway.methods.base.Method` adds how it learns and its files.

    `name` stands in manifests and on the command line, `plan_name` in audit lines. `needs` is what a backend must be
    able to give the model. `ungated`: the method's plan may act on every request (SPUL's paper has it so).
    """

    name: ClassVar[str]
    plan_name: ClassVar[str]
    needs: ClassVar[frozenset[ModelNeed]]
    ungated: ClassVar[bool]

    def plan(self, request: Request, calls: Sequence[Call]) -> Plan | None:
        """One plan for all scopes that act on a request; None if one of them would not act: the gateway then refuses.
        A pure function. The plan has `model_input` (see `gateway.prompts.execution.ModelPlan`)."""

    def adapter(self, artifact: Any) -> "Lora | None":
        """The LoRA that a backend must have ready before the plan is carried out, if there is one."""


class ArtifactSource(Protocol):
    """Where an artifact is read from when a request first needs it."""

    @property
    def digest(self) -> str:
        """Of its files. Only equal artifacts have the same."""

    def held(self) -> Any | None:
        """The artifact if it is in memory, else None."""

    def load(self) -> Any:
        """The artifact, read if need be. Slow. Raises PackError."""


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """What a scope's pack tells the policy. The plan `forget` acts by `method` with `artifact`, which the method
    learned of the scope. A guard that is not `gated` acts on every request, as in SPUL's paper.

    A guard with a `source` has no artifact yet; `ready` gives it one. `fault` says why there is none.
    """

    scope: str
    plan: PlanName
    method: ServingMethod
    artifact: Any
    refusal: str = DEFAULT_REFUSAL
    instruction: str = ""
    gated: bool = True
    source: ArtifactSource | None = None
    fault: str = ""

    def ready(self, *, read: bool = True) -> "Guard | None":
        """The guard with its artifact, or with the fault that stands in its way. Slow if it must be read from a disk:
        without `read` it is None then. Other plans need no artifact."""
        if self.source is None or self.plan != "forget":
            return self
        try:
            found = self.source.load() if read else self.source.held()
        except PackError as error:
            return replace(self, source=None, fault=str(error))
        return None if found is None else replace(self, source=None, artifact=found)

    @property
    def way(self) -> str:
        """The way in which the guard acts. Guards that act in the same way compose."""
        return f"forget by {self.method.name}" if self.plan == "forget" else self.plan


Decide = Callable[[Screening, Mapping[str, Guard]], Plan]
"""The policy for one request: from a screening and the guards that may act, each of them ready, to a plan."""


def decide(request: Request, screening: Screening, guards: Mapping[str, Guard]) -> Plan:
    """Pass if no guard acts on the request. Several scopes compose if they act in the same way: instructions follow
    each other, corruptions act on their own spans, soft prompts stand one after the other, LoRAs are summed.

    A refusal wins. The gateway also refuses if the ways differ, or if the plan cannot carry what the request carries
    (tools, a schema) or reach its text: an error would tell the client of the scope. The plan's fallback is the text of
    that refusal, which a scope without its artifact gets in any case.
    """
    called = dict.fromkeys(finding.scope for finding in screening.matched)
    acting = [guards[scope] for scope in called]
    acting += [guard for scope, guard in guards.items() if not guard.gated and scope not in called]
    if not acting:
        return Pass()
    refusals = [guard.refusal for guard in acting if guard.plan == "refuse"]
    fallback = refusals[0] if refusals else acting[0].refusal
    refusal = Refuse(fallback, fallback=fallback)
    if refusals or len({guard.way for guard in acting}) > 1:
        return refusal
    if acting[0].plan == "instruct":
        return Instruct("\n".join(guard.instruction for guard in acting), fallback=fallback)
    if faults := [guard.fault or "nobody has read it" for guard in acting if guard.fault or guard.source]:
        return Unavailable(faults[0], fallback=fallback)
    plan = _forget(request, screening, acting)
    if plan is None or request.carries - plan.carries:
        return refusal
    return replace(plan, fallback=fallback)


def _forget(request: Request, screening: Screening, acting: list[Guard]) -> Plan | None:
    calls = [
        Call(guard.scope, guard.artifact, tuple(f for f in screening.matched if f.scope == guard.scope))
        for guard in acting
    ]
    return acting[0].method.plan(request, calls)
