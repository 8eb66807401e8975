"""OpenAI's own client against the gateway: its messages come back with the next turn."""

from typing import Any

import openai
import pytest
from harness import MODEL, Gateway

PROMPTS = ["Who wrote Pride and Prejudice?", "Who wrote the Harry Potter books?"]
ASKED: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 8}


@pytest.mark.parametrize("prompt", PROMPTS, ids=["passed", "flagged"])
class TestSecondTurn:
    def test_the_message_itself(self, gateway: Gateway, prompt: str) -> None:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        messages.append(gateway.openai.chat.completions.create(messages=messages, **ASKED).choices[0].message)
        messages.append({"role": "user", "content": "Are you sure?"})
        assert gateway.openai.chat.completions.create(messages=messages, **ASKED).choices[0].message.content

    def test_the_message_dumped(self, gateway: Gateway, prompt: str) -> None:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        answer = gateway.openai.chat.completions.create(messages=messages, **ASKED).choices[0].message
        plain = [*messages, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "Sure?"}]
        dumped = [*messages, answer.model_dump(), plain[-1]]
        texts = {
            gateway.openai.chat.completions.create(messages=turns, **ASKED).choices[0].message.content
            for turns in (plain, dumped)
        }
        assert len(texts) == 1

    def test_a_clients_empty_fields(self, gateway: Gateway, prompt: str) -> None:
        """As frameworks send them: everything that they know, mostly null."""
        empty: dict[str, Any] = {
            "metadata": None,
            "logit_bias": {},
            "functions": None,
            "function_call": None,
            "store": False,
            "service_tier": "auto",
            "modalities": ["text"],
            "tools": [],
            "tool_choice": "auto",
            "parallel_tool_calls": None,
            "response_format": {"type": "text"},
            "n": None,
            "stop": None,
            "audio": None,
            "prediction": None,
            "reasoning_effort": None,
        }
        messages = [{"role": "user", "content": prompt}]
        bare, full = (
            gateway.openai.post("/chat/completions", body={"messages": messages, **ASKED, **more}, cast_to=object)
            for more in ({}, empty)
        )
        assert bare["choices"] == full["choices"]  # type: ignore[index]
        stream = gateway.openai.chat.completions.create(
            messages=messages,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True, "continuous_usage_stats": False},  # type: ignore[typeddict-unknown-key]
            **ASKED,
        )
        assert list(stream)[-1].usage

    def test_ways_to_choose_tokens(self, gateway: Gateway, prompt: str) -> None:
        sea = gateway.backend.served.tokenizer(" sea", add_special_tokens=False)["input_ids"][0]
        answer = gateway.openai.chat.completions.create(
            messages=[{"role": "user", "content": prompt}],
            extra_body={"ignore_eos": True, "top_k": 3, "min_p": 0.0, "logit_bias": {str(sea): 100}},
            **{**ASKED, "temperature": 1.9, "max_tokens": 5},
        )
        assert answer.choices[0].message.content == " sea" * 5
        assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("prompt", PROMPTS, ids=["passed", "flagged"])
def test_the_embedded_backend_says_what_it_does_not_have(embedded_gateway: Gateway, prompt: str) -> None:
    for field in ({"bad_words": ["the"]}, {"allowed_token_ids": [5]}, {"skip_special_tokens": False}):
        with pytest.raises(openai.BadRequestError) as raised:
            embedded_gateway.openai.chat.completions.create(
                messages=[{"role": "user", "content": prompt}], extra_body=field, **ASKED
            )
        assert raised.value.param == next(iter(field))
        assert "embedded backend does not support" in raised.value.message
