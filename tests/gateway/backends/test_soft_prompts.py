"""Soft prompts on the vLLM backend: virtual tokens travel in front of the prompt's embeddings."""

import pytest
import torch
from stub_plans import soft
from stub_vllm import CONTEXT, TOKENIZER, StubVllm, embeddings_of, generated, request_of, text_of

from gateway.core import DEFAULT_REFUSAL, Endpoint, Sampling, Usage
from gateway.prompts.rendering import count_tokens

PROMPT_TOKENS = count_tokens(TOKENIZER, request_of())


@pytest.mark.parametrize("stream", [False, True])
def test_stand_in_front_and_leave_no_trace_in_the_usage(stream: bool) -> None:
    stub = StubVllm()
    chunks = generated(stub, request_of(stream=stream), soft(3))
    sent = embeddings_of(stub.bodies[0])
    assert len(sent) == 3 + PROMPT_TOKENS
    assert torch.equal(sent[:3], torch.ones(3, 8))
    assert text_of(chunks) == "Ada was"
    assert chunks[-1] == Usage(PROMPT_TOKENS, 2)


@pytest.mark.parametrize(
    ("asked", "endpoint", "tokens", "sent"),
    [
        (2, "chat", 3, 2),
        (CONTEXT - PROMPT_TOKENS, "chat", 3, CONTEXT - PROMPT_TOKENS - 3),
        (None, "chat", 3, CONTEXT - PROMPT_TOKENS - 3),
        (None, "completions", 3, None),
        (None, "completions", CONTEXT - 10, 7),  # the prompt has three tokens; vLLM's default would be 16
    ],
)
def test_take_their_room_from_the_answer(asked: int | None, endpoint: Endpoint, tokens: int, sent: int | None) -> None:
    stub = StubVllm()
    generated(stub, request_of(endpoint=endpoint, sampling=Sampling(max_tokens=asked)), soft(tokens))
    assert stub.bodies[0].get("max_tokens") == sent


@pytest.mark.parametrize(
    ("stub", "tokens", "hidden"),
    [
        (StubVllm(), CONTEXT - PROMPT_TOKENS, 8),  # no room for an answer
        (StubVllm(), 3, 9),  # of another model
        (StubVllm(embeds=False), 3, 8),
    ],
)
def test_a_soft_prompt_that_cannot_be_served_is_refused(stub: StubVllm, tokens: int, hidden: int) -> None:
    answer = generated(stub, request_of(sampling=Sampling()), soft(tokens, hidden=hidden))
    assert text_of(answer) == DEFAULT_REFUSAL
    assert stub.requests == []
