"""Prometheus metrics; notions shared with vLLM carry its names behind this project's prefix."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gateway.core import Event
from gateway.telemetry.audit import AuditEvent
from gateway.telemetry.sharing import SharedMetrics, Worker

__all__ = ["REST", "SHOWN_SCOPES", "ArmMetrics", "Metrics", "Worker"]

SHOWN_SCOPES = 100
REST = "_rest"  # no scope is called so
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OPEN = {
    "unrecall_requests": frozenset({"endpoint", "outcome"}),
    "unrecall_time_to_first_token_seconds": frozenset({"le"}),
    "unrecall_e2e_request_latency_seconds": frozenset({"le"}),
    "unrecall_num_requests_running": frozenset[str](),
}
"""What an open page may show, with the labels that stay."""


class Metrics:
    """The gateway's metrics, in a registry of their own, so that two gateways in one process do not mix.

    Every gauge has the mode `livesum`: if several processes serve one port, it is the sum over those that live.
    """

    def __init__(self, worker: Worker | None = None) -> None:
        """`worker` is this process among several that serve one port. None: it is alone."""
        if worker:
            worker.share_metrics()
        registry = CollectorRegistry()
        self._registry = registry
        self._shown: Collector = SharedMetrics(worker.folder) if worker else registry
        self.requests = Counter(
            "unrecall_requests",
            "Requests by plan and outcome",
            ["endpoint", "plan", "outcome"],
            registry=registry,
        )
        self.fallbacks = Counter(
            "unrecall_fallbacks",
            "Requests that a backend refused because it could not carry the plan out, by that plan",
            ["endpoint", "decided_plan"],
            registry=registry,
        )
        self.flagged = Counter("unrecall_flagged", "Flagged requests by scope", ["scope"], registry=registry)
        self.leaks = Counter(
            "unrecall_leaks",
            "Leaks in answers, by what stood there and by the plan under which the answer went on",
            ["kind", "plan"],
            registry=registry,
        )
        self.screen_errors = Counter("unrecall_screen_errors", "Requests the gate could not decide", registry=registry)
        self.speculated = Counter(
            "unrecall_speculated_requests",
            "Requests whose answer began before the gate's verdict (used or aborted), or did not (skipped)",
            ["outcome"],
            registry=registry,
        )
        self.speculated_seconds = Counter(
            "unrecall_speculation_aborted_seconds", "Time of answers that were begun and aborted", registry=registry
        )
        self.speculated_bytes = Counter(
            "unrecall_speculation_aborted_bytes", "Bytes that had come of answers that were aborted", registry=registry
        )
        self.gate_seconds = Histogram("unrecall_gate_seconds", "Time in the gate", buckets=_SECONDS, registry=registry)
        self.first_token_seconds = Histogram(
            "unrecall_time_to_first_token_seconds",
            "Time to the first chunk",
            buckets=_SECONDS,
            registry=registry,
        )
        self.latency_seconds = Histogram(
            "unrecall_e2e_request_latency_seconds",
            "Time to the last chunk",
            buckets=_SECONDS,
            registry=registry,
        )
        self.running = Gauge(
            "unrecall_num_requests_running", "Requests under way", multiprocess_mode="livesum", registry=registry
        )

    def count(self, event: AuditEvent) -> None:
        """A sink of audit events. It does not count shadows. A request without a decision has no times."""
        if event.shadow:
            return
        if event.gate_ms is not None:
            self.gate_seconds.observe(event.gate_ms / 1000)
        for scope in event.scopes or ():
            self.flagged.labels(scope).inc()
        if event.screen_error is not None:
            self.screen_errors.inc()
        for leak in event.leaks or ():
            self.leaks.labels(leak["kind"], leak["plan"]).inc()
        if event.speculation is not None:
            self.speculated.labels(event.speculation).inc()
            self.speculated_seconds.inc((event.speculation_ms or 0) / 1000)
            self.speculated_bytes.inc(event.speculation_bytes or 0)
        if event.plan is None:
            return
        self.requests.labels(event.endpoint, event.plan, event.outcome).inc()
        if event.decided_plan is not None:
            self.fallbacks.labels(event.endpoint, event.decided_plan).inc()
        self.latency_seconds.observe(event.total_ms / 1000)
        if event.first_chunk_ms is not None:
            self.first_token_seconds.observe(event.first_chunk_ms / 1000)

    def running_one(self) -> "Running":
        """A watcher that counts one request as running until its answer is over."""
        return Running(self.running)

    def of_arms(self) -> "ArmMetrics":
        """Further metrics in the same registry; once."""
        return ArmMetrics(self._registry)

    def text(self) -> bytes:
        """The exposition format, of all workers, for the operator. Of scopes it names those that were flagged most."""
        return generate_latest(_FewScopes(self._shown))

    def open_text(self) -> bytes:
        """The same for everybody: nothing in it moves in another way if a request is flagged."""
        return generate_latest(_Open(self._shown))


class _FewScopes(Collector):
    """Another collector's metrics, where ten thousand scopes do not make ten thousand series: those flagged most keep
    theirs, and the others are summed in one. No count there can fall, because no sum of the smallest can."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """As the source has them, but for the scopes."""
        for metric in self._source.collect():
            if metric.name == "unrecall_flagged":
                metric.samples = _few(metric.samples)
            yield metric


class _Open(Collector):
    """Another collector's metrics that tell no more than a client learns from its own requests, summed over plans."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Those on the list alone, with the labels on the list alone."""
        for metric in self._source.collect():
            if metric.name in _OPEN:
                metric.samples = list(_summed(metric.samples, _OPEN[metric.name]))
                yield metric


def _summed(samples: Iterable[Sample], kept: frozenset[str]) -> Iterable[Sample]:
    """Samples by the labels that are kept. When the first one of a sum came to be is not told."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name in kept)
        if not sample.name.endswith("_created"):
            sums[sample.name, labels] = sums.get((sample.name, labels), 0.0) + sample.value
    return (Sample(name, dict(labels), value) for (name, labels), value in sums.items())


def _few(samples: list[Sample]) -> list[Sample]:
    totals = {sample.labels["scope"]: sample.value for sample in samples if sample.name.endswith("_total")}
    ranked = sorted(totals, key=lambda scope: (-totals[scope], scope))
    shown, others = set(ranked[:SHOWN_SCOPES]), ranked[SHOWN_SCOPES:]
    kept = [sample for sample in samples if sample.labels["scope"] in shown]
    if others:
        total = sum(totals[scope] for scope in others)
        kept.append(Sample("unrecall_flagged_total", {"scope": REST}, total))
    return kept


class Running:
    """Holds a gauge one higher while an answer is under way (a watcher, see `gateway.telemetry.taps`)."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        gauge.inc()

    def see(self, event: Event) -> None:
        """Nothing to do."""

    def end(self, outcome: str) -> None:
        """One less."""
        self._gauge.dec()


class ArmMetrics:
    """What each arm of an online comparison did. No client sees the answer to a `shadow` request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "unrecall_arm_requests",
            "Requests by arm and outcome",
            ["arm", "shadow", "flagged", "outcome"],
            registry=registry,
        )
        self.latency_seconds = Histogram(
            "unrecall_arm_latency_seconds",
            "Time from the gate's verdict to the last chunk of an answer",
            ["arm", "shadow"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.leak_screens = Counter(
            "unrecall_arm_leak_screens",
            "Answers to flagged requests that were looked through, and whether they speak of the scope",
            ["arm", "shadow", "hit"],
            registry=registry,
        )
        self.skipped = Counter(
            "unrecall_arm_skipped",
            "Shadows and leak screens that were left out, as too many were under way or they failed",
            ["arm", "what"],
            registry=registry,
        )
