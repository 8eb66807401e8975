"""Prometheus metrics; notions shared with vLLM carry its names behind this project's prefix."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["ArmMetrics", "Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """A registry of its own, so that two gateways in one process do not mix."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "unrecall_requests",
            "Requests by plan and outcome",
            ["endpoint", "plan", "outcome"],
            registry=registry,
        )
        self.flagged = Counter("unrecall_flagged", "Flagged requests by scope", ["scope"], registry=registry)
        self.screen_errors = Counter("unrecall_screen_errors", "Requests the gate could not decide", registry=registry)
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
        self.running = Gauge("unrecall_num_requests_running", "Requests under way", registry=registry)

    def of_arms(self) -> "ArmMetrics":
        """Further metrics in the same registry; once."""
        return ArmMetrics(self._registry)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)


class ArmMetrics:
    """What each arm of an online comparison did; `shadow` requests are those whose answer no client sees."""

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
