"""From what the gate found to what will be done: one pure function."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from corruption.operators import Recipe
from gateway.core import Corrupt, Edit, Finding, Instruct, Pass, Plan, Refuse, Request

__all__ = ["DEFAULT_REFUSAL", "Guard", "PlanName", "decide", "message_seed"]

PlanName = Literal["corrupt", "refuse", "instruct"]
DEFAULT_REFUSAL = "I'm sorry, but I can't help with that."


@dataclass(frozen=True, slots=True)
class Guard:
    """What a scope's pack tells the policy. `named` is the recipe for aliases, `described` for the words that gave a
    text away where no alias stands; `both` asks for the second also beside the first."""

    scope: str
    plan: PlanName
    refusal: str = DEFAULT_REFUSAL
    instruction: str = ""
    named: Recipe | None = None
    described: Recipe | None = None
    both: bool = False


def decide(request: Request, findings: Sequence[Finding], guards: Mapping[str, Guard]) -> Plan:
    """Pass if nothing matched. Of several scopes the strictest plan wins (refuse, instruct, corrupt); corruptions add
    up. What a corruption cannot carry or cannot reach is refused: an error would tell the client of the scope."""
    matched = [finding for finding in findings if finding.matched]
    if not matched:
        return Pass()
    flagged = [guards[scope] for scope in dict.fromkeys(finding.scope for finding in matched)]
    refusals = [guard.refusal for guard in flagged if guard.plan == "refuse"]
    if refusals or request.carries:
        return Refuse(refusals[0] if refusals else flagged[0].refusal)
    instructions = [guard.instruction for guard in flagged if guard.plan == "instruct"]
    if instructions:
        return Instruct("\n".join(instructions))
    edits = tuple(edit for guard in flagged for edit in _edits(request, matched, guard))
    scopes_reached = {finding.scope for finding in matched if finding.ranges or finding.message is not None}
    if not edits or any(guard.scope not in scopes_reached for guard in flagged):
        return Refuse(flagged[0].refusal)
    return Corrupt(edits)


def _edits(request: Request, matched: Iterable[Finding], guard: Guard) -> Iterable[Edit]:
    """Names with the one recipe, telling words with the other, message by message."""
    names: dict[int, set[tuple[int, int]]] = {}
    words: dict[int, set[tuple[int, int]]] = {}
    for finding in matched:
        if finding.scope != guard.scope:
            continue
        kind = names if finding.detector == "lexical" else words
        for message, start, end in finding.ranges:
            kind.setdefault(message, set()).add((start, end))
        if not finding.ranges and finding.message is not None:  # flagged, but no word stands out: all of it
            words.setdefault(finding.message, set()).add((0, len(request.messages[finding.message].text)))
    for message in sorted(names.keys() | words.keys()):
        seed = message_seed(guard.scope, request.messages[message].text)
        if message in names and guard.named:
            yield Edit(message, tuple(sorted(names[message])), guard.named, seed)
        if message in words and guard.described and (guard.both or message not in names):
            free = _without(words[message], names.get(message, set()))
            if free:
                yield Edit(message, free, guard.described, seed)


def _without(ranges: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    taken = list(taken)
    return tuple(sorted(r for r in ranges if not any(r[0] < end and r[1] > start for start, end in taken)))


def message_seed(scope: str, text: str) -> int:
    """The same message meets the same noise in every request and every turn, so answers do not flicker."""
    return int.from_bytes(hashlib.sha256(f"{scope}\0{text}".encode()).digest()[:6], "big")
