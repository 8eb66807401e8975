"""Connections of clients that do not send, or do not read: each has a deadline, and then the connection is cut."""

import asyncio
import socket
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

__all__ = ["patient_protocol"]

# Else the system would hold some megabytes for each client that does not read. It takes twice what it is told.
_SYSTEM_BUFFER_BYTES = 1 << 16


class _Deadline:
    """Calls `missed` unless it is called off in time."""

    def __init__(self, patience_s: float, missed: Callable[[], None]) -> None:
        self._patience_s = patience_s
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Runs from now on, unless it runs already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._patience_s, self._missed)

    def call_off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def patient_protocol(patience_s: float) -> type[asyncio.Protocol]:
    """The server's protocol with deadlines: for the head of a request, from the connection's first moment on, and for a
    client that takes nothing of an answer although the buffers of the connection are full.

    The buffers hold some 64 KiB here and as much again in the system; then the answer waits, and the upstream with it.
    `patience_s` are seconds.
    """
    module, name = ("httptools_impl", "HttpToolsProtocol") if find_spec("httptools") else ("h11_impl", "H11Protocol")
    base: Any = getattr(import_module(f"uvicorn.protocols.http.{module}"), name)

    class Patient(base):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if connection := transport.get_extra_info("socket"):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SYSTEM_BUFFER_BYTES)
            self._head = _Deadline(patience_s, transport.abort)
            self._reader = _Deadline(patience_s, transport.abort)
            self._head.set()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:  # a request is under way
                self._head.call_off()
            else:
                self._head.set()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reader.set()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._reader.call_off()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._head.call_off()
            self._reader.call_off()

    return Patient
