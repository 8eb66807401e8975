"""From what the gate found to what will be done: pure functions."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from corruption.operators import Corruption
from gateway.core import (
    Corrupt,
    Dose,
    Edit,
    Finding,
    Instruct,
    Pass,
    Plan,
    Refuse,
    Request,
    SoftPrompt,
    UseAdapter,
)

__all__ = ["DEFAULT_REFUSAL", "Guard", "Means", "PlanName", "decide", "message_seed", "stepped"]

PlanName = Literal["forget", "refuse", "instruct"]
Means = Corruption | VirtualTokens | Lora
DEFAULT_REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """What a scope's pack tells the policy. `means` is what `forget` does it with; a guard that is not `gated` acts on
    every request, as SPUL's paper has it."""

    scope: str
    plan: PlanName
    means: Means
    refusal: str = DEFAULT_REFUSAL
    instruction: str = ""
    gated: bool = True


def decide(request: Request, findings: Sequence[Finding], guards: Mapping[str, Guard]) -> Plan:
    """Pass if no guard is called. Several scopes compose as long as they are of one kind: instructions follow each
    other, corruptions act on their own spans, soft prompts stand one after the other, LoRAs are summed.

    A refusal wins; so does a mixture of kinds, and what a plan cannot carry or cannot reach: an error would tell the
    client of the scope.
    """
    matched = [finding for finding in findings if finding.matched]
    called = dict.fromkeys(finding.scope for finding in matched)
    flagged = [guards[scope] for scope in called]
    flagged += [guard for scope, guard in guards.items() if not guard.gated and scope not in called]
    if not flagged:
        return Pass()
    refusals = [guard.refusal for guard in flagged if guard.plan == "refuse"]
    no = Refuse(refusals[0] if refusals else flagged[0].refusal)
    kinds = {type(guard.means) if guard.plan == "forget" else guard.plan for guard in flagged}
    if refusals or request.carries or len(kinds) > 1:
        return no
    if flagged[0].plan == "instruct":
        return Instruct("\n".join(guard.instruction for guard in flagged))
    return _forget(request, matched, flagged) or no


def _forget(request: Request, matched: Sequence[Finding], guards: Sequence[Guard]) -> Plan | None:
    """The plan of guards whose means are of one kind; None if one of them would not act."""
    means = [(guard.scope, guard.means) for guard in guards]
    prompts = tuple(tokens for _, tokens in means if isinstance(tokens, VirtualTokens))
    if prompts:
        return SoftPrompt(prompts)
    doses = tuple(Dose(scope, lora, _weight(scope, matched)) for scope, lora in means if isinstance(lora, Lora))
    if doses:
        return UseAdapter(doses) if all(dose.weight > 0 for dose in doses) else None
    reached = {finding.scope for finding in matched if finding.ranges or finding.message is not None}
    if any(guard.scope not in reached for guard in guards):
        return None
    edits = [
        edit
        for scope, corruption in means
        if isinstance(corruption, Corruption)
        for edit in _edits(request, matched, scope, corruption)
    ]
    return Corrupt(tuple(edits)) if edits else None


def _weight(scope: str, matched: Iterable[Finding]) -> float:
    """The largest that any detector gave for any text (O3, section 3.3: w is the largest over detectors)."""
    return max((finding.weight for finding in matched if finding.scope == scope), default=1.0)


def stepped(plan: Plan, steps: Sequence[float]) -> Plan:
    """The plan with each LoRA's weight replaced by the nearest of the strengths that a backend can serve; by the
    higher one where two are as near. Empty steps mean that any weight can be served."""
    if not isinstance(plan, UseAdapter) or not steps:
        return plan
    return UseAdapter(
        tuple(replace(dose, weight=min(steps, key=lambda s: (abs(s - dose.weight), -s))) for dose in plan.doses)
    )


def _edits(request: Request, matched: Iterable[Finding], scope: str, corruption: Corruption) -> Iterable[Edit]:
    """Names with the one configuration, salient words with the other, message by message."""
    names: dict[int, set[tuple[int, int]]] = {}
    words: dict[int, set[tuple[int, int]]] = {}
    for finding in matched:
        if finding.scope != scope:
            continue
        kind = names if finding.detector == "lexical" else words
        for message, start, end in finding.ranges:
            kind.setdefault(message, set()).add((start, end))
        if not finding.ranges and finding.message is not None:  # flagged, but no word stands out: all of it
            words.setdefault(finding.message, set()).add((0, len(request.messages[finding.message].text)))
    for message in sorted(names.keys() | words.keys()):
        seed = message_seed(scope, request.messages[message].text)
        if message in names:
            yield Edit(message, tuple(sorted(names[message])), corruption.named, seed)
        if message in words and (corruption.both or message not in names):
            free = _without(words[message], names.get(message, set()))
            if free:
                yield Edit(message, free, corruption.described, seed)


def _without(ranges: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    taken = list(taken)
    return tuple(sorted(r for r in ranges if not any(r[0] < end and r[1] > start for start, end in taken)))


def message_seed(scope: str, text: str) -> int:
    """The same message meets the same noise in every request and every turn, so answers do not flicker."""
    return int.from_bytes(hashlib.sha256(f"{scope}\0{text}".encode()).digest()[:6], "big")
