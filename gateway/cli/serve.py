"""`unrecall serve`: settings together, then the server."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.terminal import ChatTemplate

if TYPE_CHECKING:
    from gateway.settings import Settings

__all__ = ["BackendName", "Config", "Host", "Port", "ServedModel", "ServedPacks", "UpstreamUrls", "serve"]


Config = Annotated[Path | None, typer.Option(help="YAML file with any of the settings.")]
ServedModel = Annotated[str | None, typer.Option(help="Packaged name, local folder, GGUF file, or hub id.")]
ServedPacks = Annotated[Path | None, typer.Option(help="Folder of packs.")]
BackendName = Annotated[
    str | None, typer.Option(help="embedded: the model runs in this process. vllm: it runs in a vLLM server.")
]
UpstreamUrls = Annotated[
    str | None, typer.Option(help="vllm: base URL of the server, with or without /v1. Separate several by commas.")
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]


def serve(
    config: Config = None,
    model: ServedModel = None,
    chat_template: ChatTemplate = None,
    packs: ServedPacks = None,
    backend: BackendName = None,
    upstream: UpstreamUrls = None,
    host: Host = None,
    port: Port = None,
    workers: Annotated[int | None, typer.Option(help="How many processes serve the port.")] = None,
) -> None:
    """Serve the OpenAI-compatible gateway.

    `unrecall settings` lists every setting; each can also stand in --config and in an environment variable.
    """
    from gateway.settings import load_settings

    overrides: dict[str, Any] = {
        "model": model,
        "chat_template": chat_template,
        "packs": packs,
        "backend": backend,
        "upstream": upstream,
        "host": host,
        "port": port,
        "workers": workers,
    }
    settings = load_settings(config, overrides)
    if settings.workers > 1:
        from gateway.server.workers import serve_workers

        serve_workers(settings)
    else:
        _serve_alone(settings)


def _serve_alone(settings: "Settings") -> None:
    from gateway.server.checks import check_folders
    from gateway.server.process import check_port, end_well, log_to, open_more_files, server_of, settle, shown

    check_port(settings.host, settings.port)
    check_folders(settings)
    log_to(settings.audit_file, key=settings.audit_key)
    end_well()
    open_more_files()
    log = logging.getLogger("unrecall")
    log.info("loading %s", settings.model)
    from gateway.server.app import build_app  # only now: what is wrong with settings, port or log is told at once

    async def started() -> None:
        port = server.servers[0].sockets[0].getsockname()[1]
        log.info("serving on http://%s", shown(settings.host, port))

    server = server_of(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        client_timeout_s=settings.client_timeout_s,
        on_start=started,
    )
    settle()
    with suppress(KeyboardInterrupt):
        server.run()
