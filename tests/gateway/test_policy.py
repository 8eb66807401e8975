"""The decision: from findings to a plan, branch by branch."""

from typing import Any

import pytest
import torch

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from corruption.operators import Corruption, CorruptionConfig
from corruption.selection import message_seed
from gateway.core import DEFAULT_REFUSAL, Finding, Instruct, Message, Pass, Plan, Refuse, Request, Screening
from gateway.methods.corruption import Corrupt, Edit
from gateway.methods.lora import UseAdapter
from gateway.methods.registry import method
from gateway.methods.soft_prompt import SoftPrompt
from gateway.policy import Guard, PlanName
from gateway.policy import decide as decide_on
from gateway.prompts.execution import WeightedAdapter

TOKENS, OTHER_TOKENS = VirtualTokens(torch.ones(2, 4)), VirtualTokens(torch.zeros(1, 4))
LORA, OTHER_LORA = (Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, scale) for scale in (1.0, 2.0))
NAMED, DESCRIBED = CorruptionConfig("decoy_name", 1.0, 1.0), CorruptionConfig("zero_top", 0.5, 1.0)
TEXTS = ("Who is Aslan?", "He is a lion.", "Which lion rules there?")


def request_of(*texts: str, carries: frozenset[str] = frozenset()) -> Request:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], text) for i, text in enumerate(texts or TEXTS))
    return Request(id="1", endpoint="chat", model="m", messages=messages, carries=carries)


def finding(
    *ranges: tuple[int, int, int],
    scope: str = "narnia",
    detector: str = "classifier",
    message: int | None = 0,
    matched: bool = True,
    weight: float = 1.0,
) -> Finding:
    return Finding(scope, detector, 1.0, 0.5, matched, message, ranges, weight)


def guard(
    scope: str = "narnia",
    plan: PlanName = "forget",
    *,
    both: bool = False,
    artifact: Any = None,
    **options: Any,
) -> Guard:
    artifact = artifact or Corruption(NAMED, DESCRIBED, both)
    name = {VirtualTokens: "soft-prompt", Lora: "lora"}.get(type(artifact), "corruption")
    return Guard(scope, plan, method(name), artifact, **options)


def guards(*all_of_them: Guard) -> dict[str, Guard]:
    return {one.scope: one for one in all_of_them}


def decide(request: Request, findings: list[Finding], guarded: dict[str, Guard]) -> Plan:
    return decide_on(request, Screening(tuple(findings)), guarded)


def edits_of(plan: object) -> list[tuple[int, tuple[tuple[int, int], ...], CorruptionConfig]]:
    assert isinstance(plan, Corrupt)
    return [(edit.message, edit.ranges, edit.config) for edit in plan.edits]


@pytest.mark.parametrize("findings", [[], [finding((0, 0, 3), matched=False)]])
@pytest.mark.parametrize("carries", [frozenset(), frozenset({"tools"})])
def test_nothing_matched_passes(findings: list[Finding], carries: frozenset[str]) -> None:
    assert decide(request_of(carries=carries), findings, guards(guard(plan="refuse"))) == Pass()


def test_refuse_gives_the_scope_s_own_words() -> None:
    plan = decide(request_of(), [finding((0, 7, 12))], guards(guard(plan="refuse", refusal="No.")))
    assert plan == Refuse("No.", fallback="No.")


def test_of_several_scopes_refuse_wins_and_a_mixture_of_kinds_is_refused() -> None:
    found = [finding((0, 7, 12)), finding((0, 0, 3), scope="b"), finding((0, 0, 3), scope="c")]
    instruct, refuse = guard("b", "instruct", instruction="Forget b."), guard("c", "refuse", refusal="Not c.")
    assert decide(request_of(), found, guards(guard(), instruct, refuse)) == Refuse("Not c.", fallback="Not c.")
    mixed = guards(guard(refusal="Not this."), instruct, guard("c"))
    assert decide(request_of(), found, mixed) == Refuse("Not this.", fallback="Not this."), (
        "an instruction for b guards nothing else"
    )


def test_instructions_of_several_scopes_add_up() -> None:
    found = [finding(), finding(scope="b")]
    one, two = guard(plan="instruct", instruction="One."), guard("b", "instruct", instruction="Two.")
    assert decide(request_of(), found, guards(one, two)) == Instruct("One.\nTwo.")


TOOLS, SCHEMA = frozenset({"tools", "tool_choice"}), frozenset({"response_format"})


@pytest.mark.parametrize(
    ("acts", "kind"),
    [
        ({"plan": "instruct", "instruction": "x"}, Instruct),
        ({"artifact": LORA}, UseAdapter),
        ({"artifact": TOKENS}, SoftPrompt),
        ({}, Corrupt),
    ],
    ids=["instruct", "lora", "soft prompt", "corruption"],
)
def test_every_plan_but_a_refusal_carries_tools_and_schemas(acts: dict[str, Any], kind: type[Plan]) -> None:
    for carries in (TOOLS, SCHEMA, TOOLS | SCHEMA):
        decided = decide(request_of(carries=carries), [finding((0, 7, 12))], guards(guard(refusal="No.", **acts)))
        assert type(decided) is kind


def test_what_a_plan_does_not_carry_is_refused() -> None:
    request = request_of(carries=frozenset({"a feature of tomorrow"}))
    assert decide(request, [finding((0, 7, 12))], guards(guard(refusal="No."))) == Refuse("No.", fallback="No.")


def test_a_name_is_corrupted_with_the_one_configuration_and_words_with_the_other() -> None:
    named, words = finding((0, 7, 12), detector="lexical"), finding((2, 6, 10), message=2)
    plan = decide(request_of(), [named, words], guards(guard()))
    assert edits_of(plan) == [(0, ((7, 12),), NAMED), (2, ((6, 10),), DESCRIBED)]


def test_beside_a_name_words_stay_unless_both_is_asked() -> None:
    found = [finding((0, 7, 12), detector="lexical"), finding((0, 0, 3), (0, 8, 12))]
    assert edits_of(decide(request_of(), found, guards(guard()))) == [(0, ((7, 12),), NAMED)]
    # a word that overlaps the name is the name's already
    assert edits_of(decide(request_of(), found, guards(guard(both=True)))) == [
        (0, ((7, 12),), NAMED),
        (0, ((0, 3),), DESCRIBED),
    ]


def test_ranges_found_twice_are_edited_once() -> None:
    found = [finding((0, 7, 12), detector="lexical"), finding((0, 7, 12), detector="lexical", message=None)]
    assert edits_of(decide(request_of(), found, guards(guard()))) == [(0, ((7, 12),), NAMED)]


def test_corruptions_of_several_scopes_add_up() -> None:
    other = guard("b", artifact=Corruption(DESCRIBED, NAMED, both=False))
    found = [finding((0, 7, 12), detector="lexical"), finding((2, 6, 10), scope="b", message=2)]
    assert edits_of(decide(request_of(), found, guards(guard(), other))) == [
        (0, ((7, 12),), NAMED),
        (2, ((6, 10),), NAMED),
    ]


def test_a_message_without_a_range_is_corrupted_whole() -> None:
    plan = decide(request_of(), [finding(message=2)], guards(guard()))
    assert edits_of(plan) == [(2, ((0, len(TEXTS[2])),), DESCRIBED)]


def test_if_only_the_name_of_a_speaker_matched_all_of_the_text_is_corrupted() -> None:
    """A refusal would tell the client of the scope."""
    assert edits_of(decide(request_of(), [finding(message=None)], guards(guard()))) == [(None, (), DESCRIBED)]


def test_a_scope_in_a_speaker_s_name_joins_one_in_a_message() -> None:
    found = [finding((0, 7, 12)), finding(scope="b", message=None)]
    edits = edits_of(decide(request_of(), found, guards(guard(), guard("b"))))
    assert edits == [(0, ((7, 12),), DESCRIBED), (None, (), DESCRIBED)]


def test_the_conversation_alone_matched_and_points_into_its_messages() -> None:
    plan = decide(request_of(), [finding((0, 7, 12), (2, 6, 10), message=None)], guards(guard()))
    assert edits_of(plan) == [(0, ((7, 12),), DESCRIBED), (2, ((6, 10),), DESCRIBED)]


def test_the_same_message_meets_the_same_noise_in_every_turn() -> None:
    def seeds(request: Request, message: int) -> list[int]:
        plan = decide(request, [finding((message, 7, 12), message=message)], guards(guard()))
        assert isinstance(plan, Corrupt)
        return [edit.seed for edit in plan.edits]

    first = seeds(request_of(TEXTS[0]), 0)
    later = seeds(request_of("Hello", "Hi", TEXTS[0]), 2)
    assert first == later == [message_seed("narnia", TEXTS[0])]
    assert seeds(request_of("Who is Jadis?"), 0) != first
    assert message_seed("other", TEXTS[0]) != first[0]


def test_seeds_fit_torch_and_json() -> None:
    assert all(0 <= message_seed("s", str(i)) < 2**53 for i in range(200))


def test_an_edit_is_plain_data() -> None:
    plan = decide(request_of(), [finding((0, 7, 12))], guards(guard()))
    assert plan == Corrupt((Edit(0, ((7, 12),), DESCRIBED, message_seed("narnia", TEXTS[0])),))
    assert guard("s").refusal == DEFAULT_REFUSAL


def test_soft_prompts_of_several_scopes_stand_one_after_the_other() -> None:
    guarded = guards(guard(artifact=TOKENS), guard("b", artifact=OTHER_TOKENS))
    assert decide(request_of(), [finding(scope="b")], guarded) == SoftPrompt((OTHER_TOKENS,))
    assert decide(request_of(), [finding(), finding(scope="b")], guarded) == SoftPrompt((TOKENS, OTHER_TOKENS))


def test_an_ungated_soft_prompt_acts_on_every_request() -> None:
    guarded = guards(guard(artifact=TOKENS, gated=False), guard("b", artifact=OTHER_TOKENS))
    assert decide(request_of(), [], guarded) == SoftPrompt((TOKENS,))
    assert decide(request_of(), [finding(scope="b")], guarded) == SoftPrompt((OTHER_TOKENS, TOKENS))
    assert isinstance(decide(request_of(carries=frozenset({"tools"})), [], guarded), SoftPrompt)


def test_adapters_of_several_scopes_are_summed_each_with_its_largest_weight() -> None:
    guarded = guards(guard(artifact=LORA), guard("b", artifact=OTHER_LORA))
    found = [finding(weight=0.3), finding(weight=0.6, message=1), finding(scope="b", weight=0.9)]
    plan = decide(request_of(), found, guarded)
    assert plan == UseAdapter((WeightedAdapter("narnia", LORA, 0.6), WeightedAdapter("b", OTHER_LORA, 0.9)))


def test_an_adapter_of_no_weight_would_guard_nothing() -> None:
    assert isinstance(decide(request_of(), [finding(weight=0.0)], guards(guard(artifact=LORA))), Refuse)


@pytest.mark.parametrize("artifact", [TOKENS, LORA])
def test_methods_are_not_mixed_in_one_request(artifact: Any) -> None:
    plan = decide(request_of(), [finding(), finding(scope="b")], guards(guard(), guard("b", artifact=artifact)))
    assert isinstance(plan, Refuse)


@pytest.mark.parametrize(("weight", "served"), [(0.01, 0.25), (0.3, 0.25), (0.375, 0.5), (0.7, 0.75), (1.0, 1.0)])
def test_a_weight_is_served_at_the_nearest_step_never_at_none(weight: float, served: float) -> None:
    plan = UseAdapter((WeightedAdapter("narnia", LORA, weight),))
    assert plan.quantised((0.25, 0.5, 0.75, 1.0)) == UseAdapter((WeightedAdapter("narnia", LORA, served),))
    assert plan.quantised(()) == plan
    assert Pass().quantised((0.25,)) == Pass()


@pytest.mark.parametrize("plan", ["forget", "instruct"])
def test_a_plan_falls_back_on_the_scope_s_own_words(plan: PlanName) -> None:
    decided = decide(
        request_of(), [finding((0, 7, 12))], guards(guard(plan=plan, refusal="Not Narnia.", instruction="x"))
    )
    assert not isinstance(decided, Refuse)
    assert decided.fallback == "Not Narnia."
