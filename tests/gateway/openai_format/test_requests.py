"""JSON in: every field that is let in, and the door shut on everything else."""

import bisect
from typing import Any

import pytest
from parsing import TOKENIZER, USER, chat, chat_body, completion, completion_body

from gateway.core import Message, Sampling
from gateway.errors import InvalidRequest

SAMPLING = {
    "n": 2,
    "stop": ["a", "", "b"],
    "seed": -5,
    "temperature": 0,
    "top_p": 0.5,
    "frequency_penalty": -2,
    "presence_penalty": 1.5,
}
PARSED = {
    "n": 2,
    "stop": ("a", "b"),
    "seed": -5,
    "temperature": 0.0,
    "top_p": 0.5,
    "frequency_penalty": -2.0,
    "presence_penalty": 1.5,
}


def test_every_field_of_a_chat() -> None:
    request = chat(
        **SAMPLING,
        max_tokens=9,
        logprobs=True,
        top_logprobs=3,
        stream=True,
        stream_options={"include_usage": True},
        user="someone",
    )
    assert request.sampling == Sampling(**PARSED, max_tokens=9, logprobs=3)
    assert (request.id, request.endpoint, request.model) == ("7", "chat", "m")
    assert (request.stream, request.include_usage) == (True, True)
    assert request.messages == (Message("user", "Who?"),)
    assert request.carries == frozenset()
    assert request.side_texts == ()


def test_every_field_of_a_completion() -> None:
    request = completion(
        **SAMPLING, max_tokens=9, logprobs=0, stream=True, stream_options={"include_usage": False}, user="someone"
    )
    assert request.sampling == Sampling(**PARSED, max_tokens=9, logprobs=0)
    assert (request.endpoint, request.stream, request.include_usage) == ("completions", True, False)
    assert request.messages == (Message("prompt", "Once"),)


def test_a_field_that_is_missing_or_null_is_the_backend_s_choice() -> None:
    nothing = dict.fromkeys(("n", "stop", "seed", "temperature", "max_tokens", "tools", "logprobs", "stream"))
    assert chat().sampling == chat(**nothing).sampling == Sampling()
    assert completion().sampling == Sampling()
    assert not chat().stream


def test_the_newer_name_of_max_tokens() -> None:
    assert chat(max_completion_tokens=5).sampling.max_tokens == 5
    assert chat(max_completion_tokens=5, max_tokens=9).sampling.max_tokens == 5


@pytest.mark.parametrize(("logprobs", "top", "parsed"), [(True, None, 0), (True, 4, 4), (False, None, None)])
def test_logprobs_of_a_chat(logprobs: bool, top: int | None, parsed: int | None) -> None:
    assert chat(logprobs=logprobs, top_logprobs=top).sampling.logprobs == parsed


def test_contents_as_templates_see_them() -> None:
    request = chat(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": None},
            {"role": "assistant"},
            {"role": "developer", "content": "  x "},
        ]
    )
    assert [message.text for message in request.messages] == ["Be kind.", "one\ntwo", "", "", "  x "]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "assistant", "developer"]


def test_the_body_is_kept_as_it_came() -> None:
    body = b' {"messages":[{"content":"Who?","role":"user"}],\n"model" : "m"}'
    assert chat_body(body).raw == body


TOOL = {
    "type": "function",
    "function": {
        "name": "find_lion",
        "description": "Finds Aslan",
        "parameters": {"properties": {"wardrobe": {"enum": ["Narnia", 3]}}},
    },
}


@pytest.mark.parametrize(
    ("fields", "carries"),
    [
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set()),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools", "tool_choice"}),
        ({"tool_choice": "required"}, {"tool_choice"}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools", "parallel_tool_calls"}),
        ({"response_format": {"type": "json_object"}}, {"response_format"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"messages": [{"role": "tool", "content": "4", "tool_call_id": "x"}]}, {"tools"}),
    ],
)
def test_features_that_not_every_plan_can_carry(fields: dict[str, Any], carries: set[str]) -> None:
    assert chat(**fields).carries == carries


def test_every_text_beside_the_messages_is_screened() -> None:
    request = chat(
        messages=[
            {"role": "user", "content": "Who?", "name": "Digory"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "go", "arguments": '{"to": "Archenland"}'}}
                ],
            },
            {"role": "tool", "content": "done", "tool_call_id": "Jadis"},
        ],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "call_Rilian"}},
        response_format={"type": "json_schema", "json_schema": {"name": "Shasta", "schema": {"title": "Bree"}}},
    )
    side = "\n".join(request.side_texts)
    for word in "Digory go Archenland Jadis find_lion Aslan wardrobe Narnia call_Rilian Shasta Bree".split():
        assert word in side, word
    assert request.carries == {"tools", "tool_choice", "response_format"}


@pytest.mark.parametrize("choice", [None, "auto", "none", "required"])
def test_definitions_of_tools_call_a_plan_where_the_model_must_fill_them_in(choice: str | None) -> None:
    request = chat(tools=[TOOL], **({"tool_choice": choice} if choice else {}))
    forced = choice == "required"
    assert ("Aslan" in " ".join(request.side_texts)) == forced
    assert ("Aslan" in " ".join(request.definitions)) == (not forced)


@pytest.mark.parametrize(
    "field",
    [
        "prompt_embeds",
        "suffix",
        "echo",
        "chat_template",
        "chat_template_kwargs",
        "documents",
        "add_generation_prompt",
        "functions",
        "logprob_token_ids",
        "prompt_logprobs",
        "extra-body",
        "str",
        "naïve.x",
        "",
    ],
)
@pytest.mark.parametrize("parse", [chat, completion])
def test_an_unknown_field_is_refused_by_name(parse: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse(**{field: 1})
    assert repr(field) in error.value.message
    assert error.value.param == field
    assert error.value.code == "unsupported_parameter"
    assert error.value.status == 400


@pytest.mark.parametrize("field", ["prompt", "max_length", "Messages"])
def test_a_chat_knows_no_field_of_other_endpoints(field: str) -> None:
    with pytest.raises(InvalidRequest, match="not supported"):
        chat(**{field: "x"})


def test_an_unknown_field_inside_a_message_is_named_with_its_place() -> None:
    with pytest.raises(InvalidRequest) as error:
        chat(messages=[USER[0], {"role": "user", "content": "x", "prefix": True}])
    assert error.value.param == "messages[1].prefix"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "file", "file": {"file_id": "x"}},
    ],
)
def test_parts_that_are_no_text_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="only text content can be screened"):
        chat(messages=[{"role": "user", "content": [{"type": "text", "text": "x"}, part]}])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": 3}, "model"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "Who?"}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"n": 1.5}, "n"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"stop": 3}, "stop"),
        ({"stop": [3]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 2, "logprobs": False}, "top_logprobs"),
        ({"tools": {}}, "tools"),
        ({"logit_bias": 1}, "logit_bias"),
        ({"logit_bias": {"Potter": 1}}, "logit_bias.Potter"),
        ({"logit_bias": {"5": "Potter"}}, "logit_bias"),
        ({"top_k": "5"}, "top_k"),
        ({"stop_token_ids": ["Potter"]}, "stop_token_ids[0]"),
        ({"bad_words": "Potter"}, "bad_words"),
        ({"ignore_eos": 1}, "ignore_eos"),
    ],
)
def test_a_wrong_value_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        chat(**fields)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not UTF-8: byte 0"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"model": "m", "model": "m"}', "the key 'model' stands twice"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "a", "content": "b"}]}', "twice"),
        (b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800"}]}', "surrogate"),
        (b'{"model": "m", "messages": [], "\\udfff": 1}', "surrogate"),
        (b'{"temperature": NaN}', "NaN"),
        (b'{"temperature": -Infinity}', "-Infinity"),
        (b'{"temperature": 1e999, "model": "m", "messages": [{"role": "user", "content": "a"}]}', "temperature"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "the body holds too large a number"),
    ],
)
def test_a_body_that_is_no_plain_json_object(body: bytes, words: str) -> None:
    for parse in (chat_body, completion_body):
        if words == "temperature" and parse is completion_body:
            continue
        with pytest.raises(InvalidRequest, match=words):
            parse(body)


@pytest.mark.parametrize("number", ["1e999", "-1e309", "1" * 18 + "e300", "1" + "0" * 400, "18446744073709551616"])
def test_a_number_that_readers_take_for_different_ones_is_refused_with_its_place(number: str) -> None:
    """Python's reader takes them all; the one that writes the body of a flagged request does not."""
    tools = f'[{{"type": "function", "function": {{"name": "f", "parameters": {{"maximum": {number}}}}}}}]'
    said = f'{{"model": "m", "messages": [{{"role": "user", "content": "x"}}], "tools": {tools}}}'
    with pytest.raises(InvalidRequest, match="too large a number") as error:
        chat_body(said.encode())
    assert error.value.param == "tools[0].function.parameters.maximum"
    assert "Python" not in str(error.value)
    assert chat_body(said.replace(number, "18446744073709551615").encode()).carries == {"tools"}
    assert chat_body(said.replace(number, f'"{number * 9}"').encode()), "as a text it is one"


def parses_at_depth(depth: int) -> bool:
    deep = '{"a":' * depth + '"Narnia"' + "}" * depth
    body = f'{{"model": "m", "messages": [{{"role": "user", "content": "x"}}], "response_format": {deep}}}'
    try:
        request = chat_body(body.encode())
    except InvalidRequest as error:
        assert "nested too deeply" in error.message  # noqa: PT017 (either outcome is right)
        return False
    assert "Narnia" in request.side_texts[0]
    return True


def test_deep_nesting_is_parsed_or_refused() -> None:
    """Nothing that the parser lets through may break what reads it afterwards: look closely where it gives up."""
    edge = bisect.bisect_left(range(50, 5_000), True, key=lambda depth: not parses_at_depth(depth)) + 50
    assert 50 < edge < 5_000
    outcomes = [parses_at_depth(depth) for depth in range(edge - 25, edge + 25)]
    assert outcomes == sorted(outcomes, reverse=True)


def test_prompts_of_a_completion() -> None:
    ids = TOKENIZER("Who is Harry Potter?")["input_ids"]
    for prompt in ("Who is Harry Potter?", ["Who is Harry Potter?"], ids, [ids]):
        assert completion(prompt=prompt).messages == (Message("prompt", "Who is Harry Potter?"),)


@pytest.mark.parametrize("prompt", ["", [], [""], [[]]])
def test_an_empty_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest, match="empty") as error:
        completion(prompt=prompt)
    assert error.value.param == "prompt"


@pytest.mark.parametrize("prompt", [["a", "b"], [[1, 2], [3]]])
def test_several_prompts_are_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest, match="several prompts"):
        completion(prompt=prompt)


@pytest.mark.parametrize("prompt", [None, 3, {"a": 1}, ["a", 1], [1, "a"], [True], [1.5], [["a"]], [[1], "a"]])
def test_a_prompt_of_another_type_is_refused(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        completion(prompt=prompt)
    assert str(error.value.param).startswith("prompt")


@pytest.mark.parametrize("token", [-1, len(TOKENIZER), 2**63])
def test_a_token_id_out_of_range_is_named(token: int) -> None:
    with pytest.raises(InvalidRequest, match=f"token id {token} "):
        completion(prompt=[1, token])
