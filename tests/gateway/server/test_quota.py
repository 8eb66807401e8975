"""Rates and quotas of callers: in one process, in several, and over HTTP, where a scope makes no difference."""

import subprocess
import sys
from pathlib import Path

import pytest
from hand_made import SavePack
from harness import MODEL, ROOT, chat, gateway_over
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.errors import QuotaUsed, RateExceeded
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint, resolve
from gateway.packs.files import Policy
from gateway.server.quota import Quota

CHAT = "/v1/chat/completions"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def taken(quota: Quota, caller: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            quota.take(caller)
            count += 1
        except RateExceeded:
            pass
    return count


def test_a_minutes_requests_may_come_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    quota = Quota(6, None, clock=clock)
    assert taken(quota, "a", 20) == 6
    assert taken(quota, "b", 20) == 6, "each caller has its own"
    with pytest.raises(RateExceeded) as told:
        quota.take("a")
    assert told.value.headers == {"Retry-After": "10"}
    clock.now += 9
    assert taken(quota, "a", 5) == 0
    clock.now += 1
    assert taken(quota, "a", 5) == 1
    clock.now += 3600
    assert taken(quota, "a", 20) == 6


def test_a_day_begins_with_the_first_request() -> None:
    clock = Clock()
    quota = Quota(None, 10, clock=clock)
    for _ in range(10):
        quota.take("a")
        clock.now += 60
    with pytest.raises(QuotaUsed) as told:
        quota.take("a")
    assert told.value.headers == {"Retry-After": str(86_400 - 600)}
    clock.now += 86_400 - 600
    assert taken(quota, "a", 20) == 10


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    quota = Quota(2, 5, clock=clock)
    assert taken(quota, "a", 100) == 2
    clock.now += 60
    assert taken(quota, "a", 100) == 2
    clock.now += 60
    assert taken(quota, "a", 100) == 1


def test_a_full_table_forgets_who_asked_longest_ago() -> None:
    clock = Clock()
    quota = Quota(1, None, clock=clock)
    for number in range(30_000):
        clock.now += 0.0001
        quota.take(f"caller {number}")
    assert taken(quota, "caller 29999", 1) == 0


def test_processes_that_share_a_file_count_together(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from gateway.errors import RateExceeded
from gateway.server.quota import Quota
quota, count = Quota(500, None, shared=Path({str(tmp_path / "quota")!r}), clock=lambda: 1000.0), 0
for _ in range(1000):
    try:
        quota.take("a")
        count += 1
    except RateExceeded:
        pass
print(count)
"""
    workers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 500


def test_who_comes_later_finds_what_was_counted(tmp_path: Path) -> None:
    """As a worker does that takes another's place."""
    first = Quota(3, None, shared=tmp_path / "quota")
    assert taken(first, "a", 2) == 2
    assert taken(Quota(3, None, shared=tmp_path / "quota"), "a", 3) == 1
    assert (tmp_path / "quota").stat().st_blocks * 512 >= (tmp_path / "quota").stat().st_size


def test_over_http_a_flagged_request_counts_as_any_other(tmp_path: Path, save: SavePack) -> None:
    made_for = {
        "base_fingerprint": fingerprint(resolve(MODEL)),
        "encoder_fingerprint": find_encoder("minilm").fingerprint,
    }
    save("oz", aliases=("Emerald City",), policy=Policy(plan="refuse", refusal="No."), changes=made_for)
    with gateway_over(
        EmbeddedBackend(tiny_model(), name=MODEL),
        tmp_path / "packs",
        api_keys=["first", "second"],
        key_requests_per_minute=3,
    ) as gateway:
        limited = []
        for key, prompt in (("first", "Where is the Emerald City?"), ("second", "Where is the sea?")):
            bearer = {"authorization": f"Bearer {key}"}
            answers = [gateway.post(CHAT, chat(prompt, max_tokens=1), headers=bearer) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            limited.append(answers[-1])
        for answer in limited:
            error = answer.json()["error"]
            assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
            assert 1 <= int(answer.headers["retry-after"]) <= 20
        one, other = ({key for key in answer.headers if key != "x-request-id"} for answer in limited)
        assert one == other
        assert limited[0].json().keys() == limited[1].json().keys()
        wrong = gateway.post(CHAT, chat("Hello"), headers={"authorization": "Bearer guessed"})
        assert wrong.status_code == 401
