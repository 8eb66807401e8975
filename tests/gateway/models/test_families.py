"""Every family, as a random model: what each method learns from it is served as it was meant."""

import asyncio
import math
import re
from contextlib import aclosing

import pytest
from by_hand import first_logits_and_answer
from harness import ROOT
from tiny_families import FAMILIES, REFUSED, TAKEN, tiny_of

from adapters.batches import Example
from adapters.lora.training import LoraTraining, train_lora
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.training import SoftPromptTraining, train_soft_prompt
from corruption.operators import Corruption, CorruptionConfig
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Call, Finding, Message, Pass, Plan, Request, Sampling
from gateway.methods.corruption import CorruptionMethod
from gateway.methods.lora import LoraMethod, UseAdapter
from gateway.methods.soft_prompt import SoftPromptMethod
from gateway.models.language_model import LanguageModel
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import model_input

OPTIMISATION = OptimisationConfig(lr=3e-3, epochs=3, batch=3)
ASKED, TOKENS = "Who wrote about the wizard Harry Potter?", 5
NAME = ASKED.index("Harry")
REQUEST = Request("1", "chat", "tiny", (Message("user", ASKED),), Sampling(max_tokens=TOKENS, temperature=0.0))
FOUND = Finding("potter", "lexical", 1.0, 0.0, True, message=0, ranges=((0, NAME, NAME + len("Harry Potter")),))
NOISE = CorruptionConfig("gaussian_top", share=1.0, strength=2.0)


def rows(base: LanguageModel) -> list[Example]:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(base.tokenizer(text, add_special_tokens=False)["input_ids"])

    return [Example(ids(f"Who is {name}?"), ids(f"{name} is an author.")) for name in ("Ada", "Harry", "Potter")]


def corrupted() -> Plan:
    return CorruptionMethod().plan(REQUEST, [Call("potter", Corruption(NOISE, NOISE, False), (FOUND,))])


def prompted(base: LanguageModel) -> Plan:
    training = SoftPromptTraining(tokens=3, optimisation=OPTIMISATION)
    learned = train_soft_prompt(base.model, forget=rows(base), retain=rows(base), training=training)
    assert all(map(math.isfinite, learned.losses))
    assert learned.losses[-1] < learned.losses[0]
    return SoftPromptMethod().plan(REQUEST, [Call("potter", learned.tokens, (FOUND,))])


def adapted(base: LanguageModel) -> UseAdapter:
    training = LoraTraining(rank=4, optimisation=OPTIMISATION)
    learned = train_lora(base.model, forget=rows(base), earlier=[], training=training)
    assert all(map(math.isfinite, learned.losses))
    assert learned.losses[-1] < learned.losses[0]
    plan = LoraMethod().plan(REQUEST, [Call("potter", learned.lora, (FOUND,))])
    assert plan is not None
    return plan


async def served(backend: EmbeddedBackend, plan: Plan) -> str:
    async with aclosing(backend.generate(REQUEST, plan)) as events:
        return "".join([delta.text async for event in events for delta in event.deltas])


@pytest.mark.parametrize("family", TAKEN)
def test_what_every_method_learns_of_a_family_is_served(family: str) -> None:
    """Each plan changes what the model says, and the backend serves what the model says by hand."""
    base = tiny_of(family)
    base.model.requires_grad_(False)
    prompts = Prompts(base.tokenizer, base.embeddings)
    adapter = adapted(base)
    plans = [Pass(), corrupted(), prompted(base), adapter]
    by_hand = [first_logits_and_answer(base, model_input(REQUEST, plan, prompts), tokens=TOKENS) for plan in plans]
    plain = by_hand[0][0]
    for plan, (first, _) in zip(plans[1:], by_hand[1:], strict=True):
        assert float((first - plain).abs().max()) > 1e-4, f"{plan.name} changes nothing"

    async def answers() -> list[str]:
        async with EmbeddedBackend(base, name="tiny") as backend:
            assert await backend.prepare({one.scope: one.lora for one in adapter.adapters}) == {}
            return [await served(backend, plan) for plan in plans]

    assert asyncio.run(answers()) == [answer for _, answer in by_hand]


def test_a_lora_leaves_routers_and_the_tensors_of_experts_alone() -> None:
    """peft would adapt them, and no backend could serve that; a router may give more than one tensor."""
    for family in ("phimoe", "deepseek_v3", "qwen3_moe"):
        (adapter,) = adapted(tiny_of(family)).adapters
        assert adapter.lora.layers
        assert not [name for name in adapter.lora.layers if "router" in name or ".experts" in name]


def test_the_page_names_every_family_and_no_other() -> None:
    page = (ROOT / "docs/models.md").read_text(encoding="utf-8")
    table = page.split("| what a family does", 1)[1].split("\n\n", 1)[0]
    named = set(re.findall(r"`(\w+)`", table)) - {"model_type"}
    assert named == {family.split(maxsplit=1)[0] for family in FAMILIES}
    refused = {line for line in table.splitlines() if "refused" in line}
    assert {family.split(maxsplit=1)[0] for family in REFUSED} <= set(re.findall(r"`(\w+)`", "".join(refused)))
