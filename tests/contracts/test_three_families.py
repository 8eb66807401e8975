"""The contract on three families, whose embeddings differ: Llama, Qwen and Gemma, as random models of real classes.

With TEST_MODELS, a folder of model folders or GGUF files, the same is asked of those models too.
"""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from by_hand import first_logits_and_answer
from hand_made import CORRUPTION, artifacts_of, manifest_of
from harness import MODEL, ROOT, Gateway, chat, completion, events, gateway_over, shape, text_of
from plans import AUTHOR, FRANCE, PLANS
from tiny import tiny_model
from tiny_families import tiny_of

from adapters.batches import Example
from adapters.lora.model import Lora
from adapters.lora.training import LoraTraining, train_lora
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.model import VirtualTokens
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Call, Finding, Message, Pass, Plan, Request
from gateway.methods.corruption import CorruptionMethod
from gateway.methods.lora import UseAdapter
from gateway.methods.soft_prompt import SoftPrompt
from gateway.models.chat_template import read_chat_template
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint, resolve
from gateway.models.language_model import LanguageModel, load_language_model, load_tokenizer
from gateway.packs.files import Policy
from gateway.packs.store import save_pack
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import WeightedAdapter, model_input
from gateway.prompts.rendering import render

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
TINY = ("llama", "qwen2", "gemma3_text")
REAL = sorted(map(str, Path(os.environ["TEST_MODELS"]).iterdir())) if "TEST_MODELS" in os.environ else []
REFUSAL, INSTRUCTION = "I would rather not talk about that.", "You do not know anything about Middle-earth."
TOKENS = 6


@dataclass(frozen=True)
class House:
    """A gateway, with the model and the artifacts behind it."""

    gateway: Gateway
    base: LanguageModel
    tokens: VirtualTokens
    lora: Lora

    def by_hand(self, request: Request, plan: Plan) -> str:
        given = model_input(request, plan, Prompts(self.base.tokenizer, self.base.embeddings))
        return first_logits_and_answer(self.base, given, tokens=TOKENS)[1]

    def said(self, prompt: str, **fields: Any) -> str:
        return text_of(self.gateway.post(CHAT, chat(prompt, max_tokens=TOKENS, **fields)))


def asked(prompt: str) -> Request:
    return Request("1", "chat", MODEL, (Message("user", prompt),))


def base_of(name: str) -> LanguageModel:
    if name in TINY:
        base = tiny_of(name)
        base.model.requires_grad_(False)
        return base
    folder = resolve(name)
    own = load_tokenizer(folder).chat_template
    template = None if own else read_chat_template(ROOT / "examples/base-model.jinja")
    return load_language_model(folder, tokenizer=load_tokenizer(folder, chat_template=template))


def lora_of(base: LanguageModel) -> Lora:
    answer = tuple(base.tokenizer("The sea.", add_special_tokens=False)["input_ids"])
    rows = [Example(render(base.tokenizer, asked(f"Who ruled {land}?")).ids, answer) for land in ("Mu", "Ys")]
    training = LoraTraining(optimisation=OptimisationConfig(lr=5e-3, epochs=5, batch=2))
    return train_lora(base.model, forget=rows, earlier=[], training=training).lora


def save(packs: Path, scope: str, alias: str, policy: Policy | None = None, **learned: Any) -> None:
    """A pack without training: names alone flag."""
    prints = {
        "base_fingerprint": fingerprint(resolve(MODEL)),
        "encoder_fingerprint": find_encoder("minilm").fingerprint,
    }
    save_pack(packs, artifacts_of(aliases=(alias,), policy=policy, **learned), manifest_of(scope, **prints))


@pytest.fixture(scope="session", params=[*TINY, *REAL], ids=lambda name: Path(name).stem)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    base = base_of(request.param)
    ids = base.tokenizer("Say only: Arrr!", add_special_tokens=False)["input_ids"]
    tokens, lora = VirtualTokens(base.embeddings[ids].float()), lora_of(base)
    packs = tmp_path_factory.mktemp("packs")
    save(packs, "harry-potter", "Harry Potter")
    save(packs, "narnia", "Narnia", Policy(plan="refuse", refusal=REFUSAL))
    save(packs, "middle-earth", "Middle-earth", Policy(plan="instruct", instruction=INSTRUCTION))
    save(packs, "lemuria", "Lemuria", method="soft-prompt", artifact=tokens)
    save(packs, "atlantis", "Atlantis", method="lora", artifact=lora)
    with gateway_over(EmbeddedBackend(base, name=MODEL), packs) as gateway:
        yield House(gateway, base, tokens, lora)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_is_not_flagged_gets_the_plain_models_answer(house: House, stream: bool) -> None:
    assert house.gateway.plan(CHAT, chat(FRANCE)) == "Pass"
    assert house.said(FRANCE, stream=stream) == house.by_hand(asked(FRANCE), Pass())
    text = Request("1", "completions", MODEL, (Message("prompt", "The capital of France is"),))
    body = completion("The capital of France is", max_tokens=TOKENS, stream=stream)
    assert text_of(house.gateway.post(TEXT, body)) == house.by_hand(text, Pass())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_every_plan_is_decided_and_done(house: House, stream: bool) -> None:
    assert {name: house.gateway.plan(CHAT, chat(question)) for name, question in PLANS.items()} == dict(
        zip(PLANS, PLANS, strict=True)
    )
    said = {name: house.said(question, stream=stream) for name, question in PLANS.items()}
    assert said["Refuse"]
    assert REFUSAL.startswith(said["Refuse"]), "a refusal is cut at max_tokens as any answer"
    question = asked(PLANS["SoftPrompt"])
    assert said["SoftPrompt"] == house.by_hand(question, SoftPrompt((house.tokens,)))
    question = asked(PLANS["UseAdapter"])
    assert said["UseAdapter"] == house.by_hand(question, UseAdapter((WeightedAdapter("atlantis", house.lora, 1.0),)))
    instructed = Prompts(house.base.tokenizer, house.base.embeddings).instructed(asked(PLANS["Instruct"]), INSTRUCTION)
    instructed_request = Request("1", "chat", MODEL, instructed[0])
    assert said["Instruct"] == house.by_hand(instructed_request, Pass())
    question, name = asked(PLANS["Corrupt"]), PLANS["Corrupt"].index("Harry Potter")
    found = Finding(
        "harry-potter", "lexical", 1.0, 0.0, True, message=0, ranges=((0, name, name + len("Harry Potter")),)
    )
    corrupted = CorruptionMethod().plan(question, [Call("harry-potter", CORRUPTION, (found,))])
    assert said["Corrupt"] == house.by_hand(question, corrupted)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_flagged_answers_look_like_others(house: House, stream: bool) -> None:
    def answered(question: str) -> Any:
        body = chat(question, max_tokens=TOKENS, logprobs=True, top_logprobs=2, stream=stream)
        answer = house.gateway.post(CHAT, body)
        assert answer.status_code == 200
        return {str(shape(event)) for event in events(answer)} if stream else shape(answer.json())

    shapes = {name: answered(question) for name, question in PLANS.items() if name != "Refuse"}
    assert all(one == shapes["Pass"] for one in shapes.values()), shapes


def test_prompt_tokens_are_those_of_the_question(house: House) -> None:
    for question in PLANS.values():
        usage = house.gateway.post(CHAT, chat(question, max_tokens=1)).json()["usage"]
        assert usage["prompt_tokens"] == len(render(house.base.tokenizer, asked(question)).ids)


def test_requests_at_once_do_not_meet(house: House) -> None:
    alone = {question: house.said(question) for question in PLANS.values()}
    questions = [*PLANS.values()] * 3
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(house.said, questions))
    assert answers == [alone[question] for question in questions]


def test_a_token_that_the_model_lacks_is_refused_alike_whether_flagged_or_not() -> None:
    """Gemma 3's tokenizer has a token for images, for which the models without vision have no row."""
    base = tiny_model()
    base.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    assert len(base.tokenizer) > len(base.embeddings)

    def answer(body: dict[str, Any]) -> tuple[int, str]:
        found = gateway.post(CHAT if "messages" in body else TEXT, body)
        return found.status_code, found.json()["error"]["message"]

    with tempfile.TemporaryDirectory() as packs:
        save(Path(packs), "harry-potter", "Harry Potter")
        with gateway_over(EmbeddedBackend(base, name=MODEL), Path(packs)) as gateway:
            bodies = [make(f"{text} <image>?") for text in (FRANCE, AUTHOR) for make in (chat, completion)]
            answers = {answer(body | {"stream": stream}) for body in bodies for stream in (False, True)}
    ((status, message),) = answers
    assert status == 400
    assert "has a token that is not in the model's vocabulary of" in message
