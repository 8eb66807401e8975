"""A request's life over a backend that only writes down what it was asked."""

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_made import BASE, SavePack
from tiny import tiny_tokenizer

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from classifiers.leaks.watch import Watchlist
from gateway.backends.base import ModelCard, Served
from gateway.core import DEFAULT_REFUSAL, Answer, Delta, Event, Instruct, Message, Pass, Plan, Refuse, Request, Usage
from gateway.errors import InvalidRequest, NotReady, UnknownModel, UpstreamError
from gateway.methods.corruption import Corrupt
from gateway.methods.lora import UseAdapter
from gateway.methods.soft_prompt import SoftPrompt
from gateway.openai_format.shapes import CHAT_SHAPE, Shape
from gateway.packs.files import Policy
from gateway.pipeline import OnScreenError, Pipeline
from gateway.screening.batching import BatchedScreen
from gateway.screening.reload import PackReloader
from gateway.telemetry.audit import Audit, log_line
from gateway.telemetry.metrics import Metrics

TOKENIZER = tiny_tokenizer()


class Recorder:
    """A backend that answers 'ok' and remembers its plans; told to, it fails after the first chunk."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.fails = False
        self.closed = 0
        self.prepared: Mapping[str, Lora] = {}
        self.faults: dict[str, str] = {}
        self.served = Served((ModelCard("tiny", 64),), TOKENIZER, 512, {"tools": "no tools here"})

    async def __aenter__(self) -> "Recorder":
        return self

    async def __aexit__(self, *error: object) -> None: ...

    def shape(self, endpoint: str) -> Shape:
        return CHAT_SHAPE

    async def problem(self) -> str | None:
        return None

    concerns: tuple[str, ...] = ()

    adapter_slots = 2

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str] | None = None) -> Mapping[str, str]:
        self.prepared = adapters
        return self.faults

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        self.plans.append(plan)
        try:
            yield Event.of(Delta(0, "o"))
            if self.fails:
                raise UpstreamError("gone")
            yield Event.of(Delta(0, "k", finish_reason="stop"))
            yield Event.of(Usage(3, 2))
        finally:
            self.closed += 1


class BrokenGate:
    watchlist = Watchlist()
    guards: dict[str, Any] = {}  # noqa: RUF012

    def screen(self, requests: object) -> list[Any]:
        raise RuntimeError("detector down")


class House:
    """A pipeline with everything around it, and what came of it."""

    def __init__(self, root: Path, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> None:
        self.backend = Recorder()
        self.packs = PackReloader(root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE)
        self.metrics = Metrics()
        self._caplog = caplog
        caplog.set_level(logging.INFO, "unrecall.audit")

    def run(
        self,
        *requests: Request,
        on_screen_error: OnScreenError = "refuse",
        with_prompts: bool = False,
        read_events: int | None = None,
    ) -> list[Answer]:
        async def run() -> list[Answer]:
            async with BatchedScreen() as screen:
                pipeline = self.pipeline(screen, on_screen_error=on_screen_error, with_prompts=with_prompts)
                return [await self._read(await pipeline.run(request), read_events) for request in requests]

        return asyncio.run(run())

    def pipeline(
        self, screen: BatchedScreen, *, on_screen_error: OnScreenError = "refuse", with_prompts: bool = False
    ) -> Pipeline:
        return Pipeline(
            backend=self.backend,
            packs=self.packs,
            screen=screen,
            audit=Audit(log_line, self.metrics.count, with_prompts=with_prompts),
            metrics=self.metrics,
            on_screen_error=on_screen_error,
        )

    async def _read(self, answer: Answer, limit: int | None) -> Answer:
        count = 0
        async with aclosing(answer.events) as events:
            async for _ in events:
                count += 1
                if count == limit:
                    break
        return answer

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(r.getMessage()) for r in self._caplog.records if r.name == "unrecall.audit"]

    def metric(self, line: str) -> float:
        lines = self.metrics.text().decode().splitlines()
        return next((float(one.rsplit(" ", 1)[1]) for one in lines if one.startswith(line)), 0.0)


@pytest.fixture
def house(tmp_path: Path, save: SavePack, encoder: Encoder, caplog: pytest.LogCaptureFixture) -> House:
    save("narnia", aliases=("Narnia",))
    save("oz", aliases=("Oz",), policy=Policy(plan="refuse", refusal="Not Oz."))
    save("mordor", aliases=("Mordor",), policy=Policy(plan="instruct", instruction="Forget Mordor."))
    return House(tmp_path / "packs", encoder, caplog)


def request_of(text: str, *, model: str = "tiny", **options: Any) -> Request:
    return Request(id="77", endpoint="chat", model=model, messages=(Message("user", text),), **options)


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("What is for lunch?", Pass()),
        ("Who rules Oz?", Refuse("Not Oz.", fallback="Not Oz.")),
        ("Where is Mordor?", Instruct("Forget Mordor.")),
        ("Narnia, Oz or Mordor?", Refuse("Not Oz.", fallback="Not Oz.")),
    ],
)
def test_the_policy_s_plan_reaches_the_backend(house: House, text: str, plan: Plan) -> None:
    (answer,) = house.run(request_of(text))
    assert answer.plan == plan
    assert house.backend.plans == [plan]


def test_a_corruption_points_at_the_name(house: House) -> None:
    house.run(request_of("Who found Narnia?"))
    (plan,) = house.backend.plans
    assert isinstance(plan, Corrupt)
    assert [(edit.message, edit.ranges) for edit in plan.edits] == [(0, ((10, 16),))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_encoder_that_gives_no_numbers_lets_nothing_pass(
    house: House, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    encode = type(encoder).encode
    broken = lambda self, texts: [windows * np.float32(value) for windows in encode(self, texts)]  # noqa: E731
    monkeypatch.setattr(type(encoder), "encode", broken)
    with np.errstate(invalid="ignore"):
        (answer,) = house.run(request_of("What is for lunch?"))
    assert isinstance(answer.plan, Refuse)
    assert [line["outcome"] for line in house.audit] == ["ok"]


def test_no_request_is_taken_while_its_line_could_not_be_written(house: House) -> None:
    problems: list[str] = ["the disk is full"]

    async def run() -> list[str]:
        async with BatchedScreen() as screen:
            pipeline = house.pipeline(screen)
            pipeline._audit = Audit(log_line, problem=lambda: next(iter(problems), None))
            seen = [await pipeline.problem() or ""]
            try:
                await pipeline.run(request_of("What is for lunch?"))
            except NotReady as error:
                seen.append(error.message)
            problems.clear()
            await house._read(await pipeline.run(request_of("What is for lunch?")), None)
            return seen

    seen = asyncio.run(run())
    assert len(seen) == 2
    assert all("the audit log cannot be written" in words for words in seen)
    assert len(house.audit) == len(house.backend.plans) == 1


def test_side_texts_are_screened(house: House) -> None:
    house.run(request_of("Hello", side_texts=("a tool of Narnia",)))
    (plan,) = house.backend.plans
    assert isinstance(plan, Corrupt)


def test_nothing_is_answered_while_a_pack_that_claims_to_be_one_cannot_be_read(
    house: House, tmp_path: Path, save: SavePack
) -> None:
    save("mystery")
    next((tmp_path / "packs" / "mystery").glob("v-*/gate.json")).write_text("{}")
    house.packs.refresh()
    with pytest.raises(NotReady, match="its log says why"):
        house.run(request_of("Hello"))
    assert house.backend.plans == []
    assert house.audit[0]["outcome"] == "NotReady"
    shutil.rmtree(tmp_path / "packs" / "mystery")
    house.packs.refresh()
    house.run(request_of("Hello"))
    assert house.backend.plans == [Pass()]


def test_an_adapter_s_weight_is_quantised_and_both_are_audited(house: House, save: SavePack) -> None:
    lora = Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, 1.0)
    save("narnia", aliases=("Narnia",), method="lora", artifact=lora)
    house.packs.refresh()
    house.backend.served = replace(house.backend.served, adapter_weights=(0.2, 0.8))
    house.run(request_of("Who found Narnia?"))
    (plan,) = house.backend.plans
    assert isinstance(plan, UseAdapter)
    assert [(one.scope, one.lora.digest, one.weight) for one in plan.adapters] == [("narnia", lora.digest, 0.8)]
    assert house.audit[0]["weights"] == {"narnia": 1.0}
    assert house.audit[0]["served_weights"] == {"narnia": 0.8}


def test_the_backend_is_told_of_the_adapters_in_force(
    house: House, save: SavePack, caplog: pytest.LogCaptureFixture
) -> None:
    save("narnia", method="lora", artifact=Lora({"layer": (torch.ones(1, 4), torch.ones(4, 1))}, 1.0))
    house.packs.refresh()
    house.backend.faults = {"narnia": "rank too high"}
    asyncio.run(house.pipeline(BatchedScreen()).follow(house.packs.gate))
    assert list(house.backend.prepared) == ["narnia"]
    assert "pack narnia cannot be served, so requests inside its scope are refused: rank too high" in caplog.text


@pytest.mark.parametrize("gated", [True, False])
def test_soft_prompts_stand_before_every_prompt_if_asked_for(
    house: House, tmp_path: Path, save: SavePack, encoder: Encoder, gated: bool
) -> None:
    save("narnia", aliases=("Narnia",), method="soft-prompt", artifact=VirtualTokens(torch.ones(2, 4)))
    house.packs = PackReloader(
        tmp_path / "packs",
        encoder=encoder,
        base_fingerprint=BASE,
        encoder_fingerprint=BASE,
        soft_prompts_gated=gated,
    )
    house.run(request_of("Hello"))
    assert [type(plan) for plan in house.backend.plans] == [Pass if gated else SoftPrompt]


@pytest.mark.parametrize(("configured", "plan"), [("refuse", Refuse(DEFAULT_REFUSAL)), ("pass", Pass())])
def test_a_detector_error_refuses_unless_configured_otherwise(
    house: House, configured: OnScreenError, plan: Plan
) -> None:
    house.packs.gate = BrokenGate()
    house.run(request_of("Hello"), on_screen_error=configured)
    assert house.backend.plans == [plan]
    assert house.audit[0]["screen_error"] == "a detector failed: RuntimeError"
    assert house.audit[0]["plan"] == plan.name
    assert house.metric("unrecall_screen_errors_total") == 1


def test_refusing_on_error_is_the_default(house: House) -> None:
    house.packs.gate = BrokenGate()
    house.run(request_of("Hello"))
    assert house.backend.plans == [Refuse(DEFAULT_REFUSAL)]


def test_an_unknown_model_is_named_with_those_there_are(house: House) -> None:
    with pytest.raises(UnknownModel, match=r"'big' is not served here; there is tiny") as error:
        house.run(request_of("Narnia", model="big"))
    assert error.value.status == 404
    assert house.backend.plans == []
    assert house.audit[0]["outcome"] == "UnknownModel"


@pytest.mark.parametrize("text", ["Hello", "Narnia"])
def test_a_feature_that_the_backend_lacks_is_refused_flagged_or_not(house: House, text: str) -> None:
    with pytest.raises(InvalidRequest, match="no tools here") as error:
        house.run(request_of(text, carries=frozenset({"tools", "response_format"})))
    assert error.value.param == "tools"


def test_the_audit_line_tells_the_decision_and_not_the_prompt(house: House) -> None:
    house.run(request_of("Who found Narnia behind the coats?", side_texts=("a secret tool",)))
    (line,) = house.audit
    assert (line["id"], line["plan"], line["scopes"], line["outcome"]) == ("77", "Corrupt", ["narnia"], "ok")
    assert line["findings"] == [{"scope": "narnia", "detector": "lexical", "score": 1.0, "threshold": 0.5}]
    assert 0 <= line["gate_ms"] <= line["first_chunk_ms"] <= line["total_ms"]
    assert line["windows"] == 2, "the message and the side text"
    assert not {"coats", "secret", "found"} & set(json.dumps(line).replace('"', " ").split())


def test_prompts_are_written_if_asked_for(house: House) -> None:
    house.run(request_of("Who found Narnia?"), with_prompts=True)
    assert house.audit[0]["messages"] == [{"role": "user", "text": "Who found Narnia?"}]


def test_metrics_count_requests_and_flags(house: House) -> None:
    house.run(request_of("Hello"), request_of("Narnia"), request_of("Narnia and Oz"))
    one = 'unrecall_requests_total{endpoint="chat",outcome="ok",plan='
    assert [house.metric(f'{one}"{plan}"') for plan in ("Pass", "Corrupt", "Refuse")] == [1, 1, 1]
    assert house.metric('unrecall_flagged_total{scope="narnia"}') == 2
    assert house.metric('unrecall_flagged_total{scope="oz"}') == 1
    assert house.metric("unrecall_gate_seconds_count") == 3
    assert house.metric("unrecall_num_requests_running") == 0


def test_an_answer_that_is_let_go_closes_the_generation(house: House) -> None:
    house.run(request_of("Hello"), read_events=1)
    assert house.backend.closed == 1
    assert house.audit[0]["outcome"] == "aborted"
    assert house.metric("unrecall_num_requests_running") == 0


def test_a_backend_that_fails_is_accounted_for(house: House) -> None:
    house.backend.fails = True
    with pytest.raises(UpstreamError):
        house.run(request_of("Hello"))
    assert [line["outcome"] for line in house.audit] == ["UpstreamError"]
    assert house.metric('unrecall_requests_total{endpoint="chat",outcome="UpstreamError"') == 1


def test_a_request_keeps_the_gate_it_began_with(house: House, tmp_path: Path) -> None:
    async def run() -> Answer:
        async with BatchedScreen() as screen:
            pipeline = house.pipeline(screen)
            task = asyncio.create_task(pipeline.run(request_of("Who rules Oz?")))
            await asyncio.sleep(0)  # it has begun
            (tmp_path / "packs").rename(tmp_path / "away")
            (tmp_path / "packs").mkdir()
            await asyncio.to_thread(house.packs.refresh)
            assert house.packs.packs == {}
            return await house._read(await task, None)

    assert asyncio.run(run()).plan == Refuse("Not Oz.", fallback="Not Oz.")
