"""An answer that begins before the gate's verdict: it is used only if the request passes, and else nobody sees it."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import torch
from hand_made import BASE, SavePack
from harness import eventually, serving
from stub_transport import Stubbed
from stub_vllm import TOKENIZER, WEIGHT, Bytes, StubVllm, error_answer, events_of, request_of
from tiny import minilm

from adapters.soft_prompt.model import VirtualTokens
from gateway.backends.vllm.backend import VllmBackend
from gateway.core import DEFAULT_REFUSAL, Event, Finding, Pass, Request, Sampling, Screening, Tap
from gateway.errors import AnswerError, UpstreamError, UpstreamRefused
from gateway.packs.files import Policy
from gateway.pipeline import OnScreenError, Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.settings import load_settings
from gateway.telemetry.audit import Audit, AuditEvent
from gateway.telemetry.metrics import Metrics

REFUSAL = "sorry I can not help"
LUNCH, NARNIA = "who was lunch", "who was Narnia"
CLEAN = Screening()
FLAGGED = Screening((Finding("narnia", "classifier", 2.0, 1.0, True, 0),))
FAILED = Screening(error="a detector failed")


class Verdicts(BatchedScreen):
    """A gate that says what it is told, when it is told."""

    def __init__(self, verdict: Screening) -> None:
        super().__init__()
        self.verdict = verdict
        self.given = asyncio.Event()
        self.given.set()

    async def screened(self, request: Request, gate: object) -> Screening:
        await self.given.wait()
        return self.verdict


class House:
    """A gateway over a stub of vLLM. `answers` counts the answers that the stub was asked for."""

    def __init__(self, packs: PackReloader, verdict: Screening, on_screen_error: OnScreenError) -> None:
        self.stub = StubVllm()
        self.transport = Stubbed(self.stub)
        self.backend = VllmBackend(
            upstreams=["http://vllm.test"], tokenizer=TOKENIZER, weight=WEIGHT, transport=self.transport
        )
        self.screen = Verdicts(verdict)
        self.lines: list[AuditEvent] = []
        self.metrics = Metrics()
        self.pipeline = Pipeline(
            backend=self.backend,
            packs=packs,
            screen=self.screen,
            audit=Audit(self.lines.append, self.metrics.count),
            metrics=self.metrics,
            on_screen_error=on_screen_error,
            starting=self.backend,
        )

    async def ask(self, text: str = LUNCH, **options: Any) -> list[Event]:
        answer = await self.pipeline.run(request_of(text, sampling=Sampling(max_tokens=20), **options))
        async with aclosing(answer.events) as events:
            return [event async for event in events]

    @property
    def answers(self) -> int:
        return len(self.stub.bodies)

    @property
    def idle(self) -> bool:
        """No reply is open, and no replica counts a request."""
        return self.transport.opened == self.transport.closed and not any(r.in_flight for r in self.backend._replicas)

    def metric(self, line: str) -> float:
        lines = self.metrics.text().decode().splitlines()
        return next(float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith(line))


@pytest.fixture
def packs(tmp_path: Path, save: SavePack) -> PackReloader:
    save("narnia", aliases=("Narnia",), policy=Policy(plan="refuse", refusal=REFUSAL))
    return PackReloader(tmp_path / "packs", encoder=minilm(), base_fingerprint=BASE, encoder_fingerprint=BASE)


@asynccontextmanager
async def house_of(
    packs: PackReloader, verdict: Screening, *, on_screen_error: OnScreenError = "refuse"
) -> AsyncIterator[House]:
    house = House(packs, verdict, on_screen_error)
    async with house.backend:
        house.stub.requests.clear()
        yield house
        assert house.idle
        assert house.metric("unrecall_num_requests_running") == 0


def text_of(events: list[Event]) -> str:
    return "".join(delta.text for event in events for delta in event.deltas)


def outcome(house: House) -> tuple[str | None, str | None]:
    (line,) = house.lines
    return line.plan, line.speculation


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_that_passes_gets_the_answer_that_was_begun(packs: PackReloader, stream: bool) -> None:
    async def run() -> tuple[list[Event], list[Event]]:
        async with house_of(packs, CLEAN) as house:
            events = await house.ask(stream=stream)
            assert house.answers == 1
            assert outcome(house) == ("Pass", "used")
            assert house.metric('unrecall_speculated_requests_total{outcome="used"}') == 1
            request = request_of(LUNCH, sampling=Sampling(max_tokens=20), stream=stream)
            return events, [event async for event in house.backend.generate(request, Pass())]

    events, alone = asyncio.run(run())
    assert [event.data for event in events] == [event.data for event in alone]


@pytest.mark.parametrize("verdict", [FLAGGED, FAILED], ids=["flagged", "failed"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_that_does_not_pass_sees_nothing_of_it(packs: PackReloader, verdict: Screening, stream: bool) -> None:
    async def run() -> None:
        async with house_of(packs, verdict) as house:
            body = Bytes(*events_of(True, {}, 3, False), b"data: [DONE]\n\n")
            house.stub.generation = lambda: httpx.Response(200, stream=body)
            house.screen.given.clear()
            asking = asyncio.create_task(house.ask(stream=stream))
            await settled(lambda: house.transport.opened > house.transport.closed)
            house.screen.given.set()
            events = await asking
            assert "Ada" not in text_of(events)
            assert text_of(events) in (REFUSAL, DEFAULT_REFUSAL)
            assert all(event.data is None for event in events)
            assert body.closed
            assert (house.answers, outcome(house)) == (1, ("Refuse", "aborted"))
            assert house.metric('unrecall_speculated_requests_total{outcome="aborted"}') == 1
            assert house.metric("unrecall_speculation_aborted_seconds_total") > 0

    asyncio.run(run())


def test_an_operator_who_lets_failed_screenings_pass_gets_the_answer(packs: PackReloader) -> None:
    async def run() -> None:
        async with house_of(packs, FAILED, on_screen_error="pass") as house:
            assert text_of(await house.ask()) == "Ada was"
            assert outcome(house) == ("Pass", "used")

    asyncio.run(run())


@pytest.mark.parametrize("text", [NARNIA, NARNIA + " " * 1000], ids=["short", "long"])
def test_a_name_that_flags_a_request_keeps_it_from_the_upstream(packs: PackReloader, text: str) -> None:
    async def run() -> None:
        async with house_of(packs, FLAGGED) as house:
            assert text_of(await house.ask(text)) == REFUSAL
            assert (house.answers, outcome(house)) == (0, ("Refuse", "skipped"))
            assert house.metric('unrecall_speculated_requests_total{outcome="skipped"}') == 1

    asyncio.run(run())


def test_names_that_cannot_be_looked_for_keep_a_request_from_the_upstream(
    packs: PackReloader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no automaton")

    monkeypatch.setattr(type(packs.gate), "named_in", fail)

    async def run() -> None:
        async with house_of(packs, FAILED) as house:
            await house.ask()
            assert (house.answers, outcome(house)) == (0, ("Refuse", "skipped"))

    asyncio.run(run())


FAULTS: list[Callable[[], httpx.Response]] = [
    lambda: error_answer(400, "secret words of the upstream"),
    lambda: error_answer(500, "secret words of the upstream"),
    lambda: httpx.Response(200, stream=Bytes(b'data: {"error": {"message": "secret words", "code": 400}}\n\n')),
    lambda: httpx.Response(200, stream=Bytes(httpx.ReadError("reset"))),
]


@pytest.mark.parametrize("fault", FAULTS)
class TestFaults:
    def test_the_upstreams_fault_is_told_if_the_request_passes(
        self, packs: PackReloader, fault: Callable[[], httpx.Response]
    ) -> None:
        async def run() -> None:
            async with house_of(packs, CLEAN) as house:
                house.stub.generation = fault
                with pytest.raises(AnswerError) as raised:
                    await house.ask(stream=True)
                assert isinstance(raised.value, UpstreamRefused | UpstreamError)
                assert outcome(house) == ("Pass", "used")

        asyncio.run(run())

    def test_and_never_if_it_does_not(
        self, packs: PackReloader, fault: Callable[[], httpx.Response], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)

        async def run() -> None:
            async with house_of(packs, FLAGGED) as house:
                house.stub.generation = fault
                house.screen.given.clear()
                asking = asyncio.create_task(house.ask(stream=True))
                await settled(lambda: house.answers)
                house.screen.given.set()
                assert text_of(await asking) == REFUSAL
                assert outcome(house) == ("Refuse", "aborted")

        asyncio.run(run())
        assert "secret" not in caplog.text


@pytest.mark.parametrize("verdict", [CLEAN, FLAGGED], ids=["clean", "flagged"])
def test_no_event_comes_before_the_verdict(packs: PackReloader, verdict: Screening) -> None:
    async def run() -> None:
        async with house_of(packs, verdict) as house:
            house.screen.given.clear()
            asking = asyncio.create_task(house.pipeline.run(request_of(LUNCH, stream=True)))
            await settled(lambda: house.transport.opened > house.transport.closed)
            await asyncio.sleep(0.05)
            assert not asking.done()
            house.screen.given.set()
            async with aclosing((await asking).events) as events:
                assert await anext(events)

    asyncio.run(run())


@pytest.mark.parametrize("moment", ["before the upstream answers", "before the verdict", "while it is read"])
def test_a_client_that_leaves_ends_both(packs: PackReloader, moment: str) -> None:
    async def run() -> None:
        async with house_of(packs, CLEAN) as house:
            if moment == "before the upstream answers":
                house.stub.override = hang
            if moment != "while it is read":
                house.screen.given.clear()

            read = asyncio.Event()

            async def ask() -> None:
                answer = await house.pipeline.run(request_of(LUNCH, stream=True))
                async with aclosing(answer.events) as events:
                    await anext(events)
                    read.set()
                    await asyncio.sleep(60)

            asking = asyncio.create_task(ask())
            await settled(lambda: house.answers)
            await (read.wait() if moment == "while it is read" else asyncio.sleep(0.02))
            asking.cancel()
            await asyncio.wait([asking])
            assert asking.cancelled()
            (line,) = house.lines
            used = "used" if moment == "while it is read" else "aborted"
            assert (line.outcome, line.speculation) == ("aborted", used)

    asyncio.run(run())


def test_nothing_is_left_of_many_flagged_requests(packs: PackReloader) -> None:
    """Some are aborted before the upstream has answered, some after."""

    async def run() -> None:
        async with house_of(packs, FLAGGED) as house:
            house.stub.slow = ("/v1/chat/completions",)
            tasks = asyncio.all_tasks()
            for wait_s in (0.0, 0.06):
                house.screen.given.clear()
                asking = [asyncio.create_task(house.ask(stream=bool(n % 2))) for n in range(100)]
                await asyncio.sleep(wait_s)
                house.screen.given.set()
                assert {text_of(events) for events in await asyncio.gather(*asking)} == {REFUSAL}
            assert asyncio.all_tasks() == tasks
            assert {line.speculation for line in house.lines} == {"aborted"}

    asyncio.run(run())


def test_no_comparison_begins_early(packs: PackReloader) -> None:
    house = House(packs, CLEAN, "refuse")
    with pytest.raises(ValueError, match="comparison"):
        Pipeline(
            backend=house.backend,
            packs=packs,
            screen=house.screen,
            audit=Audit(),
            metrics=house.metrics,
            comparison=object(),  # type: ignore[arg-type]
            starting=house.backend,
        )


@pytest.mark.parametrize("gated", [True, False])
def test_a_guard_that_acts_on_every_request_leaves_nothing_to_begin(
    tmp_path: Path, save: SavePack, gated: bool
) -> None:
    save("narnia", method="soft-prompt", artifact=VirtualTokens(torch.ones(1, WEIGHT.shape[1])))
    packs = PackReloader(
        tmp_path / "packs",
        encoder=minilm(),
        base_fingerprint=BASE,
        encoder_fingerprint=BASE,
        soft_prompts_gated=gated,
    )

    async def run() -> None:
        async with house_of(packs, CLEAN) as house:
            await house.ask()
            assert outcome(house) == (("Pass", "used") if gated else ("SoftPrompt", "skipped"))
            assert sum(b"prompt_embeds" not in body for body in map(orjson.dumps, house.stub.bodies)) == gated

    asyncio.run(run())


def test_a_tap_that_fails_ends_the_answer_that_was_begun(packs: PackReloader) -> None:
    def broken(*_: object) -> Tap:
        raise RuntimeError("a tap that cannot be made")

    async def run() -> None:
        async with house_of(packs, CLEAN) as house:
            house.pipeline._taps = [broken]
            with pytest.raises(RuntimeError, match="cannot be made"):
                await house.ask()
            (line,) = house.lines
            assert (line.outcome, line.speculation) == ("failed", "aborted")

    asyncio.run(run())


@pytest.mark.parametrize("speculation", [True, False])
def test_over_http_a_client_that_leaves_ends_both_and_got_no_byte(
    packs: PackReloader, monkeypatch: pytest.MonkeyPatch, speculation: bool
) -> None:
    asked = []

    async def undecided(_: object, request: Request, __: object) -> Screening:
        asked.append(request)
        await asyncio.sleep(60)
        raise AssertionError("nobody cancelled it")

    monkeypatch.setattr(BatchedScreen, "screened", undecided)
    house = House(packs, CLEAN, "refuse")
    settings = load_settings(None, {"speculation": speculation, "admin_key": "boss"})
    with serving(create_app(settings, house.backend, packs)) as url:
        house.stub.requests.clear()
        body = orjson.dumps({"model": "tiny", "messages": [{"role": "user", "content": LUNCH}], "stream": True})
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as client:
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            client.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            assert eventually(lambda: asked and (house.answers or not speculation), within_s=30)
            client.settimeout(0.1)
            with pytest.raises(TimeoutError):
                client.recv(1)
        assert eventually(lambda: house.idle, within_s=30)
        counted = httpx.get(f"{url}/metrics", headers={"x-unrecall-admin-key": "boss"}).text
    assert house.answers == speculation
    aborted = 'unrecall_speculated_requests_total{outcome="aborted"} 1.0'
    assert (aborted in counted) == speculation


async def hang(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(60)
    raise AssertionError("nobody cancelled it")


async def settled(condition: Callable[[], Any]) -> None:
    """Returns once the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
