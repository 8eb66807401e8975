"""Several processes that serve one port: a supervisor starts them, replaces one that dies, and ends them all.

The supervisor holds the port and loads no model. All workers accept connections from its one socket, so a connection
that waits there is not lost with a worker. The first worker starts alone: if it cannot, the supervisor says why once
and ends.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

from gateway.errors import SetupError
from gateway.server.checks import check_folders
from gateway.server.process import DRAIN_S, bound, end_well, log_to, open_more_files, server_of, settle, shown
from gateway.settings import Settings
from gateway.telemetry.pending import account_for_killed
from gateway.telemetry.sharing import Worker

__all__ = ["serve_workers"]

_log = logging.getLogger("unrecall.workers")
_READY = ""
_STOP_S = DRAIN_S + 3
_LONGEST_PAUSE_S = 30.0
_SPAWN = multiprocessing.get_context("spawn")  # torch and the threads of its libraries do not survive a fork


def serve_workers(settings: Settings) -> None:
    """Serves with `settings.workers` processes until SIGTERM or SIGINT comes; then all of them end.

    Raises SetupError if the first one cannot start; SystemExit with its status if it failed otherwise.
    """
    # Children get the settings through a private pipe: no key stands in their environment or in a file.
    plain = Settings.model_construct(settings.model_fields_set, **dict(settings))
    with (
        bound(settings.host, settings.port) as listener,
        tempfile.TemporaryDirectory(prefix="unrecall-") as folder,
        _signals() as told,
    ):
        check_folders(settings)
        log_to(settings.audit_file, key=settings.audit_key)  # tells before a model is loaded if it cannot
        _Supervisor(plain, listener, Path(folder), told).run()


class _Running:
    """A worker's process."""

    def __init__(self, settings: Settings, worker: Worker, listener: socket.socket) -> None:
        self._number = worker.number
        self.news, sender = _SPAWN.Pipe(duplex=False)  # what it says of its start
        self.process = _SPAWN.Process(
            target=_work, args=(settings, worker, listener, sender), name=f"worker-{worker.number}"
        )
        self.process.start()
        sender.close()
        self.ready = False
        self.why = ""  # it could not start

    @property
    def speaking(self) -> list[Connection]:
        """Where news will come from; it comes once."""
        return [] if self.news.closed else [self.news]

    def listen(self) -> None:
        """Takes what the process says of its start."""
        if self.news.closed:
            return
        try:
            self.why = self.news.recv()
            self.ready = self.why == _READY
            if self.ready:
                _log.info("worker %d serves (process %d)", self._number, self.process.pid)
        except EOFError:  # it died before it could say
            pass
        self.news.close()

    def status(self) -> int:
        """Of a process that is dead."""
        self.listen()
        self.process.join()
        return self.process.exitcode or 0


class _Slot:
    """One worker's place: its process, or the time when it gets a new one."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.running: _Running | None = None
        self.due = 0.0
        self._failures = 0

    def fill(self, settings: Settings, listener: socket.socket) -> None:
        """Starts a process, if none runs and the time has come."""
        if self.running is None and self.due <= time.monotonic():
            self.running = _Running(settings, self.worker, listener)

    def empty(self, dead: _Running) -> None:
        """Its process is dead: another comes at once, or after a pause if this one had not even started."""
        status = dead.status()
        self.worker.clear_gauges()
        self._failures = 0 if dead.ready else self._failures + 1
        pause_s = min(_LONGEST_PAUSE_S, 2.0**self._failures) if self._failures else 0.0
        self.running, self.due = None, time.monotonic() + pause_s
        why = f": {dead.why}" if dead.why else ""
        _log.error("worker %d ended with status %d%s; another in %g s", self.worker.number, status, why, pause_s)


class _Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket, folder: Path, told: Connection) -> None:
        self._settings = settings
        self._listener = listener
        self._told = told  # readable once a signal came
        self._slots = [_Slot(Worker(number, folder)) for number in range(1, settings.workers + 1)]

    def run(self) -> None:
        try:
            if self._first_is_ready():
                address = shown(self._settings.host, self._listener.getsockname()[1])
                _log.info("serving on http://%s", address)
                self._watch()
        finally:
            self._end()

    def _first_is_ready(self) -> bool:
        """False if a signal came first."""
        first = _Running(self._settings, self._slots[0].worker, self._listener)
        self._slots[0].running = first
        while not first.ready:
            found = wait([self._told, first.process.sentinel, *first.speaking])
            if self._told in found:
                return False
            if first.process.sentinel in found:
                status = first.status()
                if first.why:
                    raise SetupError(first.why)
                sys.exit(status if status > 0 else 1)  # its own log says why
            first.listen()
        return True

    def _watch(self) -> None:
        """Keeps every slot filled until a signal comes."""
        while True:
            for slot in self._slots:
                slot.fill(self._settings, self._listener)
            running = [(slot, slot.running) for slot in self._slots if slot.running]
            pauses = [slot.due - time.monotonic() for slot in self._slots if slot.running is None]
            dead = [this.process.sentinel for _, this in running]
            news = [one for _, this in running for one in this.speaking]
            found = wait([self._told, *dead, *news], timeout=max(0.0, min(pauses)) if pauses else None)
            if self._told in found:
                return
            for slot, this in running:
                if this.process.sentinel in found:
                    slot.empty(this)
                elif this.news in found:
                    this.listen()

    def _end(self) -> None:
        """Every worker drains, all at once; who takes too long is killed."""
        running = [slot.running.process for slot in self._slots if slot.running]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                _log.warning("%s did not end within %d s and is killed", process.name, _STOP_S)
                process.kill()
                process.join()
        if self._settings.audit_file:
            account_for_killed(self._settings.audit_file, logging.getLogger("unrecall.audit").info)


@contextmanager
def _signals() -> Iterator[Connection]:
    """A connection that becomes readable when SIGTERM or SIGINT comes."""
    reader, writer = _SPAWN.Pipe(duplex=False)

    def tell(_: int, __: FrameType | None) -> None:
        writer.send_bytes(b"!")

    before = {one: signal.signal(one, tell) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield reader
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        reader.close()
        writer.close()


def _work(settings: Settings, worker: Worker, listener: socket.socket, news: Connection) -> None:
    """The life of a worker's process."""
    end_well()
    open_more_files()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the supervisor gets it too, and tells
    _end_with_the_supervisor()
    # The libraries' threads are divided: each worker would start one for every core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // settings.workers)))
    from gateway.server.app import build_app

    try:
        log_to(settings.audit_file, key=settings.audit_key, lock=worker.lock, worker=worker.number)
        app = build_app(settings, worker=worker)
    except SetupError as error:
        news.send(str(error))
        sys.exit(2)

    settle()

    async def started() -> None:
        news.send(_READY)
        news.close()

    server_of(app, client_timeout_s=settings.client_timeout_s, on_start=started).run([listener])


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_the_supervisor() -> None:
    """If the supervisor is killed, nobody else would end this process, and it would keep the port."""

    def watch() -> None:
        if supervisor := multiprocessing.parent_process():
            supervisor.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
