"""A client cannot tell a flagged request from another by anything but the words of the answer."""

from collections.abc import Callable

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
Unflagged = Callable[[str, Json], httpx.Response]


def body_of(path: str, plan: str, options: Json, padding: str = "") -> Json:
    prompt = padding + PROMPTS[path][plan]
    if path == CHAT:
        return chat(prompt, **{"max_tokens": 6, **options})
    if "logprobs" in options:  # the number itself
        options = {name: value for name, value in options.items() if name != "top_logprobs"} | {"logprobs": 2}
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


@pytest.fixture(scope="session")
def unflagged(gateway: Gateway) -> Unflagged:
    """The answer to a body that is not flagged, asked for once: those of all plans are compared with it."""
    kept: dict[bytes, httpx.Response] = {}

    def answer(path: str, body: Json) -> httpx.Response:
        key = orjson.dumps([path, body])
        if key not in kept:
            kept[key] = gateway.post(path, body)
        return kept[key]

    return answer


def cases(ways: dict[str, tuple[str, Json]]) -> pytest.MarkDecorator:
    """The gateway itself writes a refusal: it comes in all ways with all options. A model writes the answers of the
    other plans: each plan comes in all ways and with all options, and all options come in all ways.

    Args:
        ways: the path and the fields of each way to be answered.
    """
    written = [plan for plan in FLAGGED if plan != "Refuse"]
    chosen = [
        (plan, list(ways)[(first + second) % len(ways)], options)
        for first, plan in enumerate(written)
        for second, options in enumerate(OPTIONS)
    ]
    chosen += [("Refuse", way, options) for way in ways for options in OPTIONS]
    rows = [
        pytest.param(plan, ways[way][0], {**OPTIONS[options], **ways[way][1]}, id=f"{plan}-{way}-{options}")
        for plan, way, options in chosen
    ]
    return pytest.mark.parametrize(("plan", "path", "options"), rows)


def streamed(*, counted: bool) -> Json:
    return {"stream": True, "stream_options": {"include_usage": counted}}


class TestAnswers:
    @cases({"chat": (CHAT, {}), "completions": (TEXT, {})})
    def test_whole(self, gateway: Gateway, unflagged: Unflagged, plan: str, path: str, options: Json) -> None:
        flagged = gateway.post(path, body_of(path, plan, options))
        passed = unflagged(path, body_of(path, "Pass", options))
        assert outside(flagged) == outside(passed)
        assert shape(flagged.json()) == shape(passed.json())
        assert stable(flagged.json()) == stable(passed.json())
        assert len(flagged.json()["choices"]) == len(passed.json()["choices"])
        if "logprobs" not in options:  # numbers may be written in several ways
            for answer in (flagged, passed):
                assert orjson.dumps(answer.json()) == answer.content

    @cases(
        {
            "chat": (CHAT, streamed(counted=False)),
            "completions, counted": (TEXT, streamed(counted=True)),
            "chat, counted": (CHAT, streamed(counted=True)),
            "completions": (TEXT, streamed(counted=False)),
        }
    )
    def test_stream(self, gateway: Gateway, unflagged: Unflagged, plan: str, path: str, options: Json) -> None:
        flagged = gateway.post(path, body_of(path, plan, options))
        passed = unflagged(path, body_of(path, "Pass", options))
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
    def test_are_the_same(self, gateway: Gateway, unflagged: Unflagged, plan: str, path: str, fault: Json) -> None:
        padding = "word " * fault.get("padding", 0)
        fault = {key: value for key, value in fault.items() if key != "padding"}
        flagged = gateway.post(path, {**body_of(path, plan, {}, padding), **fault})
        passed = unflagged(path, {**body_of(path, "Pass", {}, padding), **fault})
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


@pytest.mark.parametrize("path", [CHAT, TEXT], ids=["chat", "completions"])
def test_the_operator_sees_each_plan(gateway: Gateway, path: str) -> None:
    """So the tests above speak of the plans that they name."""
    for plan in PROMPTS[path]:
        assert gateway.plan(path, body_of(path, plan, {"max_tokens": 1})) == plan
