"""What a server's process has: its port, its logs, and the server that runs in it."""

import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from gateway.errors import SetupError
from gateway.telemetry.lines import LineHandler
from gateway.telemetry.pending import Pending, account_for_killed

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

__all__ = [
    "DRAIN_S",
    "bound",
    "check_port",
    "end_well",
    "log_to",
    "open_more_files",
    "pending_beside",
    "server_of",
    "settle",
    "shown",
]

_log = logging.getLogger("unrecall")
DRAIN_S = 10  # for the answers under way, once the server is told to end


def shown(host: str, port: int) -> str:
    """The address as a URL has it. `host` may be an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, which does not listen yet. Raises SetupError if the port is taken.

    `host` may be an IPv6 address.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listener = socket.socket(family, kind)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:  # a name that is none breaks the codec of host names
        why = getattr(error, "strerror", None) or "this is no host name"
        raise SetupError(f"cannot listen on {shown(host, port)} ({why}); choose another --port or --host") from error
    return listener


def check_port(host: str, port: int) -> None:
    """Raises SetupError at once, before any model is loaded, if the port is taken."""
    bound(host, port).close()


def log_to(
    audit_file: Path | None, *, key: SecretStr | None = None, lock: Path | None = None, worker: int | None = None
) -> None:
    """Sends audit lines to their file or to standard output, everything else to standard error. Raises SetupError for a
    file that cannot be written.

    Args:
        audit_file: is appended to. None: standard output.
        key: of the hash chain of the audit lines.
        lock: a file that all processes lock which write audit lines there.
        worker: the number of this process among several, which its log lines then tell.
    """
    who = "" if worker is None else f"worker-{worker} "
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s {who}%(name)s %(levelname)s %(message)s"
    )
    audit = logging.getLogger("unrecall.audit")
    audit.propagate = False
    audit.setLevel(logging.INFO)
    try:
        secret = key.get_secret_value().encode() if key else None
        audit.handlers = [LineHandler(audit_file, lock=lock, key=secret, worker=worker)]
        if audit_file:
            account_for_killed(audit_file, audit.info)
    except OSError as error:
        raise SetupError(
            f"cannot write the audit log {audit_file} ({error.strerror}); make its folder, free space, or give another "
            "audit_file"
        ) from error
    # A start that fails has said why in one line; the server would add its traceback.
    logging.getLogger("uvicorn.error").addFilter(lambda record: not record.getMessage().startswith("Traceback"))
    for chatty in ("httpx", "sentence_transformers", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def pending_beside(audit_file: Path | None) -> Pending | None:
    """Where the requests that are under way are noted; None without an audit file, or where none can be made."""
    if audit_file is None or not audit_file.is_file():
        return None
    try:
        return Pending(audit_file)
    except OSError as error:
        _log.warning(
            "no file can be made beside the audit log %s (%s): if the gateway is killed, requests under way will have "
            "no audit line; let it write in that folder",
            audit_file,
            error.strerror,
        )
        return None


def server_of(
    app: "FastAPI",
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    client_timeout_s: float = 60.0,
    on_start: Callable[[], Awaitable[None]] | None = None,
) -> "uvicorn.Server":
    """The HTTP server of an application: on uvloop's event loop and with httptools' parser where these are installed.

    Args:
        app: what it serves.
        host: where it listens, unless it is given a socket when it runs.
        port: likewise.
        client_timeout_s: how long it waits for a client that does not send or does not read.
        on_start: is awaited once the server listens.
    """
    import uvicorn

    from gateway.server.connections import patient_protocol

    options: dict[str, Any] = {"loop": "uvloop" if find_spec("uvloop") else "asyncio"}
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=patient_protocol(client_timeout_s),
        log_config=None,  # its own would close the handlers of `log_to`
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
        callback_notify=_once(on_start) if on_start else None,
        **options,
    )
    return uvicorn.Server(config)


def _once(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The server calls back again now and then."""
    begun = False

    async def once() -> None:
        nonlocal begun
        if not begun:
            begun = True
            await work()

    return once


def open_more_files() -> None:
    """Lets this process have as many connections as the system allows: each client is one, and its upstream another.
    Many systems allow 1,024 unless a process asks for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settle() -> None:
    """Takes what is loaded out of the garbage collector's sight. It would look through half a million objects that
    stay, a third of a second each time, now and then between requests, and for seconds at the end."""
    gc.collect()
    gc.freeze()


def end_well() -> None:
    """From now on SIGTERM ends this process with status 0. While the server runs, it takes the signal itself, drains
    first, and gives the signal back afterwards."""

    def end(_: int, __: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
