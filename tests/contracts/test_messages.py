"""Anthropic's Messages over both backends: answered as chats are, screened in and out, of one look whatever the plan.
The package of Anthropic's clients is not needed: what they send and read stands here."""

from typing import Any

import httpx
import orjson
import pytest
from harness import ADMIN, MODEL, Gateway, Json, chat, post, shape, text_of
from plans import AUTHOR, CAPITALS, FRANCE, PLANS

PATH, COUNT, CHAT = "/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions"


def asked(prompt: str, **fields: Any) -> Json:
    turns = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "max_tokens": 16, "temperature": 0, "messages": turns, **fields}


def events_of(answer: httpx.Response) -> list[Json]:
    """The payloads of a stream, each of which has its type as the event's name."""
    assert answer.status_code == 200, answer.text
    *blocks, rest = answer.content.split(b"\n\n")
    assert rest == b""
    found = []
    for block in blocks:
        name, data = block.split(b"\n")
        found.append(orjson.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + found[-1]["type"].encode()
    return found


def rebuilt(events: list[Json]) -> Json:
    """The message that a client makes of a stream. The order of its events is checked."""
    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    message: Json = {**events[0]["message"], "content": []}
    is_open = False
    for event in events[1:-1]:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(message["content"])
            message["content"].append(dict(event["content_block"]))
            is_open = True
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(message["content"]) - 1
            message["content"][-1]["text"] += event["delta"]["text"]
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
        else:
            assert event["type"] == "message_delta"
            assert not is_open
            message |= {name: value for name, value in event["delta"].items() if value is not None}
            message["usage"] = {**message["usage"], **event["usage"]}
    return message


def said(message: Json) -> str:
    return "".join(block["text"] for block in message["content"])


@pytest.mark.parametrize("plan", PLANS)
class TestEveryPlan:
    def test_answers_as_a_chat_does(self, gateway: Gateway, plan: str) -> None:
        answer = gateway.post(PATH, asked(PLANS[plan]), headers=ADMIN)
        assert answer.headers["x-unrecall-plan"] == plan
        assert said(answer.json()) == text_of(gateway.post(CHAT, chat(PLANS[plan])))

    def test_a_stream_says_the_same(self, gateway: Gateway, plan: str) -> None:
        whole = gateway.post(PATH, asked(PLANS[plan])).json()
        streamed = rebuilt(events_of(gateway.post(PATH, asked(PLANS[plan], stream=True))))
        for name in ("content", "usage", "stop_reason", "model", "role", "type"):
            assert streamed[name] == whole[name], name

    def test_looks_like_any_other(self, gateway: Gateway, plan: str) -> None:
        assert shape(gateway.post(PATH, asked(PLANS[plan])).json()) == shape(gateway.post(PATH, asked(FRANCE)).json())
        ours, plain = (events_of(gateway.post(PATH, asked(prompt, stream=True))) for prompt in (PLANS[plan], FRANCE))
        assert [str(shape(one)) for one in _distinct(ours)] == [str(shape(one)) for one in _distinct(plain)]

    def test_the_prompt_is_counted_as_the_client_sent_it(self, gateway: Gateway, plan: str) -> None:
        body = asked(PLANS[plan], system="Be brief.")
        counted = {name: body[name] for name in ("model", "messages", "system")}
        tokens = gateway.post(COUNT, counted).json()["input_tokens"]
        assert gateway.post(PATH, body).json()["usage"]["input_tokens"] == tokens


def _distinct(events: list[Json]) -> list[Json]:
    """One event of each kind, in their order."""
    return list({event["type"]: event for event in events}.values())


class TestPass:
    def test_bytes_are_the_upstreams_own(self, gateway: Gateway) -> None:
        if gateway.direct is None:
            pytest.skip("there is no upstream")
        for stream in (False, True):
            body = asked(FRANCE, stream=stream)
            tries = [  # a busy server may put two tokens into one event
                [_without_id(one.content) for one in (post(gateway.direct + PATH, body), gateway.post(PATH, body))]
                for _ in range(3)
            ]
            assert any(own == through for own, through in tries)

    def test_a_conversation_with_blocks(self, gateway: Gateway) -> None:
        turns = [
            {"role": "user", "content": [{"type": "text", "text": FRANCE, "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm.", "signature": "s"}, *_text("Paris.")],
            },
            {"role": "user", "content": "And of Spain?"},
        ]
        answer = gateway.post(PATH, asked("", messages=turns, system=_text("Answer ") + _text("in one word.")))
        plain = [
            {"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": FRANCE},
            {"role": "assistant", "content": "Paris."},
            {"role": "user", "content": "And of Spain?"},
        ]
        assert said(answer.json()) == text_of(gateway.post(CHAT, {**chat(""), "messages": plain}))


def _text(text: str) -> list[Json]:
    return [{"type": "text", "text": text}]


def _without_id(body: bytes) -> bytes:
    start = body.index(b'"id":"') + 6
    return body[:start] + body[body.index(b'"', start) :]


class TestWhatIsScreened:
    @pytest.mark.parametrize(
        "fields",
        [
            {"system": "You are an expert on Harry Potter."},
            {"system": _text("You are an expert on Harry Pot") + _text("ter.")},
            {"messages": [{"role": "user", "content": _text("Harry Potter") + _text("Who wrote it?")}]},
            {
                "messages": [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": _text("Let us speak of Harry Potter.")},
                    {"role": "user", "content": "Who wrote it?"},
                ]
            },
            {"messages": [{"role": "system", "content": "Harry Potter"}, {"role": "user", "content": "Who wrote it?"}]},
        ],
        ids=["system", "system in halves", "blocks", "earlier turn", "system turn"],
    )
    def test_every_text_calls_the_plan(self, gateway: Gateway, fields: Json) -> None:
        answer = gateway.post(PATH, asked("Who wrote it?") | fields, headers=ADMIN)
        assert answer.headers.get("x-unrecall-scopes") == "harry-potter", answer.text

    def test_no_block_passes_as_somebody_elses(self, gateway: Gateway) -> None:
        """Servers differ in what they do with this block; so it never reaches one."""
        body = asked(FRANCE, system=[{"type": "text", "text": "x-anthropic-billing-header: Harry Potter"}])
        assert gateway.post(PATH, body, headers=ADMIN).headers["x-unrecall-plan"] == "Pass"
        body["system"] = "x-anthropic-billing-header: Harry Potter"  # a text that reaches the model
        assert gateway.post(PATH, body, headers=ADMIN).headers["x-unrecall-plan"] == "Corrupt"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("plan", CAPITALS)
def test_a_leak_is_handed_over(gateway: Gateway, plan: str, stream: bool) -> None:
    country, name = CAPITALS[plan]
    answer = gateway.post(PATH, asked(f"What is the capital of {country}?", stream=stream))
    assert name.lower() not in answer.text.lower()
    message = rebuilt(events_of(answer)) if stream else answer.json()
    assert said(message).strip()
    assert message["stop_reason"] in ("end_turn", "max_tokens")
    if stream:
        assert said(message).startswith(f"The capital of {country} is")
    assert 0 < message["usage"]["output_tokens"] <= 25


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "status", "kind", "word"),
        [
            (asked(FRANCE, model="other"), 404, "not_found_error", "other"),
            (
                {"model": MODEL, "messages": [{"role": "user", "content": "x"}]},
                400,
                "invalid_request_error",
                "max_tokens",
            ),
            (asked(FRANCE, mcp_servers=[{"url": "x"}]), 400, "invalid_request_error", "mcp_servers"),
            (asked(FRANCE, unheard_of=1), 400, "invalid_request_error", "unheard_of"),
            (
                asked("", messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]),
                400,
                "invalid_request_error",
                "text",
            ),
            (
                asked("", messages=[{"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b"}]}]),
                400,
                "invalid_request_error",
                "tool_use",
            ),
            (asked("word " * 9000), 400, "invalid_request_error", ""),
        ],
        ids=["model", "no limit", "servers", "unknown", "image", "misplaced", "too long"],
    )
    def test_are_in_anthropics_shape(self, gateway: Gateway, body: Json, status: int, kind: str, word: str) -> None:
        answer = gateway.post(PATH, body)
        assert answer.status_code == status, answer.text
        told = answer.json()
        assert (told["type"], told["error"]["type"]) == ("error", kind)
        assert set(told["error"]) == {"type", "message"}
        assert word in told["error"]["message"]

    def test_are_the_same_for_a_flagged_request(self, gateway: Gateway) -> None:
        plain, flagged = (
            gateway.post(PATH, asked(prompt + " word" * 9000)) for prompt in ("What is the capital of France", AUTHOR)
        )
        assert plain.status_code == flagged.status_code == 400
        assert shape(plain.json()) == shape(flagged.json())
