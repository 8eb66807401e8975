"""A guarded model answers and scores in batches what the gateway would answer one by one."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
import torch
from hand_made import SavePack
from tiny import tiny_model

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from corruption.operators import CorruptionConfig
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import DEFAULT_REFUSAL, Instruct, Pass, Plan, Refuse, Request, Sampling
from gateway.evaluation.guarded_model import GuardedModel, question
from gateway.methods.corruption import Corrupt, Edit
from gateway.methods.lora import UseAdapter
from gateway.methods.soft_prompt import SoftPrompt
from gateway.models.language_model import LanguageModel
from gateway.packs.files import Policy
from gateway.packs.store import load_packs
from gateway.prompts.execution import WeightedAdapter
from gateway.prompts.rendering import render
from gateway.screening.gate import Gate

TEXT = "Who wrote about the wizard Harry Potter?"
TOKENS = 8


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    return tiny_model()


@pytest.fixture(scope="module")
def guarded_model(base: LanguageModel) -> GuardedModel:
    return GuardedModel(base)


def lora(base: LanguageModel, seed: int) -> Lora:
    rng = torch.Generator().manual_seed(seed)
    layers = [name for name, module in base.model.named_modules() if name.endswith(("q_proj", "o_proj"))]
    return Lora({n: (torch.randn(2, 32, generator=rng), torch.randn(32, 2, generator=rng)) for n in layers}, 1.0)


def plans_of(base: LanguageModel) -> list[Plan]:
    virtual = VirtualTokens(torch.randn(3, 32, generator=torch.Generator().manual_seed(1)))
    edit = Edit(0, ((27, 39),), CorruptionConfig("gaussian_random", 1.0, 5.0), seed=1)
    one, other = lora(base, 1), lora(base, 2)
    return [
        Pass(),
        Corrupt((edit,)),
        SoftPrompt((virtual,)),
        UseAdapter((WeightedAdapter("a", one, 1.0),)),
        Instruct("You know nothing."),
        UseAdapter((WeightedAdapter("a", one, 0.5), WeightedAdapter("b", other, 1.0))),
        Refuse("No."),
        Pass(),
    ]


def served(base: LanguageModel, plans: list[Plan]) -> list[str]:
    async def all_of_them() -> list[str]:
        said = []
        async with EmbeddedBackend(base, name="m") as backend:
            for plan in plans:
                request = Request(
                    "1", "chat", "m", question(TEXT).messages, Sampling(max_tokens=TOKENS, temperature=0.0)
                )
                async with aclosing(backend.generate(request, plan)) as events:
                    said.append("".join([delta.text async for event in events for delta in event.deltas]))
        return said

    return asyncio.run(all_of_them())


def test_answers_are_the_served_ones_under_every_plan(base: LanguageModel, guarded_model: GuardedModel) -> None:
    plans = plans_of(base)
    said = guarded_model.answers([question(TEXT)] * len(plans), plans, max_new_tokens=TOKENS)
    assert said == [answer.strip() for answer in served(base, plans)]
    assert len(set(said)) >= 5  # the plans act: a random model pays little heed to a few words more


def test_a_passed_request_is_answered_as_without_a_guard_to_the_last_bit(language_model: LanguageModel) -> None:
    """In bfloat16, likelihoods depend on what else is in their batch."""
    real = GuardedModel(language_model)
    asked = [question(text) for text in (TEXT, "Who wrote Emma?", "What is a comet, and why has it two tails?")]
    virtual = VirtualTokens(language_model.embeddings[torch.arange(500, 530)].float())
    guarded: list[Plan] = [SoftPrompt((virtual,)), Pass(), Pass()]
    responses = ["Somebody else.", "Jane Austen wrote Emma.", "A comet is a ball of ice and dust."]
    alone, beside = (real.scores(asked, plans, responses) for plans in ([Pass()] * 3, guarded))
    bits = [[score.logprob.tolist() for score in scores if score] for scores in (alone, beside)]
    assert bits[0][1:] == bits[1][1:]
    assert bits[0][0] != bits[1][0]


def test_a_refusal_stays_a_refusal_beside_passed_requests(guarded_model: GuardedModel) -> None:
    refused = [Refuse("No."), Pass(), Refuse("Never.")]
    assert guarded_model.answers([question(TEXT)] * 3, refused, max_new_tokens=TOKENS)[::2] == ["No.", "Never."]
    assert [score is None for score in guarded_model.scores([question(TEXT)] * 3, refused, ["x"] * 3)] == [
        True,
        False,
        True,
    ]


def test_scores_are_the_model_s_own_of_the_tokens(base: LanguageModel, guarded_model: GuardedModel) -> None:
    plans = plans_of(base)
    response = "It was Joanne Rowling"
    scores = guarded_model.scores([question(TEXT)] * len(plans), plans, [response] * len(plans))
    assert [score is None for score in scores] == [isinstance(plan, Refuse) for plan in plans]
    plain, adapted = scores[0], scores[3]
    assert plain is not None
    assert adapted is not None
    ids = list(render(base.tokenizer, question(TEXT)).ids)
    answer = base.tokenizer(response, add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        logits = base.model(input_ids=torch.tensor([ids + answer])).logits[0][len(ids) - 1 : -1].log_softmax(-1)
    by_hand = torch.stack([row[token] for row, token in zip(logits, answer, strict=True)])
    assert torch.allclose(plain.logprob, by_hand, atol=1e-4)
    assert plain.likeliest.tolist() == [int(row.argmax()) == t for row, t in zip(logits, answer, strict=True)]
    assert torch.allclose(plain.mean, (logits.exp() * logits).sum(-1), atol=1e-4)
    spread = (logits.exp() * (logits - plain.mean[:, None]).square()).sum(-1).sqrt()
    assert torch.allclose(plain.deviation, spread, atol=1e-3)
    assert not torch.allclose(plain.logprob, adapted.logprob, atol=1e-2)


def test_a_plan_that_cannot_act_is_answered_by_a_refusal(guarded_model: GuardedModel) -> None:
    too_wide = SoftPrompt((VirtualTokens(torch.ones(1, 33)),))
    assert guarded_model.answers([question(TEXT)], [too_wide], max_new_tokens=TOKENS) == [DEFAULT_REFUSAL]
    assert guarded_model.scores([question(TEXT)], [too_wide], ["x"]) == [None]


def test_plans_are_the_gate_s_and_the_policy_s(
    guarded_model: GuardedModel, save: SavePack, encoder: Encoder, tmp_path: Path
) -> None:
    save("narnia", policy=Policy(plan="refuse", refusal="Not that."))
    gate = Gate(load_packs(tmp_path / "packs", base_fingerprint=None, encoder_fingerprint=None), encoder)
    requests = [question("What is rain?"), question("Who found Narnia?")] * 20
    assert guarded_model.plans(requests, gate) == [Pass(), Refuse("Not that.", fallback="Not that.")] * 20
