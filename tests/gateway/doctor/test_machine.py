"""What doctor says of the machine: packages, keys, the audit log, room, and the port."""

import socket
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from harness import serving
from standins import with_parts

from gateway.doctor import machine
from gateway.doctor.finding import Finding, findings_of
from gateway.errors import SetupError, UpstreamError
from gateway.settings import Settings, load_settings


def settings_of(**given: Any) -> Settings:
    return load_settings(None, given)


def told(found: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.status for finding in found}


def test_this_python_and_its_packages_are_fine() -> None:
    assert told([*machine.python(), *machine.packages()]) == {"python": "ok", "packages": "ok"}


def test_a_package_that_is_missing_or_of_a_wrong_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wanting:
        requires = ("no-such-package>=1", "pyyaml<1", "httpx>=0.1", 'colour>=9; extra == "dev"')

    monkeypatch.setattr(machine, "distribution", lambda _: Wanting())
    (found,) = machine.packages()
    assert found.status == "failed"
    missing, wrong = found.message.partition(": run")[0].split("; ")
    assert missing == "no-such-package is not installed"
    assert wrong == f"pyyaml is {version('pyyaml')} and must be <1"


def test_another_python_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "platform", with_parts(machine.platform, python_version=lambda: "3.9.2"))
    (found,) = machine.python()
    assert (found.status, found.message.split()[0]) == ("failed", "3.9.2")


class TestKeys:
    def test_without_any_the_operator_is_warned_of_each(self) -> None:
        found = machine.keys(settings_of())
        assert told(found) == dict.fromkeys(("api_keys", "admin_key", "audit_key"), "warning")

    def test_no_key_is_told(self) -> None:
        keys = {"api_keys": ["client-secret"], "admin_key": "admin-secret", "audit_key": "audit-secret"}
        found = list(machine.keys(settings_of(**keys)))
        assert {finding.status for finding in found} == {"ok"}
        assert not any("secret" in finding.message for finding in found)

    def test_a_client_must_not_have_the_admins_key(self) -> None:
        found = machine.keys(settings_of(api_keys=["a", "same"], admin_key="same", audit_key="b"))
        assert told(found) == {"api_keys": "ok", "admin_key": "failed"}

    @pytest.mark.parametrize(
        ("upstream", "warned"),
        [
            ("http://10.0.0.5:8000", True),
            ("http://vllm:8000", True),
            ("http://127.0.0.1:1", False),
            ("http://[::1]:1", False),
        ],
    )
    def test_a_far_upstream_should_ask_for_a_key(self, upstream: str, warned: bool) -> None:
        found = told(machine.keys(settings_of(backend="vllm", upstream=upstream)))
        assert ("upstream_key" in found) is warned

    def test_the_address_is_named_where_others_reach_it(self) -> None:
        (found, *_) = machine.keys(settings_of(host="0.0.0.0"))  # noqa: S104
        assert "other machines" in found.message


def test_settings_that_let_something_through_are_named() -> None:
    arm = {"name": "b", "share": 0.5, "unlearned": True, "upstream": "http://b"}
    given = {"on_screen_error": "pass", "on_audit_error": "answer", "audit_prompts": True, "ab_arms": [arm]}
    assert told(machine.dangers(settings_of(**given))) == dict.fromkeys(given, "warning")
    assert told(machine.dangers(settings_of())) == {}


class TestAudit:
    def test_a_file_that_can_be_written_stays_as_it_is(self, tmp_path: Path) -> None:
        file = tmp_path / "audit.jsonl"
        for content in (None, b"one line\n"):
            if content:
                file.write_bytes(content)
            assert told(machine.audit(settings_of(audit_file=file))) == {"audit log": "ok"}
            assert (file.read_bytes() if file.exists() else None) == content
        assert [one.name for one in tmp_path.iterdir()] == ["audit.jsonl"]

    def test_a_folder_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        (found,) = machine.audit(settings_of(audit_file=tmp_path / "gone" / "audit.jsonl"))
        assert (found.status, "make its folder" in found.message) == ("failed", True)

    def test_a_folder_in_the_place_of_the_file_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "audit.jsonl").mkdir()
        assert told(machine.audit(settings_of(audit_file=tmp_path / "audit.jsonl"))) == {"audit log": "failed"}


class TestDisk:
    @pytest.mark.parametrize(("free", "status"), [(5e6, "failed"), (5e8, "warning"), (5e10, "ok")])
    def test_little_room_is_said(self, free: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
        room = type("Usage", (), {"free": free})
        monkeypatch.setattr(machine, "shutil", with_parts(machine.shutil, disk_usage=lambda _: room))
        assert told(machine.disk(settings_of())) == {"disk": status}

    def test_the_folder_of_adapters_may_be_made_later(self, tmp_path: Path) -> None:
        settings = settings_of(backend="vllm", upstream="http://a", adapters_folder=tmp_path / "x" / "y")
        assert told(machine.disk(settings))["adapters folder"] == "ok"
        assert list(tmp_path.iterdir()) == []

    def test_a_file_in_its_place_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "adapters").touch()
        settings = settings_of(backend="vllm", upstream="http://a", adapters_folder=tmp_path / "adapters")
        assert told(machine.disk(settings))["adapters folder"] == "failed"


class TestTraces:
    @pytest.fixture(autouse=True)
    def collector(self, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
        pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
        for name in machine._COLLECTOR:
            monkeypatch.delenv(name, raising=False)
        return monkeypatch

    def test_none_are_no_finding(self) -> None:
        assert told(machine.traces(settings_of())) == {}

    def test_where_they_go_is_said(self, collector: pytest.MonkeyPatch) -> None:
        assert told(machine.traces(settings_of(traces="otlp"))) == {"traces": "warning"}
        collector.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        (found,) = machine.traces(settings_of(traces="otlp"))
        assert (found.status, found.message) == ("ok", "spans go to http://collector:4318")

    def test_that_they_tell_of_scopes_is_said(self, collector: pytest.MonkeyPatch) -> None:
        collector.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        found = list(machine.traces(settings_of(traces="otlp-scopes")))
        assert [finding.status for finding in found] == ["ok", "warning"]
        assert "which requests were flagged" in found[1].message

    def test_a_package_that_is_not_installed_is_said(self, collector: pytest.MonkeyPatch) -> None:
        collector.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
        (found,) = findings_of("traces", lambda: machine.traces(settings_of(traces="otlp")))
        assert (found.status, "unrecall[otel]" in found.message) == ("failed", True)


class TestPort:
    def test_a_free_one_is_left_free(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
        assert told(machine.port(settings_of(port=number))) == {"port": "ok"}
        socket.create_server(("127.0.0.1", number)).close()

    def test_another_programs_port_is_said(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            (found,) = machine.port(settings_of(port=taken.getsockname()[1]))
        assert (found.status, "choose another --port" in found.message) == ("failed", True)

    def test_a_gateway_that_serves_there_is_told_of(self) -> None:
        from fastapi import FastAPI

        app = FastAPI()
        app.get("/healthz")(lambda: {"alive": True})
        with serving(app) as url:
            (found,) = machine.port(settings_of(port=int(url.rpartition(":")[2])))
        assert (found.status, "already" in found.message) == ("warning", True)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SetupError("mend it"), "mend it"),
        (UpstreamError("wake it"), "wake it"),
        (RuntimeError("odd"), "the check itself failed (RuntimeError: odd)"),
    ],
)
def test_an_error_is_a_finding_and_ends_no_other_check(error: Exception, message: str) -> None:
    def work() -> Iterable[Finding]:
        yield Finding("a", "ok", "")
        raise error

    assert list(findings_of("b", work)) == [Finding("a", "ok", ""), Finding("b", "failed", message)]
