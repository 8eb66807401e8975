"""Everything that can keep a gateway of these settings from serving, looked at before it is started."""

from collections.abc import Iterator
from functools import partial

from gateway.doctor import machine
from gateway.doctor.finding import Finding, findings_of
from gateway.doctor.memory import memory
from gateway.doctor.parts import Parts
from gateway.settings import Settings

__all__ = ["examine"]


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding a check, as they come. No model is loaded and nothing is downloaded; with vLLM the upstreams are
    asked a few short questions, as at a start."""
    parts = Parts(settings)
    yield from findings_of("python", machine.python)
    yield from findings_of("packages", machine.packages)
    yield from findings_of("model", parts.model)
    yield from findings_of("memory", partial(memory, parts, partial(machine.serves, settings)))
    yield from findings_of("encoder", parts.encoder)
    yield from findings_of("packs", parts.packs)
    yield from findings_of("plans", partial(_backend, parts))
    for check in (machine.keys, machine.dangers, machine.audit, machine.traces, machine.disk, machine.port):
        yield from findings_of(check.__name__, partial(check, settings))


def _backend(parts: Parts) -> Iterator[Finding]:
    from gateway.doctor.upstreams import plans, upstreams

    return upstreams(parts) if parts.settings.backend == "vllm" else plans(parts)
