"""OpenTelemetry spans: one a request, made of its audit event when it has ended, under the `gen_ai.*` conventions.

A span holds no text of a prompt or an answer. What tells of scopes (plan, scopes, the gate's time) stands in it only if
the operator asks for it: whoever reads traces would learn which requests were flagged.
"""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import SetupError
from gateway.telemetry.audit import AuditEvent

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Spans", "otlp_exporter", "spans_of"]

_OPERATIONS = {"completions": "text_completion"}  # every other endpoint is a chat
_LAST_S = 2.0
_LONGEST_MODEL = 100  # characters; a client may send any name
_TRACE_HEADERS = ("traceparent", "tracestate")


class Spans:
    """A sink of audit events, and a layer around the application that reads which trace a request belongs to."""

    def __init__(self, exporter: "SpanExporter", *, with_scopes: bool = False) -> None:
        """
        Args:
            exporter: takes the spans, in a thread of its own.
            with_scopes: whether spans tell the plan, the scopes and the gate's time.
        """
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins over this name.
        named = Resource.create({"service.name": "unrecall"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer("unrecall")
        self._with_scopes = with_scopes

    def __call__(self, event: AuditEvent) -> None:
        """Makes the span of a request that has ended. A shadow has none: there are shadows of flagged requests alone,
        and no client waits for them."""
        if event.shadow:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode

        ended = time.time_ns()
        operation = _OPERATIONS.get(event.endpoint, "chat")
        span = self._tracer.start_span(
            f"{operation} {event.model[:_LONGEST_MODEL]}",
            kind=SpanKind.SERVER,
            attributes=self._attributes(event, operation),
            start_time=ended - int(event.total_ms * 1e6),
        )
        if event.outcome != "ok":
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def _attributes(self, event: AuditEvent, operation: str) -> Mapping[str, Any]:
        told = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "unrecall",
            "gen_ai.request.model": event.model[:_LONGEST_MODEL],
            "gen_ai.request.stream": event.stream,
            "gen_ai.response.time_to_first_chunk": _seconds(event.first_chunk_ms),
            "error.type": None if event.outcome == "ok" else event.outcome,
            "unrecall.endpoint": event.endpoint,
            "unrecall.request.id": event.id,
            "unrecall.worker": event.worker,
        }
        if self._with_scopes:
            told |= {
                "unrecall.plan": event.plan,
                "unrecall.decided_plan": event.decided_plan,
                "unrecall.fallback": event.fallback,
                "unrecall.scopes": list(event.scopes or ()),
                "unrecall.leaks": [leak["kind"] for leak in event.leaks or ()],
                "unrecall.screen_error": event.screen_error,
                "unrecall.gate_s": _seconds(event.gate_ms),
                "unrecall.speculation": event.speculation,
                "unrecall.arm": event.arm,
            }
        return {name: value for name, value in told.items() if value is not None}

    def around(self, application: "ASGIApp") -> "ASGIApp":
        """The application, with the spans of its requests in the traces that their clients began (`traceparent`)."""
        from opentelemetry.context import attach, detach

        async def traced(scope: "Scope", receive: "Receive", send: "Send") -> None:
            token = attach(_trace_of(scope))
            try:
                await application(scope, receive, send)
            finally:
                detach(token)

        return traced

    def close(self) -> None:
        """Sends what waits, and stops. A collector that does not take it within two seconds holds up nothing longer."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_LAST_S)


def spans_of(traces: str) -> Spans | None:
    """The sink that the setting `traces` asks for; None if it is off. Raises SetupError."""
    return None if traces == "off" else Spans(otlp_exporter(), with_scopes=traces == "otlp-scopes")


def otlp_exporter() -> "SpanExporter":
    """Sends spans to an OTLP collector by HTTP; the variables `OTEL_EXPORTER_OTLP_...` say where and how. Raises
    SetupError if OpenTelemetry is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise SetupError(
            f"traces is on, but OpenTelemetry is not installed ({error}): pip install 'unrecall[otel]', or set "
            "traces to off"
        ) from error
    return OTLPSpanExporter()


def _trace_of(scope: "Scope") -> "Context":
    """The trace that the client's headers name; none for headers that are not W3C's."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    given = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    return TraceContextTextMapPropagator().extract({name: value for name, value in given if name in _TRACE_HEADERS})


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
