"""Bodies that are too much, and bodies that are nonsense."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsing import USER, chat, chat_body, completion, completion_body

from gateway.errors import AnswerError, InvalidRequest, TooLarge
from gateway.openai_format.limits import Limits

SMALL = Limits(messages=2, prompt_chars=256, output_tokens=10, choices=2)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"n": 3}, "n", "limit is 2"),
        ({"n": 2**63}, "n", "limit is 2"),
        ({"max_tokens": 11}, "max_tokens", "limit is 10"),
        ({"max_completion_tokens": 10**18}, "max_tokens", "limit is 10"),
        ({"messages": USER * 3}, "messages", "limit is 2"),
        ({"messages": [{"role": "user", "content": "x" * 257}]}, "messages", "limit is 256"),
        ({"tools": [{"description": "x" * 257}]}, "messages", "limit is 256"),
    ],
)
def test_over_a_limit(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(TooLarge, match=words) as error:
        chat(SMALL, **fields)
    assert (error.value.param, error.value.status) == (param, 413)


def test_on_the_limit_is_within_it() -> None:
    chat(SMALL, n=2, max_tokens=10, messages=[{"role": "user", "content": "x" * 128}] * 2)
    completion(SMALL, prompt="x" * 256)
    with pytest.raises(TooLarge):
        completion(SMALL, prompt="x" * 257)


def test_logprobs_can_be_kept_from_all() -> None:
    """Whether or not a request is flagged: the body alone decides."""
    without = Limits(logprobs=False)
    for fields in ({"logprobs": True}, {"logprobs": True, "top_logprobs": 3}):
        with pytest.raises(InvalidRequest, match="gives no logprobs"):
            chat(without, **fields)
    with pytest.raises(InvalidRequest, match="gives no logprobs"):
        completion(without, logprobs=0)
    assert chat(without, logprobs=False).sampling.logprobs is None
    assert completion(without).sampling.logprobs is None


def test_errors_have_openai_s_shape() -> None:
    with pytest.raises(AnswerError) as error:
        chat(n=0)
    assert error.value.body() == {
        "error": {"message": error.value.message, "type": "invalid_request_error", "param": "n", "code": None}
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    "model messages prompt n stop seed temperature top_p max_tokens logprobs top_logprobs tools tool_choice stream "
    "stream_options response_format user x".split()
)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_answer_error_or_a_request(body: bytes) -> None:
    for parse in (chat_body, completion_body):
        with pytest.raises(AnswerError):
            parse(body)


@given(st.dictionaries(FIELDS, JSON, max_size=5))
def test_arbitrary_json_is_an_answer_error_or_a_request(fields: dict[str, Any]) -> None:
    for parse in (chat, completion):
        try:
            request = parse(**fields)
        except AnswerError as error:
            assert error.message  # noqa: PT017
        else:
            assert request.sampling.n >= 1
