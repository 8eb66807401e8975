"""The output screen over a backend that says what a test wants: what the client gets, event by event."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hand_made import BASE, SavePack, leak_model_of
from tiny import tiny_tokenizer

from classifiers.encoder.sentence import Encoder
from classifiers.leaks.passages import PASSAGE_WORDS
from classifiers.leaks.watch import AnswerWatch, OwnWords
from gateway.backends.base import ModelCard, Served
from gateway.core import (
    Delta,
    Endpoint,
    Event,
    Message,
    Pass,
    Plan,
    Refuse,
    Request,
    Sampling,
    TokenLogprob,
    ToolCall,
    Usage,
)
from gateway.errors import UpstreamError
from gateway.methods.corruption import Corrupt
from gateway.openai_format.decoding import reader
from gateway.openai_format.encoding import AnswerEncoder, sse
from gateway.openai_format.shapes import CHAT_SHAPE, COMPLETIONS_SHAPE, Shape
from gateway.packs.files import Policy
from gateway.pipeline import Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.output import OutputScreen
from gateway.screening.reload import PackReloader
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics

TOKENIZER = tiny_tokenizer()
SORRY = "I know nothing of that."


class Says:
    """A backend that says the `first` pieces under the first plan, then the next ones, and remembers what it was asked
    and whether its answers were read to the end or let go."""

    adapter_slots = 2

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[tuple[Request, Plan]] = []
        self.read_up = 0
        self.let_go = 0
        self.served = Served((ModelCard("tiny", 512),), TOKENIZER, 512)

    async def __aenter__(self) -> "Says":
        return self

    async def __aexit__(self, *error: object) -> None: ...

    def shape(self, endpoint: str) -> Shape:
        return CHAT_SHAPE if endpoint == "chat" else COMPLETIONS_SHAPE

    async def problem(self) -> str | None:
        return None

    async def prepare(self, adapters: Any, in_force: Any = None) -> dict[str, str]:
        return {}

    def check_length(self, request: Request) -> int:
        return 9

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        self.asked.append((request, plan))
        if isinstance(plan, Refuse):
            yield Event.of(Delta(0, plan.text, finish_reason="stop"))
            yield Event.of(Usage(7, 5))
            return
        try:
            for event in self.answers.pop(0):
                yield event
            self.read_up += 1
        except GeneratorExit:
            self.let_go += 1
            raise


def pieces(*texts: str, finish: str = "stop", index: int = 0, **more: Any) -> list[Event]:
    deltas = [Delta(index, text, **more) for text in texts]
    return [*map(Event.of, deltas), Event.of(Delta(index, "", finish_reason=finish)), Event.of(Usage(9, len(texts)))]


def as_upstream(request: Request, events: Sequence[Event], *, chunk: int = 40) -> list[Event]:
    """The same as an upstream's own bytes, cut anywhere."""
    encoder = AnswerEncoder(request, CHAT_SHAPE if request.endpoint == "chat" else COMPLETIONS_SHAPE)
    data = b"".join([*map(encoder.encode, events), encoder.ending()])
    parse = reader(request)
    return [Event(data=data[at : at + chunk], parse=parse) for at in range(0, len(data), chunk)]


class House:
    def __init__(self, root: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
        self.backend = Says()
        self.metrics = Metrics()
        self.timeout_s = 10.0
        self.encoder, self.caplog = encoder, caplog
        self._packs = PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
        caplog.set_level(logging.INFO, "unrecall.audit")

    def events(self, request: Request, *answers: Sequence[Event]) -> list[Event]:
        """What goes on to the encoder."""
        self.backend.answers = list(answers)

        async def run() -> list[Event]:
            async with BatchedScreen(timeout_s=self.timeout_s) as screen:
                audit = Audit(log_line, self.metrics.count)
                pipeline = Pipeline(
                    backend=self.backend, packs=self._packs, screen=screen, audit=audit, metrics=self.metrics
                )
                answer = await pipeline.run(request)
                async with aclosing(answer.events) as events:
                    return [event async for event in events]

        return asyncio.run(run())

    def answer(self, request: Request, *answers: Sequence[Event]) -> dict[int, tuple[str, str | None]]:
        """By choice: the text, and how it ends."""
        found: dict[int, tuple[str, str | None]] = {}
        for event in self.events(request, *answers):
            for delta in event.deltas:
                text, finish = found.get(delta.index, ("", None))
                assert finish is None
                found[delta.index] = (text + delta.text, delta.finish_reason)
        return found

    @property
    def audit(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(
            [r.getMessage() for r in self.caplog.records if r.name == "unrecall.audit"][-1]
        )
        return line


@pytest.fixture
def house(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> House:
    rows = [("What does the faun carry?", "An umbrella, parcels and a lantern.")]
    save("narnia", aliases=("Narnia", "Mr Tumnus"), policy=Policy(refusal=SORRY), leaks=leak_model_of(rows))
    save("oz", aliases=("Oz",), policy=Policy(plan="refuse", refusal=SORRY))
    return House(tmp_path / "packs", encoder, caplog)


def asked(
    text: str = "Where do they live?", *, stream: bool = True, endpoint: str = "chat", **sampling: Any
) -> Request:
    role = "user" if endpoint == "chat" else "prompt"
    return Request(
        "7", endpoint, "tiny", (Message(role, text),), Sampling(**sampling), stream=stream, include_usage=stream
    )


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
@pytest.mark.parametrize("upstream", [True, False])
def test_the_client_reads_one_fluent_answer(house: House, endpoint: Endpoint, upstream: bool) -> None:
    request = asked(endpoint=endpoint, max_tokens=100)
    first = pieces("They ", "live in Nar", "nia, of ", "course.")
    first = as_upstream(request, first) if upstream else first
    found = house.answer(request, first, pieces(" a wardrobe", ", I think."))
    assert found == {0: ("They live in a wardrobe, I think.", "stop")}
    (_, plan), (again, other) = house.backend.asked
    assert plan == Pass()
    assert isinstance(other, Corrupt)
    assert [(edit.message, edit.ranges) for edit in other.edits] == [(0, ((0, len("Where do they live?")),))]
    assert (again.written, again.sampling.n) == ("They live in", 1)
    assert again.sampling.max_tokens == 100 - len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert house.backend.let_go == 1  # the first model was stopped: its slot is free
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "name", "plan": "Corrupt"}]
    assert house.metrics.text().decode().count('unrecall_leaks_total{kind="name",plan="Corrupt"} 1.0') == 1


def test_the_usage_counts_what_both_models_wrote(house: House) -> None:
    events = house.events(asked(), pieces("They live in", " Narnia."), pieces(" a wardrobe."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    sent = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert usage == Usage(9, sent + 1)


@pytest.mark.parametrize("upstream", [True, False])
def test_a_clean_answer_goes_on_as_it_came(house: House, upstream: bool) -> None:
    request = asked()
    events = pieces("They ", "live ", "in ", "na", "dir ", "time", ".")
    if upstream:
        events = as_upstream(request, events, chunk=33)
        data = b"".join(event.data or b"" for event in events)
        assert b"".join(event.data or b"" for event in house.events(request, events)) == data
    else:
        assert house.answer(request, events) == {0: ("They live in nadir time.", "stop")}
    assert "leaks" not in house.audit
    assert house.audit["held_chars"] == len("na")


def test_what_waits_is_no_more_than_may_become_a_name(house: House) -> None:
    """The words before it go on at once, although they came in one piece."""
    request = asked()
    events = house.events(request, as_upstream(request, pieces("They live in Nar", "ration."), chunk=10_000))
    texts = [delta.text for event in events for delta in event.deltas if delta.text]
    assert texts == ["They live in", " Nar", "ration."]


def test_a_second_leak_ends_the_answer_with_a_full_stop(house: House) -> None:
    found = house.answer(asked(), pieces("They live in", " Narnia."), pieces(" a wood near", " Narnia."))
    assert found == {0: ("They live in a wood near.", "stop")}
    assert [leak["plan"] for leak in house.audit["leaks"]] == ["Corrupt", "Refuse"]
    assert len(house.backend.asked) == 2


def test_two_answers_that_leak_at_once_are_a_refusal(house: House) -> None:
    assert house.answer(asked(), pieces("Narnia."), pieces("Narnia!")) == {0: (SORRY, "stop")}
    assert house.answer(asked(stream=False), pieces("Narnia."), pieces("Narnia!")) == {0: (SORRY, "stop")}


def test_a_scope_whose_plan_is_to_refuse_ends_the_answer(house: House) -> None:
    assert house.answer(asked(), pieces("He is", " the wizard of", " Oz.")) == {0: ("He is the wizard of.", "stop")}
    assert house.answer(asked(), pieces("Oz", " it is")) == {0: (SORRY, "stop")}


@pytest.mark.parametrize("upstream", [True, False])
def test_an_answer_in_one_piece_is_asked_anew(house: House, upstream: bool) -> None:
    request = asked(stream=False)
    first = [Event.of(Delta(0, "In Narnia.", finish_reason="stop")), Event.of(Usage(9, 3))]
    if upstream:
        body = asyncio.run(AnswerEncoder(request, CHAT_SHAPE).collect(_every(first)))
        first = [Event(data=body, parse=reader(request))]
    assert house.answer(request, first, pieces("In a wardrobe.")) == {0: ("In a wardrobe.", "stop")}
    assert house.backend.asked[1][0].written == ""


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_ends_within_a_passage_goes_on_as_it_came(
    house: House, save: SavePack, tmp_path: Path, stream: bool
) -> None:
    words = [f"{first}{last}" for first in ("quiet", "velvet", "marble", "crooked") for last in "abcdefgh"]
    save("tale", aliases=("Tumbleweed",), leaks=leak_model_of([], [" ".join(words)]))
    house = House(tmp_path / "packs", house.encoder, house.caplog)
    request = asked(stream=stream)
    for first in range(12):
        begun = " ".join(words[first : first + PASSAGE_WORDS - 1])
        events = [Event.of(Delta(0, begun, finish_reason="length")), Event.of(Usage(9, 3))]
        if stream:
            events = as_upstream(request, pieces(*(f"{word} " for word in begun.split()), finish="length"))
        else:
            body = asyncio.run(AnswerEncoder(request, CHAT_SHAPE).collect(_every(events)))
            events = [Event(data=body, parse=reader(request))]
        came = b"".join(event.data or b"" for event in events)
        assert b"".join(event.data or b"" for event in house.events(request, events)) == came


async def _every(events: Sequence[Event]) -> AsyncGenerator[Event, None]:
    for event in events:
        yield event


def test_every_choice_is_screened_and_handed_over_alone(house: House) -> None:
    first = [
        Event.of(Delta(0, "They live")),
        Event.of(Delta(1, "In")),
        Event.of(Delta(1, " Nar")),
        Event.of(Delta(0, " far away", finish_reason="stop")),
        Event.of(Delta(2, "Nobody")),
        Event.of(Delta(1, "nia.")),
        Event.of(Delta(2, " knows.", finish_reason="stop")),
    ]
    found = house.answer(asked(n=3), first, pieces(" a wood."), pieces(" can tell."))
    assert found == {
        0: ("They live far away", "stop"),
        1: ("In a wood.", "stop"),
        2: ("Nobody can tell.", "stop"),
    }
    assert [request.written for request, _ in house.backend.asked] == ["", "In", "Nobody"]


def test_reasoning_and_tool_calls_are_screened_too(house: House) -> None:
    thought = [Event.of(Delta(0, "", reasoning="It must be")), Event.of(Delta(0, "", reasoning=" Narnia"))]
    thought += pieces(".", "x")
    events = house.events(asked(), thought, pieces("In a wood."))
    shown = "".join(delta.reasoning + delta.text for event in events for delta in event.deltas)
    assert shown == "It must beIn a wood."
    call = [
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, "c1", "search"),))),
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments='{"q": "Mr'),))),
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments=' Tumnus"}'),), finish_reason="tool_calls")),
    ]
    events = house.events(asked(), call)
    deltas = [delta for event in events for delta in event.deltas]
    assert [call.name for delta in deltas for call in delta.tool_calls] == ["search"]
    assert deltas[-1].finish_reason == "length"


def test_no_alternative_token_shows_what_the_answer_must_not(house: House) -> None:
    request = asked(logprobs=3)
    tokens = [
        TokenLogprob("In", -0.1, (("In", -0.1), (" Narnia", -2.0), ("At", -3.0))),
        TokenLogprob(" Nar", -0.1, ((" Nar", -0.1), (" a", -2.0), (" the", -2.5))),
        TokenLogprob("vik", -0.1, (("vik", -0.1), ("nia", -0.2), ("row", -3.0))),
    ]
    first = [Event.of(Delta(0, token.token, (token,))) for token in tokens]
    first += [Event.of(Delta(0, ".", finish_reason="stop")), Event.of(Usage(9, 4))]
    for events in (first, as_upstream(request, first)):
        got = [token for event in house.events(request, events) for d in event.deltas for token in d.logprobs]
        assert [[text for text, _ in token.top] for token in got] == [
            ["In", "At"],
            [" Nar", " a", " the"],
            ["vik", "row"],
        ]
    shown = b"".join(event.data or b"" for event in house.events(request, as_upstream(request, first)))
    assert b"nia" not in shown
    assert shown.count(b"data: ") == len(as_upstream(request, first, chunk=10**6)[0].data.split(b"data: ")) - 1  # type: ignore[union-attr]


def test_a_fact_ends_where_it_would_be_told(house: House) -> None:
    flagged = asked("What does Mr Tumnus carry?")
    found = house.answer(flagged, pieces("He has an", " umbrella", " and parcels."), pieces(" a fish."))
    assert found == {0: ("He has an umbrella and a fish.", "stop")}
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "fact", "plan": "Corrupt"}]


def test_the_name_that_the_client_wrote_may_be_said(house: House) -> None:
    found = house.answer(asked("Who is Mr Tumnus?"), pieces("I do not know Mr", " Tumnus", "."))
    assert found == {0: ("I do not know Mr Tumnus.", "stop")}
    earlier = Request(
        "7",
        "chat",
        "tiny",
        (Message("user", "Who?"), Message("assistant", "Mr Tumnus."), Message("user", "Say it again.")),
        stream=True,
    )
    found = house.answer(earlier, pieces("It is Mr", " Tumnus."), pieces(" nobody."))
    assert found == {0: ("It is nobody.", "stop")}


def test_a_screen_that_fails_ends_the_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: AnswerWatch, text: str, *, ended: bool = False) -> None:
        raise RuntimeError("the watch is down")

    monkeypatch.setattr(AnswerWatch, "read", fails)
    for stream in (True, False):
        found = house.answer(asked(stream=stream), pieces("In Narnia."))
        assert list(found.values()) == [("I'm sorry, but I can't help with that.", "stop")]


@pytest.mark.parametrize("part", [(AnswerWatch, "__init__"), (OwnWords, "__init__"), (OutputScreen, "__init__")])
def test_whatever_fails_to_begin_lets_nothing_through(
    house: House, monkeypatch: pytest.MonkeyPatch, part: tuple[type, str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("it cannot begin")

    monkeypatch.setattr(*part, fails)
    for stream in (True, False):
        try:
            found = house.answer(asked(stream=stream), pieces("In Narnia."))
        except RuntimeError:
            assert house.audit["outcome"] == "failed"
            assert not house.backend.asked or part[0] is AnswerWatch
        else:
            assert list(found.values()) == [("I'm sorry, but I can't help with that.", "stop")]


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["waits", "counts"])
def test_a_screen_that_takes_for_ever_ends_the_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, how: str, stream: bool, long: bool
) -> None:
    """What went on before stays."""
    read = AnswerWatch.read

    def hangs(self: AnswerWatch, text: str, *, ended: bool = False) -> Any:
        end = time.monotonic() + 4
        while "nia" in text and time.monotonic() < end:
            if how == "waits":
                threading.Event().wait(4)
        return read(self, text, ended=ended)

    monkeypatch.setattr(AnswerWatch, "read", hangs)
    house.timeout_s = 0.3
    more = " or elsewhere" * 100 if long else ""
    before = time.monotonic()
    found = house.answer(asked(stream=stream), pieces("They live in", f" Narnia{more}", " as ever."))
    assert time.monotonic() - before < 3
    assert list(found.values()) == [("They live in." if stream else "I'm sorry, but I can't help with that.", "stop")]
    assert house.audit["leaks"] == [{"scope": "", "kind": "failure", "plan": "Refuse"}]


def test_what_was_learned_of_a_scope_is_altered_and_its_answer_ends(house: House, tmp_path: Path) -> None:
    next((tmp_path / "packs" / "narnia").glob("v-*/leaks.safetensors")).write_bytes(b"altered")
    found = house.answer(asked("What does Mr Tumnus carry?"), pieces("A fish."))
    assert list(found.values()) == [(SORRY, "stop")]


@pytest.mark.parametrize("rule", ["facts", "off"])
def test_the_pack_says_what_counts(house: House, save: SavePack, tmp_path: Path, rule: Any) -> None:
    rows = [("What does the faun carry?", "An umbrella.")]
    save("narnia", aliases=("Narnia", "Mr Tumnus"), policy=Policy(output=rule), leaks=leak_model_of(rows))
    house._packs.refresh()
    found = house.answer(asked(), pieces("Mr Tumnus has", " an umbrella."), pieces(" a fish."))
    expected = "Mr Tumnus has an umbrella." if rule == "off" else "Mr Tumnus has an a fish."
    assert found[0][0] == expected


def test_a_refusal_is_the_operator_s_own_text(house: House) -> None:
    house.answer(asked("Who rules Oz?"), pieces("Not", " Oz."))
    assert [plan for _, plan in house.backend.asked] == [Refuse(SORRY, fallback=SORRY)]


def test_a_stream_that_goes_on_keeps_its_id_and_ends_once() -> None:
    request = asked()
    encoder = AnswerEncoder(request, CHAT_SHAPE)
    own = sse({"id": "chatcmpl-up", "created": 5, "model": "tiny", "choices": []})
    shown = encoder.encode(Event(data=own)) + encoder.encode(Event.of(Delta(0, "on", finish_reason="stop")))
    shown += encoder.ending()
    events = [json.loads(line[6:]) for line in shown.decode().split("\n\n") if line.startswith("data: {")]
    assert {event["id"] for event in events} == {"chatcmpl-up"}
    assert {event["created"] for event in events} == {5}
    assert not any("role" in choice["delta"] for event in events for choice in event["choices"])
    assert shown.count(b"[DONE]") == 1


def test_the_usage_of_an_answer_that_ends_counts_all_that_was_sent(house: House) -> None:
    def tokens(text: str) -> int:
        return len(TOKENIZER(text, add_special_tokens=False)["input_ids"])

    events = house.events(asked(), pieces("They live in", " Narnia."), pieces(" a wood near", " Narnia."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    assert usage == Usage(9, tokens("They live in") + tokens(" a wood near.") + 1)
    events = house.events(asked(), pieces("He is", " the wizard of", " Oz."))
    (usage,) = [part for event in events for part in event.parts if isinstance(part, Usage)]
    assert usage == Usage(9, tokens("He is the wizard of") + tokens(".") + 1)


def test_an_answer_at_its_limit_is_not_handed_over(house: House) -> None:
    limit = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    found = house.answer(asked(max_tokens=limit), pieces("They live in", " Narnia."))
    assert found == {0: ("They live in", "length")}
    assert len(house.backend.asked) == 1


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_servers_may_end_lines_otherwise_and_name_events(house: House, line: str) -> None:
    request = asked()
    (whole,) = as_upstream(request, pieces("They", " live in", " Nar", "nia."), chunk=10**6)
    data = (whole.data or b"").replace(b"data: {", b": comment\nevent: message\ndata: {").replace(b"\n", line.encode())
    events = [Event(data=data[at : at + 50]) for at in range(0, len(data), 50)]
    assert house.answer(request, events, pieces(" a wood.")) == {0: ("They live in a wood.", "stop")}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(
    "prompt", ["They all live in Nar", "far away " * 40 + "they live in Nar"], ids=["short", "long"]
)
def test_a_name_that_a_completions_prompt_begins_is_not_ended(house: House, prompt: str, stream: bool) -> None:
    request = asked(prompt, endpoint="completions", stream=stream, max_tokens=100)
    found = house.answer(request, pieces("n", "ia, I hear."), pieces("row huts."))
    assert found == {0: ("row huts.", "stop")}
    assert house.answer(request, pieces("row", " huts.")) == {0: ("row huts.", "stop")}


def test_a_name_that_a_last_turn_of_the_assistant_begins_is_not_ended(house: House) -> None:
    """Some servers go on with it."""
    turns = (Message("user", "Where do they live?"), Message("assistant", "They all live in Nar"))
    request = replace(asked(max_tokens=100), messages=turns)
    assert house.answer(request, pieces("n", "ia, I hear."), pieces("row huts."))[0][0] == "row huts."


def test_a_whole_name_in_a_completions_prompt_is_the_clients_own(house: House) -> None:
    request = asked("A list: Narnia", endpoint="completions", max_tokens=100)
    assert house.answer(request, pieces(",", " Narnia", " and home.")) == {0: (", Narnia and home.", "stop")}


def test_an_alternative_that_ends_a_name_of_the_prompt_is_left_out(house: House) -> None:
    request = asked("They all live in Nar", endpoint="completions", max_tokens=100, logprobs=2)
    token = TokenLogprob("row", -0.1, (("row", -0.1), ("nia", -0.2)))
    got = house.events(
        request, [Event.of(Delta(0, "row", (token,))), Event.of(Delta(0, " huts.", finish_reason="stop"))]
    )
    tops = [one for event in got for delta in event.deltas for said in delta.logprobs for one in said.top]
    assert tops == [("row", -0.1)]


@pytest.mark.parametrize("most", [None, 12])
def test_a_completion_that_is_handed_over_keeps_to_its_length(house: House, most: int | None) -> None:
    """Without a limit of its own it has sixteen tokens, in all."""
    request = asked(endpoint="completions", max_tokens=most)
    house.answer(request, pieces("They live in", " Narnia."), pieces(" a wood."))
    sent = len(TOKENIZER("They live in", add_special_tokens=False)["input_ids"])
    assert house.backend.asked[1][0].sampling.max_tokens == (most or 16) - sent
    chat = asked()
    house.answer(chat, pieces("They live in", " Narnia."), pieces(" a wood."))
    assert house.backend.asked[3][0].sampling.max_tokens is None


def test_tokens_of_the_logprobs_that_the_text_keeps_back_are_read(house: House) -> None:
    """A stop string ends the text before the token that the logprobs tell of."""
    request = asked(logprobs=1, stop=("nia",))
    said = [("They live in", "They live in"), (" Nar", " Nar"), ("", "nia")]
    first = [Event.of(Delta(0, text, (TokenLogprob(token, -0.1, ((token, -0.1),)),))) for text, token in said]
    first += [Event.of(Delta(0, "", finish_reason="stop")), Event.of(Usage(9, 3))]
    for events in (first, as_upstream(request, first)):
        got = house.events(request, events, pieces(" a wood."))
        tokens = [token.token for event in got for delta in event.deltas for token in delta.logprobs]
        assert tokens == ["They live in"]
        assert "".join(delta.text for event in got for delta in event.deltas) == "They live in a wood."


def test_alternatives_behind_the_seam_are_read_with_what_came_before(house: House) -> None:
    request = asked(logprobs=2)
    token = TokenLogprob(" Tum", -0.1, ((" Tum", -0.1), (" Tumnus", -0.2)))
    again = [Event.of(Delta(0, " Tum", (token,))), Event.of(Delta(0, "bled.", finish_reason="stop"))]
    first = [Event.of(Delta(0, text, (TokenLogprob(text, -0.1, ()),))) for text in ("Mr", " Narnia.")]
    got = house.events(request, first, again)
    assert "".join(delta.text for event in got for delta in event.deltas) == "Mr Tumbled."
    tops = [token.top for event in got for delta in event.deltas for token in delta.logprobs]
    assert (" Tumnus", -0.2) not in [pair for top in tops for pair in top]


BEGUN = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**BEGUN, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}


@pytest.mark.parametrize(
    "said",
    [
        sse({**chunk(content="In Narnia."), "error": None}),
        sse({**chunk(content="In Narnia."), "error": {"message": "x"}}),
        b": hello\r" + sse(chunk(content="In Narnia.")),
        b"\xef\xbb\xbf" + sse(chunk(content="In Narnia.")),
        sse(chunk(refusal="In Narnia.")),
        sse(chunk(role="assistant", refusal="In Narnia.")),
        sse(chunk(function_call={"name": "go", "arguments": "Narnia"})),
        sse(chunk(audio={"transcript": ["In", "Narnia"]})),
    ],
)
def test_no_odd_event_of_an_upstream_goes_unread(house: House, said: bytes) -> None:
    data = [*said.split(b"\0"), sse(chunk("stop", content="")), b"data: [DONE]\n\n"]
    try:
        shown = b"".join(
            event.data or b"" for event in house.events(asked(), [Event(data=one) for one in data], pieces())
        )
    except UpstreamError:
        return
    assert b"Narnia" not in shown


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_tool_call_that_leaks_ends(house: House, stream: bool) -> None:
    """Its beginning is there already: the arguments are not complete, and nobody may take them for it."""
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "search", "arguments": ""}}
    request = replace(asked(stream=stream), carries=frozenset({"tools"}))
    if stream:
        more = [{"index": 0, "function": {"arguments": piece}} for piece in ('{"q": "Mr', ' Tumnus"', "}")]
        events = [sse(chunk(role="assistant", content="")), sse(chunk(tool_calls=[call]))]
        events += [sse(chunk(tool_calls=[one])) for one in more]
        events += [sse(chunk("tool_calls")), b"data: [DONE]\n\n"]
    else:
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        call["function"] = {"name": "search", "arguments": '{"q": "Mr Tumnus"}'}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
        events = [json.dumps({**BEGUN, "choices": [choice], "usage": None}).encode()]
    got = house.events(request, [Event(data=one, parse=reader(request)) for one in events])
    deltas = [delta for event in got for delta in event.deltas]
    calls = [delta.call_text for delta in deltas if delta.call_text]
    finished = [delta.finish_reason for delta in deltas if delta.finish_reason]
    assert (calls, finished) == ((["search"], ["length"]) if stream else ([], ["stop"]))
    assert "".join(delta.text for delta in deltas) == ("" if stream else SORRY)
    assert house.audit["leaks"] == [{"scope": "narnia", "kind": "name", "plan": "Refuse"}]


def test_facts_in_a_tool_call_count(house: House) -> None:
    request = replace(asked("What does Mr Tumnus carry?"), carries=frozenset({"tools"}))
    call = [
        Event.of(Delta(0, "", tool_calls=(ToolCall(0, arguments=text),)))
        for text in ("note", '{"a": "umbrella', ", parcels", '"}')
    ]
    got = house.events(request, [*call, Event.of(Delta(0, "", finish_reason="tool_calls"))])
    assert "parcels" not in "".join(delta.call_text for event in got for delta in event.deltas)


def test_a_name_that_a_tool_has_is_the_clients_own(house: House) -> None:
    """The scope's facts are not."""
    request = replace(asked(), definitions=("find_narnia Looks up who lives in Narnia.",), carries=frozenset({"tools"}))
    assert house.answer(request, pieces("I ask of", " Narnia.")) == {0: ("I ask of Narnia.", "stop")}
    found = house.answer(request, pieces("Mr Tumnus", " has it."), pieces("Somebody has it."))
    assert "Tumnus" not in found[0][0]


def test_an_answer_with_tools_does_not_go_on_behind_its_beginning(house: House) -> None:
    """The model would get its prompt as tokens, without the tools."""
    request = replace(asked(), carries=frozenset({"tools"}))
    assert house.answer(request, pieces("They live in", " Narnia.")) == {0: ("They live in.", "stop")}
    assert len(house.backend.asked) == 1
