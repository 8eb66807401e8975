"""OpenAI's Responses over both backends, by OpenAI's own client: answered as chats are, screened in and out, and of one
look whatever the plan."""

from typing import Any

import openai
import orjson
import pytest
from harness import ADMIN, MODEL, Gateway, Json, chat, shape, text_of
from openai.types.responses import Response
from plans import AUTHOR, CAPITALS, FRANCE, PLANS

PATH, CHAT = "/v1/responses", "/v1/chat/completions"


def asked(prompt: Any, **fields: Any) -> Json:
    return {"model": MODEL, "max_output_tokens": 16, "temperature": 0, "input": prompt, **fields}


def events_of(content: bytes) -> list[Json]:
    *blocks, rest = content.split(b"\n\n")
    assert rest == b""
    found = [orjson.loads(block.partition(b"\ndata: ")[2]) for block in blocks]
    names = [block.partition(b"\n")[0].decode() for block in blocks]
    assert names == [f"event: {one['type']}" for one in found]
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    return found


@pytest.mark.parametrize("plan", PLANS)
class TestEveryPlan:
    def test_answers_as_a_chat_does(self, gateway: Gateway, plan: str) -> None:
        answer = gateway.post(PATH, asked(PLANS[plan]), headers=ADMIN)
        assert answer.headers["x-unrecall-plan"] == plan
        response = Response.model_validate(answer.json(), strict=False)
        assert response.output_text == text_of(gateway.post(CHAT, chat(PLANS[plan])))

    def test_a_stream_says_the_same(self, gateway: Gateway, plan: str) -> None:
        """OpenAI's client builds the response out of the events, and checks their order."""
        whole = gateway.openai.responses.create(**asked(PLANS[plan]))
        with gateway.openai.responses.stream(**asked(PLANS[plan])) as stream:
            found = list(stream)
        deltas = "".join(event.delta for event in found if event.type == "response.output_text.delta")
        assert found[-1].type in ("response.completed", "response.incomplete")
        final = found[-1].response
        assert deltas == final.output_text == whole.output_text
        assert (final.status, final.usage) == (whole.status, whole.usage)

    def test_looks_like_any_other(self, gateway: Gateway, plan: str) -> None:
        ours, plain = (gateway.post(PATH, asked(prompt)).json() for prompt in (PLANS[plan], FRANCE))
        for one in (ours, plain):
            del (
                one["incomplete_details"],
                one["completed_at"],
            )  # of one that was cut off, and of one that was not
        assert shape(ours) == shape(plain)


class TestTurns:
    def test_one_response_follows_another(self, gateway: Gateway) -> None:
        first = gateway.openai.responses.create(**asked(FRANCE, instructions="Answer in one word."))
        second = gateway.openai.responses.create(**asked("And of Spain?", previous_response_id=first.id))
        turns = [("user", FRANCE), ("assistant", first.output_text), ("user", "And of Spain?")]
        messages = [{"role": role, "content": text} for role, text in turns]  # instructions are not carried over
        assert second.output_text == text_of(gateway.post(CHAT, {**chat(""), "messages": messages}))
        assert second.previous_response_id == first.id

    def test_earlier_turns_are_screened(self, gateway: Gateway) -> None:
        first = gateway.openai.responses.create(**asked("I like J. K. Rowling."))
        answer = gateway.post(PATH, asked("What did she write?", previous_response_id=first.id), headers=ADMIN)
        assert answer.headers["x-unrecall-scopes"] == "harry-potter"

    def test_the_client_may_hold_the_turns_itself(self, gateway: Gateway) -> None:
        first = gateway.openai.responses.create(**asked(FRANCE, store=False))
        assert not first.store  # type: ignore[attr-defined]
        items = [
            {"role": "user", "content": FRANCE},
            *(one.model_dump() for one in first.output),
            {"role": "user", "content": [{"type": "input_text", "text": "And of Spain?"}]},
        ]
        second = gateway.openai.responses.create(**asked(items))
        assert second.output_text
        with pytest.raises(openai.BadRequestError, match="not kept"):
            gateway.openai.responses.create(**asked("Again?", previous_response_id=first.id))

    def test_an_item_may_be_named(self, gateway: Gateway) -> None:
        first = gateway.openai.responses.create(**asked("Tell me of Harry Potter."))
        named = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "Say it again."}]
        assert gateway.openai.responses.create(**asked(named)).output_text
        named[0]["id"] = "msg_other"
        with pytest.raises(openai.BadRequestError, match="send the item itself"):
            gateway.openai.responses.create(**asked(named))


class TestWhatIsScreened:
    @pytest.mark.parametrize(
        "fields",
        [
            {"instructions": "You are an expert on Harry Potter."},
            {"input": [{"role": "developer", "content": "Harry Potter"}, {"role": "user", "content": "Who wrote it?"}]},
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Who wrote Harry Potter?"}]}]},
        ],
        ids=["instructions", "developer", "parts"],
    )
    def test_every_text_calls_the_plan(self, gateway: Gateway, fields: Json) -> None:
        answer = gateway.post(PATH, asked("Who wrote it?") | fields, headers=ADMIN)
        assert answer.headers["x-unrecall-scopes"] == "harry-potter"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("plan", CAPITALS)
def test_a_leak_is_handed_over(gateway: Gateway, plan: str, stream: bool) -> None:
    country, name = CAPITALS[plan]
    answer = gateway.post(PATH, asked(f"What is the capital of {country}?", stream=stream))
    assert answer.status_code == 200, answer.text
    assert name.lower() not in answer.text.lower()
    last = events_of(answer.content)[-1]["response"] if stream else answer.json()
    text = Response.model_validate(last, strict=False).output_text
    assert text.strip()
    assert last["status"] in ("completed", "incomplete")
    if stream:
        deltas = [one["delta"] for one in events_of(answer.content) if one["type"] == "response.output_text.delta"]
        assert "".join(deltas) == text
        assert text.startswith(f"The capital of {country} is")


def test_logprobs_are_told(gateway: Gateway) -> None:
    fields = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    for prompt in (FRANCE, AUTHOR):
        (item,) = gateway.post(PATH, asked(prompt, **fields)).json()["output"]
        (part,) = item["content"]
        assert "".join(one["token"] for one in part["logprobs"]).startswith(part["text"])
        assert all(1 <= len(one["top_logprobs"]) <= 2 for one in part["logprobs"])  # a forbidden one is taken out


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"background": True}, "background"),
        ({"conversation": "c"}, "previous_response_id"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"tools": [{"type": "web_search"}]}, "web_search"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "only text"),
        ({"input": [{"type": "computer_call"}]}, "items of this type"),
        ({"input": [{"role": "assistant", "content": "Once", "status": "incomplete"}]}, ""),
        ({"previous_response_id": "resp_none"}, "not kept"),
    ],
)
def test_what_cannot_be_taken_is_told(gateway: Gateway, fields: Json, word: str) -> None:
    answer = gateway.post(PATH, asked("Hello") | fields)
    if not word:  # the model begins a turn of its own: what looks like a half turn is a whole one
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]
