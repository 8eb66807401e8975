"""No character, no turn of the conversation and no habit of a template turns a corrupted answer into a refusal: that
would tell the client which of its requests are flagged."""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

import httpx
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stub_vllm import TOKENIZER, WEIGHT, StubVllm, backend, corrupt, embeddings_of, parts_of
from tiny import CHATML, tiny_model
from tokenizers import normalizers

from corruption.operators import CorruptionConfig
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Event, Instruct, Message, Plan, Request, Sampling, Usage
from gateway.errors import InvalidRequest
from gateway.methods.corruption import Corrupt, Edit
from gateway.models.language_model import LanguageModel
from gateway.prompts.embedding import Prompts

NAME = "Harry Potter"
CONTENT = "message['content']"
TEMPLATES = {
    "as it is": CHATML,
    "trims": CHATML.replace(CONTENT, f"{CONTENT} | trim"),
    "cuts thoughts": CHATML.replace(CONTENT, f"{CONTENT}.split('</think>')[-1].lstrip('\\n')"),
    "knows no blank turns": CHATML.replace("{{ '<|im_start|>'", "{{ '' if not message['content'] else '<|im_start|>'"),
    "repeats": CHATML + "{{ messages[0]['content'] }}",
    "escapes": CHATML.replace(CONTENT, f"{CONTENT} | e"),
    "writes JSON": CHATML.replace(CONTENT, f"{CONTENT} | tojson"),
}
NORMALISERS = {
    "none": None,
    "NFC": normalizers.NFC(),
    "NFKC": normalizers.NFKC(),
    "spaces": normalizers.Replace(" ", "▁"),
    "marks": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "strips": normalizers.Strip(),
}
ODD = (
    st.text(st.characters(categories=["Co", "Cn", "Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp", "So"]), max_size=12)
    | st.text(max_size=12)
    | st.sampled_from(["<|im_start|>", "<|im_end|>\n<|im_start|>user\n", "</think>", "\ufffd", "{{ x }}", "&amp;", "<"])
    | st.sampled_from([" ", "\n", "\t", "a", "\u00a0", "\ue000", "\ue002"]).map(lambda one: one * 60)
)
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool"])
TURNS = st.lists(st.tuples(ROLES, ODD), max_size=3)
CONFIG = CorruptionConfig("decoy_word", 1.0, 1.0)


@cache
def model_of(template: str, normaliser: str = "none") -> LanguageModel:
    model = tiny_model(template=TEMPLATES[template])
    if found := NORMALISERS[normaliser]:
        model.tokenizer.backend_tokenizer.normalizer = found
    return model


def asked(before: str, after: str, turns: Sequence[tuple[str, str]]) -> tuple[Request, Corrupt]:
    """A question about the name among other turns, and the plan that corrupts the name."""
    text = f"{before}{NAME}{after}"
    messages = (Message("user", text), *(Message(role, said) for role, said in turns))
    edit = Edit(0, ((len(before), len(before) + len(NAME)),), CONFIG, 1)
    return Request("1", "chat", "tiny", messages, Sampling(max_tokens=1)), Corrupt((edit,))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TEMPLATES)), st.sampled_from(sorted(NORMALISERS)), ODD, ODD, TURNS)
def test_whatever_stands_around_it_the_name_is_corrupted(
    template: str, normaliser: str, before: str, after: str, turns: list[tuple[str, str]]
) -> None:
    model = model_of(template, normaliser)
    request, plan = asked(before, after, turns)
    prompts = Prompts(model.tokenizer, model.embeddings)
    given = plan.model_input(request, prompts)
    changed = (given.embeddings != prompts.embed(given.ids)).any(dim=1).tolist()
    prompt = prompts.render(request)
    kept = [prompt.text[start:end] for (start, end), moved in zip(prompt.offsets, changed, strict=True) if not moved]
    assert any(changed)
    assert NAME.replace(" ", "") not in "".join(kept).replace(" ", "")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(TEMPLATES)), ODD, ODD, TURNS)
def test_the_embedded_model_answers_it(template: str, before: str, after: str, turns: list[tuple[str, str]]) -> None:
    async def run() -> list[str]:
        async with EmbeddedBackend(model_of(template), name="tiny") as served:
            request, plan = asked(before, after, turns)
            try:
                served.check_length(request)
            except InvalidRequest:  # so it does under every plan
                return []
            return [event.fallback async for event in served.generate(request, plan)]

    assert not any(asyncio.run(run()))


class OwnTemplate(StubVllm):
    """A vLLM whose chat template the gateway's copy does not have: it names the speakers."""

    def _judged(self, request: httpx.Request) -> httpx.Response:
        body = orjson.loads(request.content)
        said = " ".join(f"{turn.get('name', 'user')} , {turn['content']} ." for turn in body["messages"])
        ids = TOKENIZER(said, add_special_tokens=False)["input_ids"]
        event = {"choices": [{"index": 0, "text": ""}], "prompt_token_ids": ids}
        return httpx.Response(200, content=b"data: " + orjson.dumps(event) + b"\n\n")


def by_speaker(text: str, name: str = "Ada") -> Request:
    turns = [{"role": "user", "content": text, "name": name}]
    raw = orjson.dumps({"model": "tiny", "messages": turns})
    return Request("1", "chat", "tiny", (Message("user", text),), raw=raw)


class TestTheUpstreamsOwnPrompt:
    """Where the upstream renders a prompt otherwise, its own tokens are corrupted."""

    def sent(self, request: Request, plan: Plan) -> tuple[torch.Tensor, list[Any], str]:
        """The embeddings that were sent, the answer's parts, and the fallback."""
        stub = OwnTemplate()

        async def run() -> tuple[list[Any], str]:
            async with backend(stub) as served:
                stub.requests.clear()
                events = [event async for event in served.generate(request, plan)]
                parts = [part for event in events for part in parts_of(event)]
                return parts, "".join(event.fallback for event in events)

        parts, fallback = asyncio.run(run())
        return embeddings_of(stub.bodies[0]), parts, fallback

    def test_the_words_are_found_in_it(self) -> None:
        ids = TOKENIZER("Count , who was Ada .", add_special_tokens=False)["input_ids"]
        sent, parts, fallback = self.sent(by_speaker("who was Ada", "Count"), corrupt((8, 11)))
        assert fallback == ""
        assert (sent == WEIGHT[torch.tensor(ids)]).all(dim=1).tolist() == [True, True, True, True, False, True]
        assert parts[-1] == Usage(len(ids), 2)

    def test_so_is_a_name_that_the_template_adds(self) -> None:
        everything = Corrupt((Edit(None, (), CorruptionConfig("gaussian_first", 1.0, 1.0), 1),))
        sent, _, fallback = self.sent(by_speaker("who was I"), everything)
        ids = TOKENIZER("Ada , who was I .", add_special_tokens=False)["input_ids"]
        assert fallback == ""
        assert not (sent == WEIGHT[torch.tensor(ids)]).all(dim=1).any()

    def test_an_instruction_that_the_copy_cannot_put_in_front_is_no_error_for_the_client(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The upstream takes the request: whoever got an error would know that it was flagged."""

        async def run() -> list[Event]:
            async with backend(OwnTemplate()) as served:
                monkeypatch.setattr(TOKENIZER, "chat_template", "{{ raise_exception('no such turns') }}")
                return [event async for event in served.generate(by_speaker("who was Ada"), Instruct("Be brief."))]

        events = asyncio.run(run())
        assert "no such turns" in events[0].fallback
        assert parts_of(events[-1])

    @settings(max_examples=25, deadline=None)
    @given(before=ODD, after=ODD)
    def test_whatever_stands_around_them(self, before: str, after: str) -> None:
        request = by_speaker(f"{before[:20]} Ada {after[:20]}")
        start = len(before[:20]) + 1
        _, _, fallback = self.sent(request, corrupt((start, start + 3)))
        assert fallback == ""
