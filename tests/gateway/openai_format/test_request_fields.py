"""Fields of a request: what asks for nothing is dropped, and the gate and an upstream read the same."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import LIMITS, TOKENIZER, USER, chat, chat_body, completion, raw

from gateway.errors import AnswerError, InvalidRequest
from gateway.openai_format.fields import DROPPED, ECHOED, READ, REFUSED, SAMPLING
from gateway.openai_format.requests import _Chat, _Completion, parse_chat, parse_completion

DOCS = Path(__file__).parents[3] / "docs/requests.md"


NOTHING: dict[str, Any] = {
    "metadata": None,
    "logit_bias": {},
    "functions": None,
    "function_call": None,
    "store": False,
    "service_tier": "auto",
    "modalities": ["text"],
    "audio": None,
    "response_format": {"type": "text"},
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "stop": [],
    "stream_options": {"continuous_usage_stats": None},
    "user": "",
    "n": None,
    "best_of": 1,
    "echo": False,
    "suffix": "",
    "prompt_embeds": None,
    "chat_template": None,
    "chat_template_kwargs": {},
    "documents": [],
    "add_generation_prompt": True,
    "continue_final_message": False,
    "guided_json": None,
    "use_beam_search": False,
    "return_token_ids": False,
    "bad_words": [],
    "top_k": None,
    "a_field_that_nobody_knows": None,
    "another": {},
}


@pytest.mark.parametrize("field", NOTHING)
@pytest.mark.parametrize("parse", [chat, completion])
def test_a_field_that_asks_for_nothing_is_dropped(parse: Any, field: str) -> None:
    plain, request = parse(), parse(**{field: NOTHING[field]})
    assert raw(request) == raw(plain)
    assert (request.sampling, request.carries, request.side_texts) == (plain.sampling, frozenset(), ())


def test_all_of_it_at_once_is_a_plain_request() -> None:
    assert raw(chat(**NOTHING)) == {"model": "m", "messages": USER}


@pytest.mark.parametrize("field", DROPPED)
def test_book_keeping_ends_at_the_gateway(field: str) -> None:
    assert raw(chat(**{field: {"about": "Harry Potter"}})) == raw(chat())


def test_nothing_is_compared_as_json_has_it() -> None:
    """In Python 1 is True and 0 is False."""
    for fields in ({"store": 0}, {"add_generation_prompt": 1}, {"best_of": True}, {"echo": 0}):
        with pytest.raises(InvalidRequest):
            chat(**fields)


def test_a_body_that_loses_nothing_is_kept_byte_for_byte() -> None:
    body = (
        b'{ "messages": [{"role": "assistant", "content": null, "name": "A"}], "top_k": 5, "model": "m", "stop": "a"}'
    )
    assert chat_body(body).raw == body


def test_the_rest_of_a_body_is_kept_as_it_was() -> None:
    body = (
        '{"seed": 12345678901234567, "metadata": null, "temperature": 0.10, '
        '"messages": [{"role": "user", "content": "Zoë 🙂"}], "model": "m"}'
    )
    assert raw(chat_body(body.encode())) == {
        "seed": 12345678901234567,
        "temperature": 0.1,
        "messages": [{"role": "user", "content": "Zoë 🙂"}],
        "model": "m",
    }


@pytest.mark.parametrize(
    ("options", "left", "counted"),
    [
        ({"include_usage": True}, {"include_usage": True}, True),
        ({"include_usage": True, "continuous_usage_stats": True}, {"include_usage": True}, True),
        ({"include_usage": True, "continuous_usage_stats": False}, {"include_usage": True}, True),
        ({"include_usage": None, "include_obfuscation": False}, None, False),
        ({"continuous_usage_stats": True}, None, False),
        ({}, None, False),
        (None, None, False),
    ],
)
def test_stream_options(options: Any, left: Any, counted: bool) -> None:
    request = chat(stream=True, stream_options=options)
    assert raw(request).get("stream_options") == left
    assert request.include_usage is counted


def test_an_empty_stop_string_reaches_no_upstream() -> None:
    request = chat(stop=["", "end", ""])
    assert request.sampling.stop == ("end",)
    assert raw(request)["stop"] == ["end"]
    assert "stop" not in raw(chat(stop=[""]))


def test_options_of_tools_without_tools() -> None:
    for fields in ({"tool_choice": "none"}, {"tool_choice": "auto"}, {"parallel_tool_calls": False, "tools": None}):
        assert raw(chat(**fields)) == raw(chat())
    assert chat(tool_choice="required").carries == {"tool_choice"}


def test_top_logprobs_of_none() -> None:
    assert chat(top_logprobs=0).sampling == chat().sampling
    assert chat(top_logprobs=0, logprobs=True).sampling.logprobs == 0


VALUES: dict[str, Any] = {
    "top_k": 5,
    "min_p": 0.1,
    "repetition_penalty": 1.2,
    "length_penalty": 1.0,
    "logit_bias": {"12": -5, "7": 2.5},
    "allowed_token_ids": [1, 2],
    "bad_words": ["dull"],
    "stop_token_ids": [3],
    "include_stop_str_in_output": True,
    "ignore_eos": True,
    "min_tokens": 2,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "priority": 0,
    "stream_interval": 2,
}


@pytest.mark.parametrize("parse", [chat, completion])
def test_ways_to_choose_tokens_go_on(parse: Any) -> None:
    assert set(VALUES) == set(SAMPLING)
    request = parse(**VALUES)
    assert dict(request.sampling.extra) == VALUES
    assert raw(request).items() >= VALUES.items()
    assert request.carries == frozenset()


@pytest.mark.parametrize("field", REFUSED)
@pytest.mark.parametrize("parse", [chat, completion])
def test_a_field_that_reaches_the_engine_unread_is_refused_with_a_reason(parse: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(**{field: "Harry Potter"})
    assert error.value.param == field
    assert error.value.code == "unsupported_parameter"
    assert REFUSED[field] in error.value.message
    assert "Potter" not in error.value.message


@pytest.mark.parametrize("parse", [chat, completion])
@pytest.mark.parametrize("stream", [None, False])
def test_stream_options_without_a_stream_are_refused(parse: Any, stream: bool | None) -> None:
    with pytest.raises(InvalidRequest, match="stream=True") as error:
        parse(stream=stream, stream_options={"include_usage": True})
    assert error.value.param == "stream_options"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "auto", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type", "x"]), inner),
    max_leaves=6,
)
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.sampled_from(["", "a", "b"])}), max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "developer"]),
            "content": st.none() | st.text(max_size=3) | PARTS,
        },
        optional=dict.fromkeys((*ECHOED, "name", "tool_calls", "prefix"), JSON),
    ),
    min_size=1,
    max_size=3,
)
ANY_FIELD = st.sampled_from([*READ["chat"][1:], *SAMPLING, *REFUSED, *DROPPED, "unknown"])


@given(MESSAGES, st.dictionaries(ANY_FIELD, JSON, max_size=4))
def test_the_gate_and_an_upstream_read_the_same(messages: Any, fields: dict[str, Any]) -> None:
    """What goes on is read as it was read here, and nothing more is dropped from it."""
    body = json.dumps({"model": "m", **fields, "messages": messages}).encode()
    try:
        request = parse_chat(body, request_id="7", limits=LIMITS, unknown="drop")
    except AnswerError:
        return
    again = parse_chat(request.raw, request_id="7", limits=LIMITS)
    assert again == request


def test_unknown_fields_can_be_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    fields = {
        "min_tokns": 3,
        "Tell me of Harry Potter!": "Harry Potter",
        "messages": [{**USER[0], "mood": "Harry Potter"}],
        "stream": True,
        "stream_options": {"pace": "Harry Potter"},
    }
    body = json.dumps({"model": "m", **fields}).encode()
    with caplog.at_level(logging.WARNING, "unrecall.requests"):
        request = parse_chat(body, request_id="7", limits=LIMITS, unknown="drop")
    assert raw(request) == {"model": "m", "messages": USER, "stream": True}
    assert "Potter" not in caplog.text
    for name in ("min_tokns", "messages[0].mood", "stream_options.pace"):
        assert name in caplog.text


def test_a_refused_field_is_refused_although_unknown_fields_are_dropped() -> None:
    body = json.dumps({"model": "m", "prompt": "a", "prompt_embeds": "AA"}).encode()
    with pytest.raises(InvalidRequest, match="prompt_embeds"):
        parse_completion(
            body, request_id="7", limits=LIMITS, tokenizer=TOKENIZER, vocabulary=len(TOKENIZER), unknown="drop"
        )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": "Who?"}, "messages: must be a list, got text"),
        ({"messages": {}}, "messages: must be a list, got an object"),
        ({"messages": None}, "messages: is missing"),
        ({"messages": []}, "messages: must not be empty"),
        ({"messages": ["Who?"]}, "messages[0]: must be an object, got text"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content: must be text or a list, got 3"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content: must be text or a list, got an object"),
        ({"messages": [{"content": "a"}]}, "messages[0].role: is missing"),
        ({"messages": [{"role": 5, "content": "a"}]}, "messages[0].role: must be 'system'"),
        ({"max_tokens": "5"}, "max_tokens: must be a whole number, got text"),
        ({"max_tokens": 2.5}, "max_tokens: must be a whole number, got 2.5"),
        ({"n": True}, "n: must be a whole number, got true"),
        ({"n": 0}, "n: must be at least 1, got 0"),
        ({"temperature": 2.5}, "temperature: must be at most 2, got 2.5"),
        ({"top_p": -0.5}, "top_p: must be more than 0, got -0.5"),
        ({"top_k": 2**31}, "top_k: must be less than 2147483648, got 2147483648"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs: must be at most 20, got 21"),
        ({"stop_token_ids": [1, 2.5]}, "stop_token_ids[1]: must be a whole number, got 2.5"),
        ({"logit_bias": {"5": 101}}, "logit_bias: must be at most 100, got 101"),
        ({"logit_bias": {"abc": 5}}, "logit_bias.abc: a key must be a token id, a whole number of at most 10 digits"),
        ({"logit_bias": {"-1": 5}}, "logit_bias: a key must be a token id, a whole number of at most 10 digits"),
        ({"temperature": "hot"}, "temperature: must be a number, got text"),
        ({"temperature": False}, "temperature: must be a number, got false"),
        ({"stream": "yes"}, "stream: must be true or false, got text"),
        ({"stop": 3}, "stop: must be text or a list, got 3"),
        ({"stop": ["a", 3]}, "stop[1]: must be text, got 3"),
        ({"model": 3}, "model: must be text, got 3"),
        ({"tools": {}}, "tools: must be a list, got an object"),
        ({"tools": ["weather"]}, "tools[0]: must be an object, got text"),
        ({"stream_options": True}, "stream_options: must be an object, got true"),
        ({"logit_bias": [1]}, "logit_bias: must be an object, got a list"),
        ({"top_k": 1.5}, "top_k: must be a whole number, got 1.5"),
        ({"user": 3}, "user: must be text, got 3"),
    ],
)
def test_wrong_types_are_named_truly(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        chat(**fields)
    assert error.value.message.startswith(words)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (3, "prompt: must be text or a list, got 3"),
        (True, "prompt: must be text or a list, got true"),
        (None, "prompt: is missing"),
        ({"a": 1}, "prompt: must be text or a list, got an object"),
    ],
)
def test_wrong_types_of_prompts_are_named_truly(prompt: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        completion(prompt=prompt)
    assert error.value.message == words


def test_the_tables_and_the_parser_have_the_same_fields() -> None:
    assert {*READ["chat"], *SAMPLING} == set(_Chat.model_fields)
    assert {*READ["completions"], *SAMPLING} == set(_Completion.model_fields)
    assert not {*REFUSED, *DROPPED} & {*READ["chat"], *READ["completions"], *SAMPLING}


def test_the_page_names_every_field() -> None:
    """docs/requests.md: one table a treatment, each with exactly the fields that get it."""
    page = DOCS.read_text(encoding="utf-8")
    sections = dict(part.split("\n", 1) for part in page.split("\n## ")[1:])
    expected = {
        "Read and screened": {*READ["chat"], *READ["completions"]},
        "Passed on": set(SAMPLING),
        "Dropped": {*DROPPED, *ECHOED},
        "Refused": set(REFUSED),
    }
    for title, names in expected.items():
        rows = [line.split("|")[1] for line in sections[title].splitlines() if line.startswith("| `")]
        assert sorted(name.strip(" `") for row in rows for name in row.split(",")) == sorted(names), title
    for why in REFUSED.values():
        assert why in sections["Refused"]
