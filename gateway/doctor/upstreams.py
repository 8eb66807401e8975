"""The vLLM servers: asked what the gateway asks them at its start, one by one, so that each fault has its server."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial

from gateway.arms import ArmSettings
from gateway.backends.base import Served
from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.transport import HttpTransport
from gateway.core import ModelNeed
from gateway.doctor.finding import Finding, failed, findings_of, ok, warning
from gateway.doctor.parts import Parts
from gateway.errors import UpstreamError
from gateway.server.assembly import BackendFactory, build_experiment
from gateway.settings import Settings
from gateway.telemetry.audit import Audit
from gateway.telemetry.metrics import Metrics

__all__ = ["plans", "upstreams"]

_OLDEST = (0, 26)
_CONNECT_S, _PATIENCE_S = 5.0, 30.0
_NEEDS: Mapping[ModelNeed, str] = {"prompt_embeds": "prompt embeddings", "adapters": "runtime LoRA"}


def upstreams(parts: Parts) -> Iterator[Finding]:
    """Version, model and abilities of each upstream, then the plans that the packs need. Needs the model's folder."""
    settings = parts.settings.model_copy(
        update={"upstream_read_timeout_s": min(_PATIENCE_S, parts.settings.upstream_read_timeout_s)}
    )
    if parts.folder is None:
        yield failed("upstream", "not asked: mend the model first, because the upstreams are compared with its folder")
        return
    factory = BackendFactory(settings, parts.folder)
    needed = frozenset(need for one in parts.methods.values() for need in one.needs)
    reached: list[Served] = []
    for url in settings.upstream:
        yield from findings_of(f"upstream {url}", partial(_one, factory, settings, url, needed, reached))
    if len(settings.upstream) > 1 and len(reached) == len(settings.upstream):
        yield from findings_of("upstreams", partial(_together, factory, parts))
    elif reached:
        yield from plans(parts, reached[0])
    for arm in settings.ab_arms:
        if arm.upstream:
            yield from findings_of(f"arm {arm.name}", partial(_arm, factory, settings, arm))


def _arm(factory: BackendFactory, settings: Settings, arm: ArmSettings) -> Iterator[Finding]:
    """Whether it can be compared with the guarded arm: a comparison of these two is started, and ended."""
    alone = settings.model_copy(update={"ab_arms": (arm,)})
    guarded = factory.guarded()
    experiment = build_experiment(alone, guarded, {arm.name: factory.arm(arm)}, Audit(), Metrics())

    async def started() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(guarded)
            if experiment:
                await stack.enter_async_context(experiment)

    asyncio.run(started())
    yield ok(f"arm {arm.name}", f"{', '.join(arm.upstream)} can be compared with the guarded arm")


def _one(
    factory: BackendFactory, settings: Settings, url: str, needed: frozenset[ModelNeed], reached: list[Served]
) -> Iterator[Finding]:
    """`needed` by the packs in force. What it serves is added to `reached`."""
    served = asyncio.run(_served(factory, (url,)))
    reached.append(served)
    names = ", ".join(f"{card.id} ({card.max_tokens} tokens)" for card in served.models)
    yield _told(url, asyncio.run(_version(settings, url)), names)
    faults = {need: served.unsupported_needs.get(need) for need in _NEEDS}
    if stranger := served.tokenizer_mismatch or _common(faults.values()):
        yield failed(f"model of {url}", stranger)
        return
    yield ok(f"model of {url}", "the same as the gateway's copy, which the packs are checked against")
    for need, why in faults.items():
        check = f"{_NEEDS[need]} of {url}"
        if why is None:
            yield ok(check, "served as the gateway needs them")
        elif need in needed:
            yield failed(check, why)
        else:
            yield warning(check, f"{why} (no pack in force needs them)")


def _common(faults: Collection[str | None]) -> str | None:
    """What stands in the way of every need is a fault of the model."""
    return next(iter(faults)) if len(set(faults)) == 1 else None


def _told(url: str, version: str, names: str) -> Finding:
    told = f"vLLM {version or 'of an unknown version'}, serves {names}"
    if version and _numbers(version) < _OLDEST:
        return warning(f"upstream {url}", f"{told}; versions before 0.26 were never tested: update it")
    return ok(f"upstream {url}", told)


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 26) of '0.26.0rc1+cpu'; a version that cannot be read is as good as new."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else _OLDEST


def _together(factory: BackendFactory, parts: Parts) -> Iterator[Finding]:
    """Several upstreams must serve one model; a plan needs one of them that can carry it out."""
    served = asyncio.run(_served(factory, ()))
    yield from plans(parts, served)


def plans(parts: Parts, served: Served | None = None) -> Iterator[Finding]:
    """Whether the plans of the packs in force can be carried out. `served`: None for the embedded backend, which can
    carry out all."""
    methods = parts.methods.values()
    unsupported = served.unsupported_plans(methods) if served else []
    for fault in unsupported:
        yield failed("plans", f"{fault}; until then such requests are refused")
    if methods and not unsupported:
        yield ok("plans", f"{', '.join(sorted({one.plan_name for one in methods}))} can be carried out")


async def _served(factory: BackendFactory, urls: Iterable[str]) -> Served:
    async with factory.guarded(tuple(urls)) as backend:
        return backend.served


async def _version(settings: Settings, url: str) -> str:
    """Empty where nobody tells; whether the server can be reached is told by what follows."""
    key = settings.upstream_key.get_secret_value() if settings.upstream_key else None
    transport = HttpTransport(connect_timeout_s=_CONNECT_S, read_timeout_s=_PATIENCE_S, max_connections=1)
    upstream = Upstream(url, transport, api_key=key)
    try:
        return await upstream.version()
    except UpstreamError:
        return ""
    finally:
        await upstream.aclose()
