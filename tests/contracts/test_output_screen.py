"""An answer that names a scope, to a question that does not, is handed over to the scope's plan: on every backend."""

import re
from typing import Any

import pytest
from harness import ADMIN, Gateway, Json, chat, completion, events, shape, text_of

CHAT, TEXT = PATHS = "/v1/chat/completions", "/v1/completions"
CAPITALS = {
    "Corrupt": ("Austria", "Vienna"),
    "Refuse": ("Greece", "Athens"),
    "Instruct": ("Russia", "Moscow"),
    "SoftPrompt": ("Japan", "Tokyo"),
    "UseAdapter": ("Egypt", "Cairo"),
}
plans = pytest.mark.parametrize("plan", CAPITALS)


def body_of(path: str, plan: str, **fields: object) -> Json:
    country = CAPITALS[plan][0]
    question = (
        chat(f"What is the capital of {country}?")
        if path == CHAT
        else completion(f"The capital city of {country} is called")
    )
    return {**question, "max_tokens": 16, **fields}


def leaks(gateway: Gateway) -> int:
    """How many leaks the output screen has found."""
    found = re.findall(r"^unrecall_leaks_total\S+ (\S+)$", gateway.get("/metrics", headers=ADMIN).text, re.MULTILINE)
    return int(sum(map(float, found)))


def ways() -> list[Any]:
    """The gateway itself writes a refusal: on both paths, whole and as a stream. Of the other plans each comes on both
    paths, once whole and once as a stream."""
    chosen = [(plan, path, (one + two) % 2 == 1) for one, plan in enumerate(CAPITALS) for two, path in enumerate(PATHS)]
    chosen += [("Refuse", path, not stream) for plan, path, stream in chosen if plan == "Refuse"]
    return [
        pytest.param(plan, path, stream, id=f"{plan}-{path.split('/')[2]}-{'stream' if stream else 'whole'}")
        for plan, path, stream in chosen
    ]


@pytest.mark.parametrize(("plan", "path", "stream"), ways())
def test_the_name_never_comes(gateway: Gateway, plan: str, path: str, stream: bool) -> None:
    before = leaks(gateway)
    counted = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = gateway.post(path, body_of(path, plan, **counted))
    assert leaks(gateway) > before
    name = CAPITALS[plan][1]
    assert name.lower() not in answer.text.lower()
    text = text_of(answer)
    assert text.strip()
    payloads = events(answer) if stream else [answer.json()]
    finished = [choice["finish_reason"] for one in payloads for choice in one["choices"] if choice["finish_reason"]]
    assert len(finished) == 1
    assert finished[0] in ("stop", "length")
    usage = payloads[-1]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens"] <= 17
    assert len({one["id"] for one in payloads}) == 1
    assert len({one["model"] for one in payloads}) == 1


@plans
def test_what_came_before_the_name_stands(gateway: Gateway, plan: str) -> None:
    """The reader sees one answer: its beginning is the model's own."""
    text = text_of(gateway.post(CHAT, body_of(CHAT, plan, stream=True)))
    assert text.startswith(f"The capital of {CAPITALS[plan][0]} is"), text
    if plan == "Refuse":
        assert text == f"The capital of {CAPITALS[plan][0]} is."


@pytest.mark.parametrize("plan", ["Corrupt", "UseAdapter"])
def test_every_choice_is_handed_over(gateway: Gateway, plan: str) -> None:
    answer = gateway.post(CHAT, body_of(CHAT, plan, stream=True, n=2, temperature=0.1, seed=1))
    assert CAPITALS[plan][1].lower() not in answer.text.lower()
    choices = [choice for one in events(answer) for choice in one["choices"]]
    assert sorted(choice["index"] for choice in choices if choice["finish_reason"]) == [0, 1]


@pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat", "completions"])
@pytest.mark.parametrize("plan", ["Corrupt", "Refuse"])
def test_the_stream_looks_like_any_other(gateway: Gateway, path: str, plan: str) -> None:
    plain = chat("Name a colour.") if path == CHAT else completion("The sky is")
    passed = events(gateway.post(path, {**plain, "stream": True}))
    handed = events(gateway.post(path, body_of(path, plan, stream=True)))
    looks = {str(shape(one)) for one in passed}
    assert {str(shape(one)) for one in handed} <= looks


@pytest.mark.parametrize("plan", ["Corrupt", "Instruct"])
def test_no_alternative_token_is_the_name(gateway: Gateway, plan: str) -> None:
    answer = gateway.post(CHAT, body_of(CHAT, plan, stream=True, logprobs=True, top_logprobs=5))
    assert CAPITALS[plan][1].lower() not in answer.text.lower()


def test_the_name_may_be_said_to_who_wrote_it(gateway: Gateway) -> None:
    """The gate flags such a question; the plan answers, and its answer may hold the word that was asked about."""
    before = leaks(gateway)
    answer = gateway.post(CHAT, chat("Repeat the word Athens."))
    assert answer.status_code == 200
    assert leaks(gateway) == before
