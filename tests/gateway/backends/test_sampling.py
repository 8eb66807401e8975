"""How the embedded backend chooses tokens, what it says of ways that it does not have, and that vLLM gets them all."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest
import torch
from stub_vllm import request_of
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.backends.embedded.sampling import Sampler, unsupported
from gateway.backends.vllm.bodies import embedded_body
from gateway.core import Instruct, Message, Request, Sampling, Usage

LOGITS = torch.tensor([2.0, 1.9, 1.0, 0.0, -3.0])
END = frozenset({0})


def picks(*, prompt: tuple[int, ...] = (), written: tuple[int, ...] = (), draws: int = 400, **extra: Any) -> set[int]:
    """Every token that is chosen in many draws."""
    rng = torch.Generator().manual_seed(0)
    sampler = Sampler.of(Sampling(temperature=1.5, extra=tuple(extra.items())), END)
    before = LOGITS.clone()
    found = Counter(sampler.pick(LOGITS, rng, prompt=prompt, written=written) for _ in range(draws))
    assert torch.equal(LOGITS, before), "logits are shared with the log-probabilities"
    return set(found)


def greedy(*, prompt: tuple[int, ...] = (), written: tuple[int, ...] = (), **extra: Any) -> int:
    sampler = Sampler.of(Sampling(temperature=0, extra=tuple(extra.items())), END)
    return sampler.pick(LOGITS, torch.Generator(), prompt=prompt, written=written)


def test_every_token_can_be_chosen_where_nothing_is_asked() -> None:
    assert picks() == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("tiny", [5e-324, 1e-40, 1e-12])
def test_values_near_nothing_still_give_a_token(tiny: float) -> None:
    assert picks(repetition_penalty=tiny, min_tokens=1, written=(1, 2), draws=5) <= set(range(5))
    sampler = Sampler.of(Sampling(temperature=tiny, top_p=tiny, extra=(("min_p", tiny),)), END)
    assert sampler.pick(LOGITS, torch.Generator(), prompt=(), written=()) == 0


@pytest.mark.parametrize(("top_k", "chosen"), [(1, {0}), (2, {0, 1}), (99, {0, 1, 2, 3, 4}), (-1, {0, 1, 2, 3, 4})])
def test_top_k(top_k: int, chosen: set[int]) -> None:
    assert picks(top_k=top_k) == chosen


def test_top_k_of_equally_likely_tokens_is_the_greedy_choice() -> None:
    sampler = Sampler.of(Sampling(temperature=1.9, extra=(("top_k", 1),)), END)
    rng = torch.Generator().manual_seed(0)
    assert {sampler.pick(torch.tensor([0.0, 2.0, 2.0, 2.0]), rng, prompt=(), written=()) for _ in range(50)} == {1}


def test_min_p() -> None:
    assert picks(min_p=0.9) == {0, 1}
    assert picks(min_p=1.0) == {0}
    assert picks(min_p=0.0) == {0, 1, 2, 3, 4}


def test_the_repetition_penalty_counts_the_prompt_and_the_answer() -> None:
    assert greedy(repetition_penalty=1.2) == 0
    assert greedy(repetition_penalty=1.2, prompt=(0,)) == 1
    assert greedy(repetition_penalty=1.2, written=(0,)) == 1
    assert greedy(repetition_penalty=1.01, written=(0,)) == 0


def test_logit_bias() -> None:
    assert greedy(logit_bias={"2": 5}) == 2
    assert greedy(logit_bias={"0": -100, "1": -100}) == 2


def test_min_tokens_keeps_an_answer_from_ending() -> None:
    assert greedy(min_tokens=2, written=(3,)) == 1
    assert greedy(min_tokens=2, written=(3, 3)) == 0
    assert greedy(min_tokens=1, stop_token_ids=[1, 10**6]) == 2


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"bad_words": ("a",)}, "bad_words"),
        ({"allowed_token_ids": [1]}, "allowed_token_ids"),
        ({"include_stop_str_in_output": True}, "include_stop_str_in_output"),
        ({"include_stop_str_in_output": False}, None),
        ({"skip_special_tokens": False}, "skip_special_tokens"),
        ({"skip_special_tokens": True}, None),
        ({"priority": 3, "length_penalty": 2.0, "stream_interval": 4, "spaces_between_special_tokens": False}, None),
        ({"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.1, "ignore_eos": True}, None),
    ],
)
def test_a_field_that_would_change_the_answer_is_named(extra: dict[str, Any], field: str | None) -> None:
    assert unsupported(Sampling(extra=tuple(extra.items()))) == field


def test_penalties_are_named_unless_they_are_zero() -> None:
    assert unsupported(Sampling(presence_penalty=0.5)) == "presence_penalty"
    assert unsupported(Sampling(frequency_penalty=0.0)) is None


def test_a_flagged_request_carries_them_to_vllm() -> None:
    extra = {"top_k": 3, "logit_bias": {"5": -2.0}, "stop_token_ids": [7], "bad_words": ["a"], "ignore_eos": True}
    request = request_of(sampling=Sampling(max_tokens=2, extra=tuple(extra.items())))
    body = orjson.loads(embedded_body(request, torch.zeros(3, 8), 64))
    assert body.items() >= extra.items()


@pytest.mark.parametrize(("endpoint", "asked", "most"), [("chat", None, 20), ("completions", 16, 16), ("chat", 19, 19)])
def test_an_answer_that_goes_on_keeps_to_its_length(endpoint: Any, asked: int | None, most: int) -> None:
    """What is written already counts; a limit of the request is told without it (see OutputScreen)."""
    backend = EmbeddedBackend(tiny_model(), name="tiny", default_tokens=20)
    written = "They live in a wood"
    sent = len(backend.served.tokenizer(written, add_special_tokens=False)["input_ids"])
    messages = (Message("user" if endpoint == "chat" else "prompt", "Where?"),)
    sampling = Sampling(max_tokens=asked and asked - sent, temperature=0, extra=(("ignore_eos", True),))
    request = Request("7", endpoint, "tiny", messages, sampling, written=written)

    async def used() -> int:
        async with backend:
            events = [event async for event in backend.generate(request, Instruct("Be kind."))]
        (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
        return usage.completion_tokens

    assert sent + asyncio.run(used()) == most
