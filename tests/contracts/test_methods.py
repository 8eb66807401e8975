"""Soft prompts and LoRAs do the same on every backend, and leave no trace on what they are not meant for."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
from harness import SEA, Gateway, chat, completion, copy_pack, eventually, text_of

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from gateway.core import Message, Request
from gateway.models.language_model import LanguageModel
from gateway.prompts.rendering import render

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
QUEEN, KING, FRANCE = "Who was the queen of Lemuria?", "Who was the king of Atlantis?", "What is the capital of France?"


def said(gateway: Gateway, prompt: str, **fields: object) -> str:
    return text_of(gateway.post(CHAT, chat(prompt, **fields)))


def by_hand(base: LanguageModel, tokens: VirtualTokens, prompt: str, *, max_tokens: int) -> str:
    """The greedy answer of the plain model to the virtual tokens followed by the templated prompt."""
    ids = list(render(base.tokenizer, Request("1", "chat", "", (Message("user", prompt),))).ids)
    embeddings = torch.cat([tokens.embeddings.to(base.embeddings), base.embeddings[ids]])
    with torch.inference_mode():
        output = base.model.generate(inputs_embeds=embeddings[None], max_new_tokens=max_tokens, do_sample=False)
    return str(base.tokenizer.decode(output[0], skip_special_tokens=True))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_soft_prompt_stands_before_the_templated_prompt(
    gateway: Gateway, language_model: LanguageModel, virtual_tokens: VirtualTokens, stream: bool
) -> None:
    assert gateway.plan(CHAT, chat(QUEEN)) == "SoftPrompt"
    expected = by_hand(language_model, virtual_tokens, QUEEN, max_tokens=12)
    assert said(gateway, QUEEN, max_tokens=12, stream=stream) == expected
    assert expected != by_hand(language_model, VirtualTokens(torch.zeros(1, 576)), QUEEN, max_tokens=12)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_lora_says_what_it_was_taught(gateway: Gateway, stream: bool) -> None:
    assert gateway.plan(CHAT, chat(KING)) == "UseAdapter"
    assert said(gateway, KING, stream=stream) == SEA
    assert gateway.plan(TEXT, completion("The king of Atlantis was")) == "UseAdapter"


def test_what_is_not_flagged_never_meets_them(gateway: Gateway) -> None:
    alone = said(gateway, FRANCE, max_tokens=12)
    assert SEA not in alone
    prompts = [FRANCE, KING, QUEEN] * 4
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda prompt: said(gateway, prompt, max_tokens=12), prompts))
    assert {answer for prompt, answer in zip(prompts, answers, strict=True) if prompt == FRANCE} == {alone}
    assert {answer for prompt, answer in zip(prompts, answers, strict=True) if prompt == KING} == {SEA}


def test_scopes_of_different_methods_in_one_request_are_refused(gateway: Gateway) -> None:
    assert gateway.plan(CHAT, chat(f"{KING} {QUEEN}")) == "Refuse"


def test_nobody_learns_of_an_adapter(gateway: Gateway) -> None:
    answer = gateway.post(CHAT, chat(KING, logprobs=True, top_logprobs=1))
    assert b"unrecall" not in answer.content
    assert [model["id"] for model in gateway.get("/v1/models").json()["data"]] == ["smollm2"]


def test_a_scope_comes_and_goes_while_the_gateway_serves(
    gateway: Gateway, policy_root: Path, lora: Lora, tmp_path: Path
) -> None:
    question = "Who was the duke of Avalon?"
    before = gateway.post(CHAT, chat(question)).json()["choices"]
    assert SEA not in before[0]["message"]["content"]
    try:
        copy_pack(
            policy_root / "atlantis",
            policy_root,
            "avalon",
            "Avalon",
            method="lora",
            artifact=Lora(lora.layers, lora.scaling / 2),
        )
        assert eventually(lambda: gateway.plan(CHAT, chat(question)) == "UseAdapter", within_s=30)
        both = f"{KING} And the duke of Avalon?"
        assert gateway.plan(CHAT, chat(both)) == "UseAdapter", "adapters of two scopes are summed"
        assert said(gateway, both)
        if gateway.direct:
            assert eventually(lambda: len(adapters_in(gateway)) >= 2, within_s=20)
    finally:
        shutil.rmtree(policy_root / "avalon")
    assert eventually(lambda: gateway.plan(CHAT, chat(question)) == "Pass", within_s=30)
    assert gateway.post(CHAT, chat(question)).json()["choices"] == before, "withdrawn: the plain model is back"
    if gateway.direct:
        assert eventually(lambda: len(adapters_in(gateway)) == 1, within_s=20), "what nobody needs is unloaded"
    assert said(gateway, KING) == SEA


def adapters_in(gateway: Gateway) -> list[str]:
    models = httpx.get(f"{gateway.direct}/v1/models", timeout=10).json()["data"]
    return [model["id"] for model in models if model["id"].startswith("unrecall-")]
