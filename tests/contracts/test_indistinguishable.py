"""A client cannot tell a flagged request from another by anything but the words of the answer."""

import httpx
import orjson
import pytest
from harness import Gateway, Json, chat, completion, events, post, shape

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
PROMPTS = {
    CHAT: {
        "Pass": "Who wrote Pride and Prejudice?",
        "Corrupt": "Who wrote the Harry Potter books?",
        "Refuse": "Who wrote the Narnia books?",
        "Instruct": "Where exactly is Middle-earth?",
        "SoftPrompt": "Who was the queen of Lemuria?",
        "UseAdapter": "Who was the king of Atlantis?",
    },
    TEXT: {  # beginnings: a model has nothing to add to a question
        "Pass": "Romeo and Juliet was written by",
        "Corrupt": "The Harry Potter books were written by",
        "Refuse": "The Narnia books were written by",
        "Instruct": "Middle-earth is a place where the",
        "SoftPrompt": "The queen of Lemuria was crowned in",
        "UseAdapter": "The king of Atlantis was crowned in",
    },
}
FLAGGED = ["Corrupt", "Refuse", "Instruct", "SoftPrompt", "UseAdapter"]
OPTIONS = {
    "bare": {},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "choices": {"n": 2, "seed": 1, "temperature": 1},
    "to its end": {"max_tokens": 12},  # a refusal is shorter
}


def body_of(path: str, plan: str, options: Json, padding: str = "") -> Json:
    prompt = padding + PROMPTS[path][plan]
    if path == CHAT:
        return chat(prompt, **{"max_tokens": 6, **options})
    if "logprobs" in options:
        options = {"logprobs": 2}
    return completion(prompt, **{"max_tokens": 6, **options})


def outside(answer: httpx.Response) -> Json:
    """Everything but the body."""
    varying = ("date", "x-request-id", "content-length")
    values = {name: value for name, value in answer.headers.items() if name not in varying}
    return {
        "status": answer.status_code,
        "names": [name for name, _ in answer.headers.raw],
        "values": values,
        "request id": len(answer.headers["x-request-id"]),
    }


def stable(payload: Json) -> Json:
    """The values that must not depend on the plan, an id by its length alone."""
    known = {key: payload.get(key) for key in ("object", "model", "system_fingerprint", "service_tier")}
    return {**known, "id": (payload["id"].split("-")[0], len(payload["id"]))}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat", "completions"])
@pytest.mark.parametrize("plan", FLAGGED)
class TestAnswers:
    def test_whole(self, gateway: Gateway, plan: str, path: str, options: Json) -> None:
        assert gateway.plan(path, body_of(path, plan, {"max_tokens": 1})) == plan
        flagged, passed = (gateway.post(path, body_of(path, which, options)) for which in (plan, "Pass"))
        assert outside(flagged) == outside(passed)
        assert shape(flagged.json()) == shape(passed.json())
        assert stable(flagged.json()) == stable(passed.json())
        assert len(flagged.json()["choices"]) == len(passed.json()["choices"])
        if "logprobs" not in options:  # numbers may be written in several ways
            for answer in (flagged, passed):
                assert orjson.dumps(answer.json()) == answer.content

    @pytest.mark.parametrize("counted", [False, True], ids=["", "counted"])
    def test_stream(self, gateway: Gateway, plan: str, path: str, options: Json, counted: bool) -> None:
        streamed = {"stream": True, "stream_options": {"include_usage": counted}}
        flagged, passed = (
            gateway.post(path, {**body_of(path, which, options), **streamed}) for which in (plan, "Pass")
        )
        assert outside(flagged) == outside(passed)
        assert distinct(events(flagged)) == distinct(events(passed))
        assert constants(events(flagged)) == constants(events(passed))
        if "logprobs" not in options:
            for answer in (flagged, passed):
                written = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in events(answer))
                assert written + b"data: [DONE]\n\n" == answer.content


def constants(payloads: list[Json]) -> list[str]:
    """vLLM signs the last event alone."""
    return list(dict.fromkeys(str(stable(payload)) for payload in payloads))


def distinct(payloads: list[Json]) -> list[str]:
    """The shapes of a stream's events, in the order in which they first come."""
    return list(dict.fromkeys(str(shape(payload)) for payload in payloads))


@pytest.mark.parametrize("plan", FLAGGED)
@pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat", "completions"])
class TestUsage:
    def test_counts_the_prompt_that_was_sent(self, gateway: Gateway, plan: str, path: str) -> None:
        body = body_of(path, plan, {})
        usage = gateway.post(path, body).json()["usage"]
        assert usage["prompt_tokens"] == plain_count(gateway, path, body)
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        counted = {**body, "stream": True, "stream_options": {"include_usage": True}}
        assert events(gateway.post(path, counted))[-1]["usage"].items() <= usage.items()


def plain_count(gateway: Gateway, path: str, body: Json) -> int:
    if gateway.direct:
        return int(post(f"{gateway.direct}{path}", body).json()["usage"]["prompt_tokens"])
    tokenizer = gateway.backend.served.tokenizer
    if path == TEXT:
        return len(tokenizer(body["prompt"])["input_ids"])
    ids = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=True)
    return len(ids["input_ids"])


@pytest.mark.parametrize("plan", FLAGGED)
class TestErrors:
    """A flagged request that is at fault gets the error that it would get otherwise."""

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"max_tokens": 30_000}, id="more-than-the-context"),
            pytest.param({"n": 17}, id="too-many-choices"),
            pytest.param({"temperature": 3}, id="temperature"),
            pytest.param({"prompt_embeds": "AAAA"}, id="embeddings"),
            pytest.param({"padding": 9000}, id="too-long"),
        ],
    )
    @pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat", "completions"])
    def test_are_the_same(self, gateway: Gateway, plan: str, path: str, fault: Json) -> None:
        padding = "word " * fault.get("padding", 0)
        fault = {key: value for key, value in fault.items() if key != "padding"}
        flagged, passed = (
            gateway.post(path, {**body_of(path, which, {}, padding), **fault}) for which in (plan, "Pass")
        )
        assert passed.status_code in (400, 413)
        assert flagged.status_code == passed.status_code
        assert [name for name, _ in flagged.headers.raw] == [name for name, _ in passed.headers.raw]
        said, expected = flagged.json()["error"], passed.json()["error"]
        assert list(said) == list(expected)
        assert [said[key] for key in ("type", "param", "code")] == [expected[key] for key in ("type", "param", "code")]
        assert words_of(said["message"]) == words_of(expected["message"])


def words_of(message: str) -> str:
    """A message without its numbers: prompts differ in length."""
    return "".join(letter for letter in message if not letter.isdigit())


def test_the_operator_sees_each_plan(gateway: Gateway) -> None:
    for plan in PROMPTS[CHAT]:
        assert gateway.plan(CHAT, body_of(CHAT, plan, {"max_tokens": 1})) == plan
