"""`unrecall serve`: settings together, then the server."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["serve"]


def serve(
    config: Annotated[Path | None, typer.Option(help="YAML file with any of the settings.")] = None,
    model: Annotated[str | None, typer.Option(help="Packaged name, local folder, or hub id.")] = None,
    packs: Annotated[Path | None, typer.Option(help="Folder of packs.")] = None,
    backend: Annotated[
        str | None, typer.Option(help="embedded: the model runs in this process. vllm: it runs in a vLLM server.")
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(help="vllm: base URL of the server, with or without /v1. Separate several by commas.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the OpenAI-compatible gateway.

    `unrecall settings` lists every setting; each can also stand in --config and in an environment variable.
    """
    from gateway.settings import load_settings

    overrides: dict[str, Any] = {
        "model": model,
        "packs": packs,
        "backend": backend,
        "upstream": upstream,
        "host": host,
        "port": port,
    }
    settings = load_settings(config, overrides)

    import uvicorn  # only now: bad settings are told at once

    from gateway.server.app import build_app, check_port, log_to

    check_port(settings.host, settings.port)
    log_to(settings.audit_file)
    logging.getLogger("unrecall").info("loading %s", settings.model)
    uvicorn.run(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
    )
