"""Tools and schemas on a real vLLM: a flagged request that carries them is answered under a plan that can carry them,
and looks like any other."""

from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from harness import ADMIN, Gateway, Json, chat, events, shape

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
pytestmark = pytest.mark.vllm
PLAIN = "What is the capital of France?"
PLANS = {
    "UseAdapter": "Where was Atlantis?",
    "Instruct": "Who lives in Middle-earth?",
    "Corrupt": "Who wrote the Harry Potter books?",
    "SoftPrompt": "Where is Lemuria?",
}
WORD = {"type": "string", "enum": ["red", "blue"]}
SCHEMA = {"type": "object", "properties": {"word": WORD}, "required": ["word"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "colour", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "paint", "description": "Paints it.", "parameters": SCHEMA}}
FORCED = {"type": "function", "function": {"name": "paint"}}


@pytest.fixture
def gateway(vllm_gateway: Gateway) -> Gateway:
    return vllm_gateway


def asked(prompt: str, **fields: Any) -> Json:
    return chat(prompt, max_tokens=64, **fields)


@pytest.fixture(scope="module")
def passed(vllm_gateway: Gateway) -> Callable[..., httpx.Response]:
    """The answer to the unflagged question with these fields, asked for once: those of all plans are compared with
    it."""
    kept: dict[bytes, httpx.Response] = {}

    def answer(**fields: Any) -> httpx.Response:
        body = orjson.dumps(asked(PLAIN, **fields))
        if body not in kept:
            kept[body] = vllm_gateway.post(CHAT, body)
        return kept[body]

    return answer


@pytest.mark.parametrize("plan", PLANS)
class TestTools:
    def test_the_model_calls_them(self, gateway: Gateway, plan: str) -> None:
        body = asked(PLANS[plan], tools=[TOOL], tool_choice=FORCED)
        answer = gateway.post(CHAT, body, headers=ADMIN)
        assert answer.headers["x-unrecall-plan"] == plan
        (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "paint"
        assert orjson.loads(call["function"]["arguments"])["word"] in ("red", "blue")

    def test_it_calls_one_that_it_must_call(self, gateway: Gateway, plan: str) -> None:
        other = {"type": "function", "function": {**TOOL["function"], "name": "dip"}}
        body = asked(PLANS[plan], tools=[TOOL, other], tool_choice="required")
        answer = gateway.post(CHAT, body, headers=ADMIN)
        assert answer.headers["x-unrecall-plan"] == plan
        (choice,) = answer.json()["choices"]
        assert {call["function"]["name"] for call in choice["message"]["tool_calls"]} <= {"paint", "dip"}
        assert choice["finish_reason"] in ("tool_calls", "length")

    @pytest.mark.parametrize("choice", ["auto", "none"])
    def test_it_may_answer_in_words(
        self, gateway: Gateway, passed: Callable[..., httpx.Response], plan: str, choice: str
    ) -> None:
        fields = {"tools": [TOOL], "tool_choice": choice}
        answer = gateway.post(CHAT, asked(PLANS[plan], **fields), headers=ADMIN)
        assert answer.headers["x-unrecall-plan"] == plan
        whole = [answer.json(), passed(**fields).json()]
        if not any(one["choices"][0]["message"].get("tool_calls") for one in whole):
            assert shape(whole[0]) == shape(whole[1])

    @pytest.mark.parametrize("counted", [{}, {"stream_options": {"include_usage": True}}], ids=["plain", "counted"])
    def test_looks_like_any_other(
        self, gateway: Gateway, passed: Callable[..., httpx.Response], plan: str, counted: Json
    ) -> None:
        tools: Json = {"tools": [TOOL], "tool_choice": FORCED}
        whole = [gateway.post(CHAT, asked(PLANS[plan], **tools)).json(), passed(**tools).json()]
        assert shape(whole[0]) == shape(whole[1])
        assert whole[0]["model"] == whole[1]["model"]
        tools |= {"stream": True, **counted}
        streamed = [events(gateway.post(CHAT, asked(PLANS[plan], **tools))), events(passed(**tools))]
        looks = [{str(shape(one)) for one in stream} for stream in streamed]
        assert looks[0] == looks[1]
        assert {one["model"] for one in streamed[0]} == {whole[1]["model"]}

    @pytest.mark.parametrize("choice", [{"type": "tool", "name": "paint"}, {"type": "any"}], ids=["tool", "any"])
    def test_anthropics_clients_too(self, gateway: Gateway, plan: str, choice: Json) -> None:
        """The arguments keep to the schema, flagged or not, though the tool does not say `strict`."""
        body = {"model": chat("")["model"], "max_tokens": 64, "temperature": 1, "tool_choice": choice}
        body["tools"] = [{"name": "paint", "input_schema": SCHEMA}]
        for prompt, done in ((PLANS[plan], plan), (PLAIN, "Pass")):
            turns = [{"role": "user", "content": prompt}]
            answer = gateway.post(MESSAGES, {**body, "messages": turns}, headers=ADMIN)
            assert (answer.status_code, answer.headers["x-unrecall-plan"]) == (200, done)
            block, *_ = [one for one in answer.json()["content"] if one["type"] == "tool_use"]
            assert (block["name"], block["input"]["word"] in ("red", "blue")) == ("paint", True)

    def test_and_openais_responses(self, gateway: Gateway, plan: str) -> None:
        tool = {"type": "function", "name": "paint", "parameters": SCHEMA}
        body = {
            "model": chat("")["model"],
            "input": PLANS[plan],
            "max_output_tokens": 64,
            "temperature": 0,
            "tools": [tool],
        }
        response = gateway.openai.responses.create(**body, tool_choice={"type": "function", "name": "paint"})
        (call,) = [one for one in response.output if one.type == "function_call"]
        assert call.name == "paint"
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "done"}
        again = gateway.openai.responses.create(**body | {"input": [output]}, previous_response_id=response.id)
        assert again.status in ("completed", "incomplete")


@pytest.mark.parametrize(("plan", "prompt"), PLANS.items())
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_schema_is_kept_to(gateway: Gateway, plan: str, prompt: str, stream: bool) -> None:
    answer = gateway.post(CHAT, asked(prompt, response_format=FORMAT, stream=stream), headers=ADMIN)
    assert answer.headers["x-unrecall-plan"] == plan
    choices = [one["choices"][0] for one in events(answer)] if stream else answer.json()["choices"]
    parts = [(choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices]
    assert orjson.loads("".join(parts))["word"] in ("red", "blue")


def test_a_tool_that_names_a_scope_does_not_flag_every_request(gateway: Gateway) -> None:
    tool = {"type": "function", "function": {**TOOL["function"], "description": "Paints Harry Potter."}}
    assert gateway.plan(CHAT, asked(PLAIN, tools=[tool], tool_choice="none")) == "Pass"
    assert gateway.plan(CHAT, asked(PLAIN, tools=[tool], tool_choice=FORCED)) == "Corrupt"  # the model must fill it in
