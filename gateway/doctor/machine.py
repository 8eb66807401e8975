"""The machine: Python, packages, keys, the audit log, the disk, and the port."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gateway.doctor.finding import Finding, failed, ok, warning
from gateway.errors import SetupError
from gateway.models.cache import cache_folder
from gateway.settings import Settings

__all__ = ["audit", "dangers", "disk", "keys", "packages", "port", "python", "serves", "traces"]

_FULL_BYTES, _SCARCE_BYTES = 100_000_000, 1_000_000_000
_HEALTH_TIMEOUT_S = 2
_COLLECTOR = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def python() -> Iterator[Finding]:
    """Whether this Python is one that the package takes."""
    allowed, found = distribution("unrecall").metadata["Requires-Python"], platform.python_version()
    if SpecifierSet(allowed or "").contains(found, prereleases=True):
        yield ok("python", found)
    else:
        yield failed("python", f"{found} is not in {allowed}; install Unrecall into an environment of such a Python")


def packages() -> Iterator[Finding]:
    """Whether every package that Unrecall needs is installed, in a version that it takes."""
    needed = [Requirement(line) for line in distribution("unrecall").requires or ()]
    wrong = [fault for one in needed if (fault := _misfit(one))]
    if wrong:
        yield failed("packages", f"{'; '.join(wrong)}: run `pip install -c constraints.txt unrecall`")
    else:
        yield ok("packages", f"unrecall {version('unrecall')} and the packages that it needs")


def _misfit(needed: Requirement) -> str | None:
    if needed.marker and not needed.marker.evaluate({"extra": ""}):
        return None
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is not installed"
    fits = needed.specifier.contains(found, prereleases=True)
    return None if fits else f"{needed.name} is {found} and must be {needed.specifier}"


def keys(settings: Settings) -> Iterator[Finding]:
    """Which keys are set. None of them is told."""
    public = not _loopback(settings.host)
    if not settings.api_keys:
        where = f" on {settings.host}, which other machines reach" if public else " on this machine"
        yield warning("api_keys", f"none: the gateway answers everybody{where}; set api_keys")
    else:
        yield ok("api_keys", f"{len(settings.api_keys)} set")
    if settings.admin_key is None:
        yield warning("admin_key", "none: nobody can read /metrics and the details of /readyz; set admin_key")
    elif settings.admin_key.get_secret_value() in {key.get_secret_value() for key in settings.api_keys}:
        yield failed("admin_key", "it is a client's key too, so that this client sees what is flagged; give another")
    else:
        yield ok("admin_key", "set")
    if settings.backend == "vllm" and settings.upstream_key is None:
        far = [url for url in settings.upstream if not _loopback(urlsplit(url).hostname or "")]
        if far:
            yield warning(
                "upstream_key",
                f"none: whoever reaches {', '.join(far)} goes around the gateway; start vLLM with --api-key, set "
                "upstream_key, and let nobody but the gateway reach it",
            )
    if settings.audit_key is None:
        yield warning("audit_key", "none: whoever can write the audit log can write it anew; set audit_key")


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def dangers(settings: Settings) -> Iterator[Finding]:
    """Settings that let something through, or keep what others would not."""
    if settings.on_screen_error == "pass":
        yield warning("on_screen_error", "pass: a request that cannot be screened goes through UNGUARDED; set refuse")
    if settings.on_audit_error == "answer":
        yield warning("on_audit_error", "answer: audit lines can be LOST while the log cannot be written; set refuse")
    if settings.audit_prompts:
        yield warning("audit_prompts", "true: the audit log holds the text of prompts; guard it as you guard these")
    for arm in settings.ab_arms:
        if arm.unlearned:
            yield warning("ab_arms", f"arm {arm.name!r} gets requests UNGUARDED (unlearned); nothing checks that claim")


def audit(settings: Settings) -> Iterator[Finding]:
    """Whether audit lines can be written. Nothing is written."""
    file = settings.audit_file
    if file is None:
        yield ok("audit log", "lines go to standard output; set audit_file to keep them in a file")
        return
    try:
        _try_to_write(file.parent)  # requests under way are noted beside the file
        if file.exists():
            file.open("ab").close()
    except OSError as error:
        yield failed(
            "audit log",
            f"{file} cannot be written ({error.strerror}): make its folder, let the gateway write there, or give "
            "another audit_file",
        )
    else:
        yield ok("audit log", f"{file} can be written")


def traces(settings: Settings) -> Iterator[Finding]:
    """Whether spans can be made, and where they go. Nothing is sent."""
    from gateway.telemetry.spans import otlp_exporter

    if settings.traces == "off":
        return
    otlp_exporter().shutdown()
    named = next((os.environ[name] for name in _COLLECTOR if name in os.environ), None)
    if named is None:
        yield warning("traces", f"{_COLLECTOR[1]} is unset: spans go to http://localhost:4318; set it")
    else:
        yield ok("traces", f"spans go to {named}")
    if settings.traces == "otlp-scopes":
        yield warning("traces", "otlp-scopes: who reads traces learns which requests were flagged; set otlp")


def disk(settings: Settings) -> Iterator[Finding]:
    """Room on every disk that the gateway writes to, and whether it can write its folder of adapters."""
    folders = [cache_folder()]
    if settings.audit_file:
        folders.append(settings.audit_file.parent)
    if settings.backend == "vllm":
        folders.append(settings.adapters_folder)
        yield _writable_adapters(settings.adapters_folder)
    disks = {os.stat(there).st_dev: there for folder in folders if (there := _nearest(folder))}
    for folder in disks.values():
        free = shutil.disk_usage(folder).free
        told = f"{free / 1e9:.1f} GB free where {folder} is"
        if free < _FULL_BYTES:
            yield failed("disk", f"{told}; free space")
        elif free < _SCARCE_BYTES:
            yield warning("disk", f"{told}; free space, or audit lines and adapters will soon find none")
        else:
            yield ok("disk", told)


def _writable_adapters(folder: Path) -> Finding:
    try:
        _try_to_write(_nearest(folder) or folder)
    except OSError as error:
        return failed(
            "adapters folder",
            f"{folder} cannot be written ({error.strerror}), so that no LoRA is served; let the gateway write there, "
            "or give another adapters_folder",
        )
    return ok("adapters folder", f"{folder} can be written")


def _nearest(folder: Path) -> Path | None:
    """The folder, or that of its parents which is there."""
    absolute = folder.absolute()
    return next((one for one in (absolute, *absolute.parents) if one.exists()), None)


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")


def port(settings: Settings) -> Iterator[Finding]:
    """Whether the port is free, or a gateway serves there already."""
    from gateway.server.process import check_port, shown

    address = shown(settings.host, settings.port)
    try:
        check_port(settings.host, settings.port)
    except SetupError as error:
        if not serves(settings):
            yield failed("port", str(error))
            return
        yield warning("port", f"a gateway serves on {address} already; a second one needs another --port")
    else:
        yield ok("port", f"{address} is free")


def serves(settings: Settings) -> bool:
    """Whether a gateway answers on the port."""
    import httpx

    from gateway.server.process import shown

    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    try:
        answer = httpx.get(f"http://{shown(host, settings.port)}/healthz", timeout=_HEALTH_TIMEOUT_S)
        return bool(answer.json() == {"alive": True})
    except (httpx.HTTPError, ValueError):
        return False
