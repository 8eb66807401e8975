"""`unrecall doctor`: what keeps the gateway from serving, and what to do about it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import serve as options
from gateway.cli.terminal import ChatTemplate, tell
from gateway.errors import SetupError

if TYPE_CHECKING:
    from gateway.doctor.finding import Finding

__all__ = ["doctor"]


def doctor(
    config: options.Config = None,
    model: options.ServedModel = None,
    chat_template: ChatTemplate = None,
    packs: options.ServedPacks = None,
    backend: options.BackendName = None,
    upstream: options.UpstreamUrls = None,
    host: options.Host = None,
    port: options.Port = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object in place of the lines.")] = False,
) -> None:
    """Check what `unrecall serve` needs, with the same settings, without loading a model.

    Each check is one line: ok, warning, or failed and what to do. The exit status is 1 if one failed.
    """
    given = {
        "model": model,
        "chat_template": chat_template,
        "packs": packs,
        "backend": backend,
        "upstream": upstream,
        "host": host,
        "port": port,
    }
    found = []
    with _silence():
        for finding in _findings(config, given):
            found.append(finding)
            if not as_json:
                tell(f"{finding.status:<8} {finding.check}: {finding.message}")
    failures = sum(finding.status == "failed" for finding in found)
    if as_json:
        print(json.dumps({"ok": not failures, "checks": [asdict(finding) for finding in found]}, indent=2))
    else:
        warnings = sum(finding.status == "warning" for finding in found)
        tell(f"{len(found)} checks: {failures} failed, {warnings} warnings")
    if failures:
        raise typer.Exit(1)


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is logged: the findings say it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _findings(config: Path | None, given: dict[str, Any]) -> "Iterator[Finding]":
    from gateway.doctor.finding import failed
    from gateway.settings import load_settings

    try:
        settings = load_settings(config, given)
    except SetupError as error:
        yield failed("settings", str(error))
        return
    from gateway.doctor.examination import examine

    yield from examine(settings)
