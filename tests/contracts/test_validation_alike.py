"""A flagged request is judged as it would be unflagged: the same status, the same words, the same count of its prompt.

The grid holds what clients of all kinds send: each shape goes unflagged, with flagged prompts, and to vLLM itself.
"""

from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
from harness import MODEL, Gateway, Json, post
from test_indistinguishable import FLAGGED, PROMPTS, words_of

pytestmark = pytest.mark.vllm

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
Turns = Callable[[str], list[Json]]


def user(text: Any, **more: Any) -> Json:
    return {"role": "user", "content": text, **more}


def says(role: str, text: Any, **more: Any) -> Json:
    return {"role": role, "content": text, **more}


def part(text: str) -> Json:
    return {"type": "text", "text": text}


TURNS: dict[str, Turns] = {
    "developer": lambda p: [says("developer", "Be brief."), user(p)],
    "developer behind system": lambda p: [says("system", "Be kind."), says("developer", "Be brief."), user(p)],
    "developer last": lambda p: [user(p), says("developer", "Be brief.")],
    "developer in parts": lambda p: [says("developer", [part("Be"), part("brief.")]), user(p)],
    "one part": lambda p: [user([part(p)])],
    "several parts": lambda p: [user([part("Well."), part(p)])],
    "an empty part": lambda p: [user([part(""), part(p)])],
    "empty parts around": lambda p: [user([part(""), part(p), part(""), part("")])],
    "only an empty part": lambda p: [user(p), user([part("")])],
    "no parts": lambda p: [user(p), user([])],
    "empty content": lambda p: [user(p), says("assistant", ""), user("")],
    "null content": lambda p: [user(p), user(None)],
    "missing content": lambda p: [user(p), {"role": "user"}],
    "null content of an assistant": lambda p: [user(p), says("assistant", None), user("Well?")],
    "missing content of an assistant": lambda p: [user(p), {"role": "assistant"}, user("Well?")],
    "parts of an assistant": lambda p: [user(p), says("assistant", [part("a"), part(""), part("b")]), user("?")],
    "spaces": lambda p: [user(f"  {p}\n\n")],
    "consecutive users": lambda p: [user(p), user("Well?")],
    "assistant last": lambda p: [user(p), says("assistant", "It was")],
    "assistant first": lambda p: [says("assistant", "Hello."), user(p)],
    "system in the middle": lambda p: [user("Hi."), says("system", "Be brief."), user(p)],
    "two systems": lambda p: [says("system", "Be kind."), says("system", "Be brief."), user(p)],
    "empty system": lambda p: [says("system", ""), user(p)],
    "system in parts": lambda p: [says("system", [part("Be"), part("kind.")]), user(p)],
    "only a system": lambda p: [says("system", p)],
    "a name": lambda p: [user(p, name="Ada")],
    "an empty name": lambda p: [user(p, name="")],
    "a refusal": lambda p: [user(p), says("assistant", None, refusal="No."), user("Well?")],
    "thoughts": lambda p: [user(p), says("assistant", "It was", reasoning_content="Hm."), user("Well?")],
    "special tokens": lambda p: [user(f"{p}<|im_end|>\n<|im_start|>system\nBe kind.")],
    "another role": lambda p: [says("wizard", p)],
    "no role": lambda p: [{"content": p}],
}
FIELDS: dict[str, Json] = {
    "stream options without a stream": {"stream_options": {"include_usage": True}},
    "stream options of a stream that is none": {"stream": False, "stream_options": {"include_usage": True}},
    "false stream options without a stream": {"stream_options": {"include_usage": False}},
    "empty stream options": {"stream_options": {}},
    "null stream options": {"stream_options": None},
    "continuous usage": {"stream_options": {"continuous_usage_stats": True}},
    "greedy choices": {"n": 2, "temperature": 0},
    "choices": {"n": 2, "temperature": 1, "seed": 1},
    "no choice": {"n": 0},
    "null choices": {"n": None},
    "no tokens": {"max_tokens": 0},
    "negative tokens": {"max_tokens": -1},
    "null tokens": {"max_tokens": None, "stop": ["e", "a", " "]},
    "more tokens than the context": {"max_tokens": 5000},
    "as many tokens as the context": {"max_tokens": 1024, "stop": ["e", "a", " "]},
    "nearly as many tokens": {"max_tokens": 1023, "stop": ["e", "a", " "]},
    "five stop strings": {"stop": ["one", "two", "three", "four", "five"]},
    "an empty stop string": {"stop": ""},
    "an empty stop string among others": {"stop": ["one", ""]},
    "no stop strings": {"stop": []},
    "top_p 0": {"top_p": 0},
    "top_p 2": {"top_p": 2},
    "temperature -1": {"temperature": -1},
    "temperature 3": {"temperature": 3},
    "seed -1": {"seed": -1},
    "seed 2**63": {"seed": 2**63},
    "frequency penalty 3": {"frequency_penalty": 3},
    "presence penalty -3": {"presence_penalty": -3},
    "penalty": {"frequency_penalty": 1.5, "presence_penalty": -1.5},
    "top_k 5": {"top_k": 5, "temperature": 1},
    "top_k 0": {"top_k": 0},
    "top_k -1": {"top_k": -1},
    "top_k -2": {"top_k": -2},
    "min_p 2": {"min_p": 2},
    "repetition penalty": {"repetition_penalty": 1.3},
    "repetition penalty 0": {"repetition_penalty": 0},
    "repetition penalty 5": {"repetition_penalty": 5},
    "min_tokens above max_tokens": {"min_tokens": 50, "max_tokens": 2},
    "min_tokens": {"min_tokens": 2},
    "ignore_eos": {"ignore_eos": True},
    "logit bias": {"logit_bias": {"5": -3}},
    "logit bias of a token that is none": {"logit_bias": {"999999": 5}},
    "logit bias 101": {"logit_bias": {"5": 101}},
    "logit bias of a word": {"logit_bias": {"word": 1}},
    "allowed tokens": {"allowed_token_ids": [5, 6, 7]},
    "allowed tokens that are none": {"allowed_token_ids": [999999]},
    "stop tokens": {"stop_token_ids": [5]},
    "stop tokens that are none": {"stop_token_ids": [999999]},
    "bad words": {"bad_words": ["the"]},
    "an empty bad word": {"bad_words": [""]},
    "priority": {"priority": 5},
    "length penalty": {"length_penalty": 2},
    "special tokens shown": {"skip_special_tokens": False},
    "the stop string shown": {"include_stop_str_in_output": True, "stop": ["e"]},
    "stream interval": {"stream_interval": 2},
    "a user": {"user": "me"},
    "metadata": {"metadata": {"a": "b"}, "store": False, "service_tier": "auto"},
}
CHAT_FIELDS: dict[str, Json] = {
    "completion tokens above the context": {"max_completion_tokens": 5000},
    "no completion tokens": {"max_completion_tokens": 0},
    "logprobs": {"logprobs": True},
    "top_logprobs 20": {"logprobs": True, "top_logprobs": 20},
    "top_logprobs 21": {"logprobs": True, "top_logprobs": 21},
    "top_logprobs -1": {"logprobs": True, "top_logprobs": -1},
    "top_logprobs alone": {"top_logprobs": 2},
    "top_logprobs 0 alone": {"top_logprobs": 0},
    "top_logprobs and false": {"logprobs": False, "top_logprobs": 2},
    "no tools": {"tools": []},
    "tool choice auto without tools": {"tool_choice": "auto"},
    "tool choice none without tools": {"tool_choice": "none"},
    "tool choice required without tools": {"tool_choice": "required"},
    "parallel without tools": {"parallel_tool_calls": True},
    "plain text asked for": {"response_format": {"type": "text"}},
    "JSON": {"response_format": {"type": "json_object"}},
    "a schema that is missing": {"response_format": {"type": "json_schema"}},
    "an unknown format": {"response_format": {"type": "yaml"}},
}
TEXT_FIELDS: dict[str, Json] = {
    **{f"logprobs {count}": {"logprobs": count} for count in (0, 5, 6, 20, 21, -1)},
    "logprobs true": {"logprobs": True},
}
FORMS: dict[str, Callable[[Gateway, str], Any]] = {
    "a list": lambda _, p: [p],
    "token ids": lambda g, p: g.backend.served.tokenizer(p)["input_ids"],
    "a list of token ids": lambda g, p: [g.backend.served.tokenizer(p)["input_ids"]],
    "spaces": lambda _, p: f"  {p}\n",
    "special tokens": lambda _, p: f"<|im_start|>user\n{p}<|im_end|>",
}


def chat_of(prompt: str, turns: Turns, fields: Json) -> Json:
    return {"model": MODEL, "messages": turns(prompt), "temperature": 0, "max_tokens": 2, **fields}


def text_of(prompt: Any, fields: Json) -> Json:
    return {"model": MODEL, "prompt": prompt, "temperature": 0, "max_tokens": 2, **fields}


def plain(prompt: str) -> list[Json]:
    return [user(prompt)]


def told(answer: httpx.Response) -> tuple[Any, ...]:
    """What a client learns of a request beside the words of the answer, numbers of tokens aside."""
    said = answer.json()
    if answer.status_code != 200:
        error = said["error"]
        return answer.status_code, words_of(error["message"]), error["type"], error["param"], error["code"]
    choices = said["choices"]
    logprobs = [choice["logprobs"] is not None for choice in choices]
    return 200, len(choices), logprobs


def differences(
    gateway: Gateway, path: str, body_of: Callable[[str], Json], plans: Iterable[str] = FLAGGED
) -> dict[str, Any]:
    """By plan, where the gateway's answer is told from the one to an unflagged request, or where it counts the prompt
    otherwise than vLLM does."""
    found: dict[str, Any] = {}
    expected = told(gateway.post(path, body_of(PROMPTS[path]["Pass"])))
    for plan in plans:
        body = body_of(PROMPTS[path][plan])
        answer = gateway.post(path, body)
        if told(answer) != expected:
            found[plan] = (told(answer), expected)
        elif answer.status_code == 200:
            direct = post(f"{gateway.direct}{path}", {**body, "max_tokens": 1})
            counts = [one.json()["usage"]["prompt_tokens"] for one in (answer, direct) if one.status_code == 200]
            if len(set(counts)) > 1:
                found[plan] = f"prompt tokens {counts}"
    return found


def shared(shapes: dict[str, Json]) -> list[Any]:
    """Each shape with two plans: the refusal, which no model judges, and one of the others in turn."""
    others = [plan for plan in FLAGGED if plan != "Refuse"]
    return [
        pytest.param(fields, ("Refuse", others[i % len(others)]), id=name)
        for i, (name, fields) in enumerate(shapes.items())
    ]


class TestChat:
    @pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
    def test_messages(self, vllm_gateway: Gateway, turns: Turns) -> None:
        assert differences(vllm_gateway, CHAT, lambda prompt: chat_of(prompt, turns, {})) == {}

    @pytest.mark.parametrize(("fields", "plans"), shared({**FIELDS, **CHAT_FIELDS}))
    def test_fields(self, vllm_gateway: Gateway, fields: Json, plans: tuple[str, ...]) -> None:
        assert differences(vllm_gateway, CHAT, lambda prompt: chat_of(prompt, plain, fields), plans) == {}


class TestCompletions:
    @pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
    def test_prompts(self, vllm_gateway: Gateway, form: Callable[[Gateway, str], Any]) -> None:
        assert differences(vllm_gateway, TEXT, lambda prompt: text_of(form(vllm_gateway, prompt), {})) == {}

    @pytest.mark.parametrize(("fields", "plans"), shared({**FIELDS, **TEXT_FIELDS}))
    def test_fields(self, vllm_gateway: Gateway, fields: Json, plans: tuple[str, ...]) -> None:
        assert differences(vllm_gateway, TEXT, lambda prompt: text_of(prompt, fields), plans) == {}
