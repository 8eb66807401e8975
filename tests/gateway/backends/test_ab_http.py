"""Two model servers behind one gateway, through HTTP: what clients see, and what the operator learns."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hand_made import BASE, artifacts_of, manifest_of
from harness import eventually, serving
from stub_transport import Stubbed
from stub_vllm import TOKENIZER, WEIGHT, StubVllm, failing
from tiny import minilm

from gateway.backends.vllm.backend import VllmBackend
from gateway.errors import SetupError
from gateway.experiments.assignment import Arm, arm_of
from gateway.experiments.report import read_lines, report_on
from gateway.packs.files import Policy
from gateway.packs.store import save_pack
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.settings import load_settings

CHAT = "/v1/chat/completions"
LUNCH, NARNIA = "who was lunch", "who was Narnia"
REFUSAL = "sorry I can not help"


@dataclass
class House:
    """A gateway whose guarded arm refuses what is flagged, and whose arm b is unlearned, and leaks all the same: it
    says 'Ada was', and Ada is a name of the scope."""

    packs: Path
    log: Path
    guarded: StubVllm = field(default_factory=StubVllm)
    b: StubVllm = field(default_factory=StubVllm)
    url: str = ""

    def app(self, **settings: Any) -> FastAPI:
        arms = [{"name": "b", "share": 0.5, "unlearned": True, "upstream": "http://b"}]
        loaded = load_settings(None, {"packs": self.packs, "ab_arms": arms, **settings})
        reloader = PackReloader(self.packs, encoder=minilm(), base_fingerprint=BASE, encoder_fingerprint=BASE)
        return create_app(loaded, over(self.guarded), reloader, {"b": over(self.b)})

    @contextmanager
    def open(self, **settings: Any) -> Iterator["House"]:
        with serving(self.app(**settings)) as self.url:
            self.guarded.requests.clear()
            self.b.requests.clear()
            yield self

    def ask(self, text: str, *, user: str | None = None, key: str = "-", **fields: Any) -> httpx.Response:
        messages = [{"role": "user", "content": text}]
        body = {"model": "tiny", "messages": messages, "max_tokens": 9, **({"user": user} if user else {}), **fields}
        return httpx.post(self.url + CHAT, json=body, headers={"authorization": f"Bearer {key}"}, timeout=30)

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def over(stub: StubVllm) -> VllmBackend:
    return VllmBackend(upstreams=["http://vllm.test"], tokenizer=TOKENIZER, weight=WEIGHT, transport=Stubbed(stub))


@pytest.fixture
def house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[House]:
    packs, log = tmp_path / "packs", tmp_path / "audit.jsonl"
    packs.mkdir()
    policy = Policy(plan="refuse", refusal=REFUSAL, output="off")  # the stub says Ada to everybody
    save_pack(packs, artifacts_of(aliases=("Narnia", "Ada"), policy=policy), manifest_of("narnia"))
    caplog.set_level(logging.INFO, "unrecall.audit")
    audit, file = logging.getLogger("unrecall.audit"), logging.FileHandler(log)
    audit.addHandler(file)
    yield House(packs, log)
    audit.removeHandler(file)
    file.close()


def users(count: int) -> dict[str, str]:
    """Names, and the arm that each meets with the default salt."""
    arms = (Arm("b", 0.5),)
    return {f"u{n}": "b" if arm_of(f"user u{n}", arms, "unrecall") else "guarded" for n in range(count)}


def words(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_users_are_split_and_the_report_tells_the_arms_apart(house: House) -> None:
    with house.open(admin_key="boss"):
        for user, arm in users(12).items():
            assert words(house.ask(NARNIA, user=user)) == ("Ada was" if arm == "b" else REFUSAL)
            assert words(house.ask(LUNCH, user=user)) == "Ada was"
        assert eventually(lambda: len(house.audit) == 24, within_s=30)
        metrics = httpx.get(house.url + "/metrics", headers={"x-unrecall-admin-key": "boss"}).text
    on_b = list(users(12).values()).count("b")
    assert len(house.b.bodies) == 2 * on_b
    assert len(house.guarded.bodies) == 12 - on_b
    assert f'unrecall_arm_leak_screens_total{{arm="b",hit="true",shadow="false"}} {on_b}.0' in metrics
    guarded, b = report_on(read_lines([house.log])[0]).arms
    assert (guarded.flagged, guarded.hits) == (12 - on_b, 0)
    assert (b.requests, b.flagged, b.screened, b.hits) == (2 * on_b, on_b, on_b, on_b)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_nothing_but_the_words_tells_which_arm_answered(house: House, stream: bool) -> None:
    """Both upstreams say the same to what is not flagged; what is flagged only one answers, else the gateway does."""
    with house.open():
        passed = [house.ask(LUNCH, user=user, stream=stream) for user in users(8)]
        flagged = [house.ask(NARNIA, user=user).json() for user in users(8)]
    assert len({answer.content for answer in passed}) == 1
    assert len({tuple(sorted(answer.headers)) for answer in passed}) == 1
    assert len({json.dumps([list(body), list(body["choices"][0]), body["model"]]) for body in flagged}) == 1


def test_streams_are_looked_through_too(house: House) -> None:
    user = next(user for user, arm in users(9).items() if arm == "b")
    with house.open():
        assert "Ada" in house.ask(NARNIA, user=user, stream=True).text
        assert eventually(lambda: house.log.stat().st_size, within_s=30)
    (line,) = house.audit
    assert (line["arm"], line["leak_screen"], line["plan"]) == ("b", ["narnia"], "Pass")


def test_keys_are_split_where_they_count_and_never_written(house: House) -> None:
    keys = [f"secret-{n}" for n in range(12)]
    with house.open(ab_by="key", api_keys=keys):
        for _ in range(2):
            for n, key in enumerate(keys):
                house.ask(LUNCH, user=f"u{n}", key=key)
    arms = [line["arm"] for line in house.audit]
    assert arms[:12] == arms[12:]
    assert set(arms) == {"b", "guarded"}
    assert not [word for word in ("secret", "u1", "lunch", "Ada") if word in house.log.read_text()]


def test_an_arm_that_dies_is_an_upstream_error_for_its_users_alone(house: House) -> None:
    with house.open(admin_key="boss"):
        house.b.override = failing(httpx.ConnectError("no"))
        for user, arm in users(8).items():
            assert house.ask(LUNCH, user=user).status_code == (502 if arm == "b" else 200)
        ready = httpx.get(house.url + "/readyz", headers={"x-unrecall-admin-key": "boss"})
        assert (ready.status_code, ready.json()["healthy"]) == (200, False)
        assert "arm b: the model server cannot be reached" in ready.json()["problems"]
        house.b.override = None
        assert {house.ask(LUNCH, user=user).status_code for user in users(8)} == {200}


def test_a_shadow_that_hangs_costs_the_client_nothing(house: House) -> None:
    answered = threading.Event()

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.to_thread(answered.wait, 60)
        raise httpx.ReadError("it hung up")

    with house.open(ab_mode="shadow", ab_arms=SHADOW_ALL, ab_shadow_timeout_s=60, ab_shadows=2):
        house.b.override = hang
        assert [words(house.ask(NARNIA)) for _ in range(4)] == [REFUSAL] * 4
        assert not [line for line in house.audit if line.get("shadow")]
        answered.set()
        assert eventually(lambda: len(house.audit) == 6, within_s=30)
        house.b.override = None
        assert words(house.ask(NARNIA)) == REFUSAL
        assert eventually(lambda: len(house.audit) == 8, within_s=30)
    shadows = [line for line in house.audit if line.get("shadow")]
    assert [line["outcome"] for line in shadows] == ["UpstreamError", "UpstreamError", "ok"]
    assert shadows[2]["leak_screen"] == ["narnia"]


SHADOW_ALL = [{"name": "b", "share": 1.0, "unlearned": True, "upstream": "http://b"}]


class TestStart:
    def refused(self, house: House, **settings: Any) -> str:
        async def start() -> None:
            app = house.app(**settings)
            async with app.router.lifespan_context(app):
                pass

        with pytest.raises(SetupError) as error:
            asyncio.run(start())
        return str(error.value)

    def test_an_arm_that_is_not_there(self, house: House) -> None:
        house.b.override = failing(httpx.ConnectError("no"))
        assert "arm 'b': no usable vLLM server at http://vllm.test" in self.refused(house)

    def test_an_arm_of_another_name(self, house: House) -> None:
        house.b.model = "tiny-npo"
        said = self.refused(house)
        assert "arm 'b': it serves tiny-npo (64 tokens) and the guarded arm tiny (64 tokens)" in said

    @pytest.mark.parametrize("mode", ["split", "shadow"])
    def test_an_arm_of_another_tokenizer(self, house: House, mode: str) -> None:
        house.b.extra_tokens = 1
        assert "arm 'b': the upstream's chat template is not" in self.refused(house, ab_mode=mode)

    def test_an_unlearned_arm_may_be_another_model_with_the_same_tokenizer(self, house: House) -> None:
        house.b.logprob = -9.0
        with house.open():
            assert {words(house.ask(LUNCH, user=user)) for user in users(8)} == {"Ada was"}
