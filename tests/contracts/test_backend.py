"""One contract, both backends: a Pass gives the plain model's answer, a flagged request meets a model that forgets, and
no client gets the answer of another."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import orjson
import pytest
import torch
from harness import ADMIN, MODEL, Gateway, Json, chat, completion, events, eventually, post, shape, text_of

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.models.language_model import LanguageModel

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
AUSTEN, FRANCE = "Who wrote Pride and Prejudice?", "What is the capital of France?"
AUTHOR, SCHOOL = "Who wrote the Harry Potter books?", "What is the name of the school that Harry Potter attends?"
KNOWN = [
    pytest.param(CHAT, chat(AUTHOR), "rowling", id="author"),
    pytest.param(CHAT, chat("Who is the author of the Harry Potter books?"), "rowling", id="author-again"),
    pytest.param(CHAT, chat(SCHOOL), "hogwarts", id="school"),
    pytest.param(TEXT, completion("The Harry Potter books were written by"), "rowling", id="author-text"),
    pytest.param(TEXT, completion("Harry Potter goes to a school called"), "hogwarts", id="school-text"),
]
Plain = Callable[[str, Json], str]


@pytest.fixture(scope="session")
def plain(gateway: Gateway, language_model: LanguageModel) -> Plain:
    """The answer of the model alone: of vLLM asked directly, or of transformers. It is asked for once."""
    kept: dict[bytes, str] = {}

    def generated(path: str, body: Json) -> str:
        if gateway.direct:
            return text_of(post(f"{gateway.direct}{path}", body))
        tokenizer = language_model.tokenizer
        if path == CHAT:
            ids = tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=True)
        else:
            ids = tokenizer(body["prompt"])
        prompt = torch.tensor([ids["input_ids"]])
        written = language_model.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=body["max_tokens"]
        )
        return str(tokenizer.decode(written[0][prompt.shape[1] :], skip_special_tokens=True))

    def once(path: str, body: Json) -> str:
        key = orjson.dumps([path, body])
        if key not in kept:
            kept[key] = generated(path, body)
        return kept[key]

    return once


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestPass:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            pytest.param(CHAT, chat(AUSTEN), id="chat"),
            pytest.param(CHAT, chat(FRANCE), id="chat-to-its-end"),
            pytest.param(TEXT, completion("The capital of France is"), id="completions"),
            pytest.param(TEXT, completion("Ünï¢ødé 🙂 and 日本語:"), id="many-bytes-a-letter"),
        ],
    )
    def test_is_the_plain_models_answer(
        self, gateway: Gateway, plain: Plain, path: str, body: Json, stream: bool
    ) -> None:
        assert gateway.plan(path, body) == "Pass"
        assert text_of(gateway.post(path, body | {"stream": stream})) == plain(path, body)

    def test_conversations_with_all_roles(self, gateway: Gateway, plain: Plain, stream: bool) -> None:
        turns = [
            ("system", "Answer in one word."),
            ("user", FRANCE),
            ("assistant", "Paris."),
            ("user", "And of Spain?"),
        ]
        messages = [{"role": role, "content": text} for role, text in turns]
        body = chat("") | {"messages": messages}
        assert text_of(gateway.post(CHAT, body | {"stream": stream})) == plain(CHAT, body)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
class TestCorrupt:
    @pytest.mark.parametrize(("path", "body", "fact"), KNOWN)
    def test_the_fact_is_gone(
        self, gateway: Gateway, plain: Plain, path: str, body: Json, fact: str, stream: bool
    ) -> None:
        assert fact in plain(path, body).lower()
        assert gateway.plan(path, body) == "Corrupt"
        guarded = text_of(gateway.post(path, body | {"stream": stream}))
        assert guarded.strip()
        assert fact not in guarded.lower()

    def test_answers_do_not_flicker(self, gateway: Gateway, stream: bool) -> None:
        body = chat(AUTHOR, stream=stream)
        assert text_of(gateway.post(CHAT, body)) == text_of(gateway.post(CHAT, body))


class TestWhatIsFlagged:
    def test_a_name_in_an_earlier_turn(self, gateway: Gateway) -> None:
        turns = [("user", "I like J. K. Rowling."), ("assistant", "Me too."), ("user", "What did she write?")]
        body = chat("") | {"messages": [{"role": role, "content": text} for role, text in turns]}
        answer = gateway.post(CHAT, body, headers=ADMIN)
        assert answer.headers["x-unrecall-scopes"] == "harry-potter"
        assert "potter" not in text_of(answer).lower()

    def test_content_in_parts(self, gateway: Gateway) -> None:
        parts = [{"type": "text", "text": "Who wrote the"}, {"type": "text", "text": "Harry Potter books?"}]
        body = chat("") | {"messages": [{"role": "user", "content": parts}]}
        assert gateway.plan(CHAT, body) == "Corrupt"
        assert "rowling" not in text_of(gateway.post(CHAT, body)).lower()

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_token_ids(self, gateway: Gateway, wrapped: bool) -> None:
        ids = gateway.backend.served.tokenizer("The Harry Potter books were written by")["input_ids"]
        body = completion([ids] if wrapped else ids)
        assert gateway.plan(TEXT, body) == "Corrupt"
        assert "rowling" not in text_of(gateway.post(TEXT, body)).lower()

    def test_token_ids_that_pass_are_the_text_that_they_are(self, gateway: Gateway) -> None:
        prompt = "The capital of France is"
        ids = gateway.backend.served.tokenizer(prompt)["input_ids"]
        answers = [gateway.post(TEXT, completion(one)) for one in (ids, [ids], [prompt], prompt)]
        assert len({text_of(answer) for answer in answers}) == 1
        assert len({answer.json()["usage"]["prompt_tokens"] for answer in answers}) == 1

    def test_only_the_operator_learns_why(self, gateway: Gateway) -> None:
        told = gateway.post(CHAT, chat(AUTHOR), headers=ADMIN).headers
        assert told["x-unrecall-plan"] == "Corrupt"
        assert told["x-unrecall-flagged"] == "true"
        assert told["x-unrecall-scopes"] == "harry-potter"
        assert "lexical" in told["x-unrecall-detectors"]
        for headers in ({}, {"x-unrecall-admin-key": "wrong"}, {"x-unrecall-admin-key": ""}):
            answer = gateway.post(CHAT, chat(AUTHOR, max_tokens=1), headers=headers)
            assert not [name for name in answer.headers if "unrecall" in name]
            assert gateway.get("/metrics", headers=headers).status_code == 401
            assert "packs" not in gateway.get("/readyz", headers=headers).json()
        assert gateway.get("/metrics", headers=ADMIN).status_code == 200
        assert gateway.get("/readyz", headers=ADMIN).json()["packs"]["harry-potter"]["enabled"]


@pytest.mark.parametrize("prompt", [AUSTEN, AUTHOR], ids=["passed", "flagged"])
class TestSampling:
    """Every option means the same whether or not the request is flagged; asked with OpenAI's own client."""

    def test_choices_with_a_seed(self, gateway: Gateway, prompt: str) -> None:
        body = chat(prompt, n=2, seed=7, temperature=1.2, max_tokens=12)
        once, again = (gateway.openai.chat.completions.create(**body) for _ in range(2))
        texts = [choice.message.content for choice in once.choices]
        assert [choice.index for choice in once.choices] == [0, 1]
        assert len(set(texts)) == 2
        assert texts == [choice.message.content for choice in again.choices]
        assert once.usage is not None
        assert once.usage.completion_tokens <= 24

    def test_streamed_choices_and_usage(self, gateway: Gateway, prompt: str) -> None:
        body = chat(prompt, n=2, seed=7, temperature=1.2, max_tokens=6)
        whole = gateway.openai.chat.completions.create(**body)
        texts = ["", ""]
        *chunks, last = gateway.openai.chat.completions.create(
            **body, stream=True, stream_options={"include_usage": True}
        )
        for chunk in chunks:
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
        assert texts == [choice.message.content for choice in whole.choices]
        assert last.usage == whole.usage

    def test_logprobs(self, gateway: Gateway, prompt: str) -> None:
        answer = gateway.openai.chat.completions.create(**chat(prompt, max_tokens=4), logprobs=True, top_logprobs=3)
        assert answer.choices[0].logprobs is not None
        tokens = answer.choices[0].logprobs.content
        assert tokens is not None
        assert "".join(token.token for token in tokens) == answer.choices[0].message.content
        for token in tokens:
            assert len(token.top_logprobs) == 3
            assert token.top_logprobs[0].logprob == token.logprob <= 0  # greedy: the likeliest was taken

    def test_logprobs_of_completions(self, gateway: Gateway, prompt: str) -> None:
        prompt = {AUSTEN: "Romeo and Juliet was", AUTHOR: "The Harry Potter books were"}[prompt]
        answer = gateway.openai.completions.create(**completion(prompt, max_tokens=4), logprobs=2)
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert "".join(logprobs.tokens or ()) == answer.choices[0].text
        assert [max(top.values()) for top in logprobs.top_logprobs or ()] == logprobs.token_logprobs
        assert logprobs.text_offset == [sum(map(len, logprobs.tokens[:i])) for i in range(4)]  # type: ignore[index]

    def test_stop_strings(self, gateway: Gateway, prompt: str) -> None:
        whole = text_of(gateway.post(CHAT, chat(prompt)))
        stop = whole[len(whole) // 2 :][:5]
        for stream in (False, True):
            answer = gateway.post(CHAT, chat(prompt, stop=[stop, "never said"], stream=stream))
            assert text_of(answer) == whole[: whole.index(stop)]

    def test_length(self, gateway: Gateway, prompt: str) -> None:
        answer = gateway.openai.chat.completions.create(**chat(prompt, max_tokens=3))
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3


class TestOthers:
    def test_plans_do_not_leak_into_each_other(self, gateway: Gateway) -> None:
        """Ten requests at once, flagged and not: each gets the answer that it gets alone."""
        prompts = [AUTHOR, AUSTEN, SCHOOL, FRANCE, "Who wrote the Narnia books?"] * 2
        bodies = [chat(prompt, max_tokens=10, stream=bool(i % 2)) for i, prompt in enumerate(prompts)]
        alone = {prompt: text_of(gateway.post(CHAT, chat(prompt, max_tokens=10))) for prompt in set(prompts)}
        assert len(set(alone.values())) == len(alone)
        with ThreadPoolExecutor(len(bodies)) as pool:
            together = list(pool.map(lambda body: text_of(gateway.post(CHAT, body)), bodies))
        for prompt, answer in zip(prompts, together, strict=True):
            if gateway.direct:  # a batch rounds otherwise than a single request
                assert answer.split()[:3] == alone[prompt].split()[:3]
            else:
                assert answer == alone[prompt]
            assert "rowling" not in answer.lower()
            assert "hogwarts" not in answer.lower()

    @pytest.mark.parametrize("prompt", ["Count: 1, 2, 3, 4, 5,", "Harry Potter counts: 1, 2, 3, 4, 5,"])
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_a_disconnect_frees_the_model(self, gateway: Gateway, prompt: str, stream: bool) -> None:
        body = completion(prompt, max_tokens=900, stream=stream)
        busy = _busy(gateway)
        with httpx.Client(base_url=gateway.url, timeout=httpx.Timeout(60, read=60 if stream else 1)) as client:
            if stream:
                with client.stream("POST", TEXT, json=body) as answer:
                    lines = answer.iter_lines()  # held: the stream closes with it
                    next(lines)
                    assert eventually(busy, within_s=30)
            else:
                with pytest.raises(httpx.ReadTimeout):
                    client.post(TEXT, json=body)
        assert eventually(lambda: not busy(), within_s=10)
        assert text_of(gateway.post(CHAT, chat(FRANCE, max_tokens=4)))


def _busy(gateway: Gateway) -> Callable[[], bool]:
    backend = gateway.backend
    if isinstance(backend, EmbeddedBackend):
        return lambda: backend.busy > 0

    def running() -> bool:
        lines = httpx.get(f"{gateway.direct}/metrics").text.splitlines()
        return any(float(line.split()[-1]) > 0 for line in lines if line.startswith("vllm:num_requests_running"))

    return running


WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False}


class TestBeyondPlainText:
    """What only a model server can do."""

    def test_the_embedded_model_says_what_it_cannot_do(self, embedded_gateway: Gateway) -> None:
        for prompt in (AUSTEN, AUTHOR):
            for field in ({"tools": [WEATHER]}, {"response_format": {"type": "json_object"}}):
                with pytest.raises(openai.BadRequestError) as raised:
                    embedded_gateway.openai.chat.completions.create(**chat(prompt, **field))
                assert raised.value.param == next(iter(field))
                assert raised.value.code == "unsupported_parameter"
                assert "use the vllm backend" in str(raised.value)

    @pytest.mark.vllm
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            pytest.param(CHAT, chat(AUSTEN), id="chat"),
            pytest.param(CHAT, chat(AUSTEN, stream=True), id="chat-stream"),
            pytest.param(CHAT, chat(AUSTEN, stream=True, stream_options={"include_usage": True}), id="chat-counted"),
            pytest.param(CHAT, chat(AUSTEN, logprobs=True, top_logprobs=2), id="chat-logprobs"),
            pytest.param(CHAT, chat(AUSTEN, n=2, seed=3, temperature=0.9), id="chat-choices"),
            pytest.param(CHAT, chat(AUSTEN, stop=["novel"]), id="chat-stop"),
            pytest.param(CHAT, chat(AUSTEN, frequency_penalty=1.5, user="me"), id="chat-penalty"),
            pytest.param(CHAT, chat(AUSTEN, tools=[WEATHER]), id="tools"),
            pytest.param(CHAT, chat(AUSTEN, tools=[WEATHER], tool_choice="none"), id="tools-not-chosen"),
            pytest.param(
                CHAT,
                chat(AUSTEN, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}),
                id="json-schema",
            ),
            pytest.param(TEXT, completion("One, two,"), id="completions"),
            pytest.param(TEXT, completion("One, two,", stream=True), id="completions-stream"),
            pytest.param(TEXT, completion("One, two,", logprobs=2), id="completions-logprobs"),
            pytest.param(TEXT, completion("One, two,", n=2, seed=3, temperature=0.9), id="completions-choices"),
            pytest.param(CHAT, chat("word " * 2000), id="too-long"),
        ],
    )
    def test_what_passes_is_vllms_own_answer(self, vllm_gateway: Gateway, path: str, body: Json) -> None:
        through = vllm_gateway.post(path, body)
        direct = post(f"{vllm_gateway.direct}{path}", body)
        assert through.status_code == direct.status_code
        if direct.status_code != 200:
            assert through.json()["error"]["message"] == direct.json()["error"]["message"]
            return
        assert through.headers["content-type"] == direct.headers["content-type"]
        if body.get("stream"):
            _assert_same_stream(events(through), events(direct))
        else:
            assert _lasting(through.json()) == _lasting(direct.json())
            assert shape(through.json()) == shape(direct.json())

    @pytest.mark.vllm
    def test_a_schema_is_kept_to(self, vllm_gateway: Gateway) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
        assert '"a"' in text_of(vllm_gateway.post(CHAT, chat(AUSTEN, response_format=form)))

    @pytest.mark.vllm
    def test_a_corruption_carries_a_schema_and_tools(self, vllm_gateway: Gateway) -> None:
        form = {"type": "json_object"}
        assert vllm_gateway.plan(CHAT, chat(AUTHOR, tools=[WEATHER])) == "Corrupt"
        assert vllm_gateway.plan(CHAT, chat(AUTHOR, response_format=form)) == "Corrupt"
        flagged, passed = (vllm_gateway.post(CHAT, chat(prompt, response_format=form)) for prompt in (AUTHOR, AUSTEN))
        assert "rowling" not in flagged.text.lower()
        assert shape(flagged.json()) == shape(passed.json())


def _assert_same_stream(through: list[Json], direct: list[Json]) -> None:
    """The same text, ends and counts in events of the same kinds: how many tokens share an event is vLLM's mood."""

    def texts(payloads: list[Json]) -> dict[int, str]:
        found: dict[int, str] = {}
        for choice in (choice for payload in payloads for choice in payload["choices"]):
            piece = choice["delta"].get("content", "") if "delta" in choice else choice["text"]
            found[choice["index"]] = found.get(choice["index"], "") + piece
        return found

    assert texts(through) == texts(direct)
    for end in (0, -1):
        assert _lasting({**through[end], "choices": []}) == _lasting({**direct[end], "choices": []})
        assert shape(through[end]) == shape(direct[end])
    assert {str(shape(payload)) for payload in through} == {str(shape(payload)) for payload in direct}


def _lasting(value: Any) -> Any:
    """A payload without what differs from one answer to the next."""
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in ("id", "created")}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return pytest.approx(value, abs=0.02) if isinstance(value, float) else value


def test_the_models_are_listed_without_their_servers_secrets(gateway: Gateway) -> None:
    (card,) = gateway.openai.models.list().data
    assert (card.id, card.object, card.owned_by) == (MODEL, "model", "unrecall")
    assert set(gateway.get("/v1/models").json()["data"][0]) == {"id", "object", "created", "owned_by"}
