"""OpenTelemetry spans: what they tell, what they must not tell, and to which trace they belong."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hand_made import BASE, artifacts_of, manifest_of
from harness import ROOT, eventually, serving
from stub_transport import Stubbed
from stub_vllm import TOKENIZER, WEIGHT, StubVllm
from tiny import minilm

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gateway.backends.vllm.backend import VllmBackend
from gateway.packs.files import Policy
from gateway.packs.store import save_pack
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.settings import load_settings
from gateway.telemetry import spans as spans_module
from gateway.telemetry.audit import AuditEvent
from gateway.telemetry.spans import Spans

PASSED = AuditEvent(
    time="2026-01-01T00:00:00Z",
    id="0123",
    endpoint="chat",
    model="tiny",
    stream=True,
    outcome="ok",
    total_ms=250.0,
    plan="Pass",
    scopes=(),
    findings=(),
    gate_ms=2.0,
    windows=1,
    speculation="used",
    first_chunk_ms=40.0,
)
FLAGGED = replace(
    PASSED,
    messages=[{"role": "user", "text": "Who is Aslan?"}],
    plan="Refuse",
    decided_plan="Corrupt",
    fallback="no embeddings",
    scopes=("narnia",),
    findings=[{"scope": "narnia", "kind": "name"}],
    weights={"narnia": 0.5},
    served_weights={"narnia": 0.5},
    screen_error="too slow",
    gate_ms=31.0,
    windows=7,
    speculation="aborted",
    speculation_ms=9.0,
    speculation_bytes=99,
    leaks=[{"scope": "narnia", "kind": "name", "plan": "Refuse"}],
    held_chars=5,
    held_ms=3.0,
    arm="guarded",
    leak_screen=["narnia"],
)


def spans_of(*events: AuditEvent, with_scopes: bool = False) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter, with_scopes=with_scopes)
    for event in events:
        spans(event)
    spans.close()
    return exporter.get_finished_spans()


def test_a_span_has_the_conventions_names_and_the_requests_times() -> None:
    before = time.time_ns()
    (span,) = spans_of(PASSED)
    assert (span.name, span.kind, span.status.status_code) == ("chat tiny", SpanKind.SERVER, StatusCode.UNSET)
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "unrecall",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.04,
        "unrecall.endpoint": "chat",
        "unrecall.request.id": "0123",
    }
    assert span.start_time
    assert span.end_time
    assert span.end_time - span.start_time == 250_000_000
    assert before <= span.end_time <= time.time_ns()
    assert span.resource.attributes["service.name"] == "unrecall"


@pytest.mark.parametrize(
    ("endpoint", "operation"), [("completions", "text_completion"), ("messages", "chat"), ("responses", "chat")]
)
def test_the_operation_of_each_endpoint(endpoint: str, operation: str) -> None:
    (span,) = spans_of(replace(PASSED, endpoint=endpoint))
    assert (span.name, (span.attributes or {})["unrecall.endpoint"]) == (f"{operation} tiny", endpoint)


def test_an_error_is_named() -> None:
    (span,) = spans_of(replace(PASSED, outcome="UpstreamTimeout", first_chunk_ms=None))
    assert span.status.status_code == StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "UpstreamTimeout"


def test_a_clients_long_name_of_a_model_is_cut() -> None:
    (span,) = spans_of(replace(PASSED, model="m" * 10_000))
    assert len(span.name) < 200
    assert max(len(str(value)) for value in (span.attributes or {}).values()) < 200


def test_without_the_operators_word_a_flagged_requests_span_is_like_any_other() -> None:
    passed, flagged = spans_of(PASSED, FLAGGED)
    assert passed.attributes == flagged.attributes
    assert (passed.name, passed.status.status_code) == (flagged.name, flagged.status.status_code)
    assert not passed.events
    assert not flagged.events


def test_a_shadow_has_no_span_because_only_flagged_requests_have_shadows() -> None:
    assert spans_of(replace(FLAGGED, shadow=True), with_scopes=True) == ()


def test_with_it_a_span_tells_scopes_and_still_no_text() -> None:
    (span,) = spans_of(FLAGGED, with_scopes=True)
    told = {name: value for name, value in (span.attributes or {}).items() if name.startswith("unrecall.")}
    assert told == {
        "unrecall.endpoint": "chat",
        "unrecall.request.id": "0123",
        "unrecall.plan": "Refuse",
        "unrecall.decided_plan": "Corrupt",
        "unrecall.fallback": "no embeddings",
        "unrecall.scopes": ("narnia",),
        "unrecall.leaks": ("name",),
        "unrecall.screen_error": "too slow",
        "unrecall.gate_s": 0.031,
        "unrecall.speculation": "aborted",
        "unrecall.arm": "guarded",
    }
    assert "Aslan" not in span.to_json()


def test_the_operators_name_of_the_service_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "unrecall-in-berlin")
    (span,) = spans_of(PASSED)
    assert span.resource.attributes["service.name"] == "unrecall-in-berlin"


def test_a_collector_gets_them_by_http(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.telemetry.spans import otlp_exporter

    taken: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        spans = Spans(otlp_exporter())
        spans(FLAGGED)
        spans.close()
        assert eventually(lambda: taken, within_s=30)
    ((path, body),) = taken
    assert path == "/v1/traces"
    assert b"gen_ai.request.model" in body
    assert b"narnia" not in body


def test_a_collector_that_takes_nothing_does_not_hold_up_the_end() -> None:
    taken = threading.Event()

    class Stuck(InMemorySpanExporter):
        def export(self, spans: Any) -> Any:
            taken.wait(60)
            return super().export(spans)

    exporter = Stuck()
    spans = Spans(exporter)
    spans(PASSED)
    spans.close()
    assert exporter.get_finished_spans() == ()
    taken.set()


class TestThroughTheGateway:
    @pytest.fixture
    def exporter(self, monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
        found = InMemorySpanExporter()
        monkeypatch.setattr(spans_module, "otlp_exporter", lambda: found)
        return found

    @pytest.fixture
    def ask(self, tmp_path: Path, exporter: InMemorySpanExporter) -> Any:
        """Asks a gateway that refuses what names Narnia; it is stopped, so that its spans are there, by `exporter`."""
        packs = tmp_path / "packs"
        save_pack(packs, artifacts_of(policy=Policy(plan="refuse")), manifest_of("narnia"))
        reloader = PackReloader(packs, encoder=minilm(), base_fingerprint=BASE, encoder_fingerprint=BASE)
        backend = VllmBackend(
            upstreams=["http://vllm"], tokenizer=TOKENIZER, weight=WEIGHT, transport=Stubbed(StubVllm())
        )

        def asked(prompts: list[str], traces: str = "otlp", **headers: str) -> None:
            app = create_app(load_settings(None, {"packs": packs, "traces": traces}), backend, reloader)
            with serving(app) as url:
                for prompt in prompts:
                    body = {"model": "tiny", "messages": [{"role": "user", "content": prompt}]}
                    assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers).status_code == 200

        return asked

    def test_every_request_has_one_and_none_tells_which_was_flagged(
        self, ask: Any, exporter: InMemorySpanExporter
    ) -> None:
        ask(["who was lunch", "who was Narnia"])
        spans = exporter.get_finished_spans()
        own = {"unrecall.request.id", "gen_ai.response.time_to_first_chunk"}
        told = [{name: value for name, value in (one.attributes or {}).items() if name not in own} for one in spans]
        assert len(told) == 2
        assert told[0] == told[1]
        assert all(own <= (one.attributes or {}).keys() for one in spans)

    def test_the_operator_may_ask_for_scopes(self, ask: Any, exporter: InMemorySpanExporter) -> None:
        ask(["who was Narnia"], traces="otlp-scopes")
        (span,) = exporter.get_finished_spans()
        told = span.attributes or {}
        assert (told["unrecall.plan"], told["unrecall.scopes"]) == ("Refuse", ("narnia",))

    def test_by_default_there_are_none(self, ask: Any, exporter: InMemorySpanExporter) -> None:
        ask(["who was lunch"], traces="off")
        assert exporter.get_finished_spans() == ()

    def test_a_span_joins_the_trace_that_its_client_began(self, ask: Any, exporter: InMemorySpanExporter) -> None:
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        ask(["who was lunch"], traceparent=f"00-{trace}-{parent}-01")
        (span,) = exporter.get_finished_spans()
        assert span.context
        assert span.parent
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)

    @pytest.mark.parametrize("header", ["", "nonsense", "00-0-0-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
    def test_a_header_that_names_no_trace_begins_a_new_one(
        self, header: str, ask: Any, exporter: InMemorySpanExporter
    ) -> None:
        ask(["who was lunch"], traceparent=header)
        (span,) = exporter.get_finished_spans()
        assert span.parent is None


def test_without_the_package_the_operator_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter'] = None\n"
        "from gateway.errors import SetupError\nfrom gateway.telemetry.spans import otlp_exporter\n"
        "try:\n    otlp_exporter()\nexcept SetupError as error:\n    print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pip install 'unrecall[otel]'" in told.stdout
