"""Finds calls that block an event loop: a file, a blocking socket, a sleep, called from code of ours while a loop runs
in the same thread."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import blockbuster.blockbuster as library

PACKAGES = ("gateway", "classifiers", "corruption", "adapters")
_ROOTS = tuple(f"{Path(__file__).parent.parent / package}/" for package in PACKAGES)


class _Recorded(library.BlockingError):
    """A server answers such an error with a 500, or refuses, and goes on; a test must fail nevertheless."""

    found: list[str] = []  # noqa: RUF012 - of the whole process

    def __init__(self, function: str) -> None:
        super().__init__(function)
        ours = [frame for frame in traceback.extract_stack() if frame.filename.startswith(_ROOTS)]
        self.found.append(f"{function}, called in {ours[-1].filename} line {ours[-1].lineno}")


@contextmanager
def blocking_calls_raise() -> Iterator[None]:
    """While this is open, blocking calls on an event loop raise and are recorded."""
    library.BlockingError = _Recorded  # type: ignore[misc]
    buster = library.BlockBuster(list(PACKAGES))
    # Locks are held for microseconds here; whether somebody waits for one is chance.
    # And `abspath` asks for the working directory at most.
    for name in [name for name in buster.functions if name.startswith(("threading.Lock", "os.path.abspath"))]:
        del buster.functions[name]
    # The audit line is written by the loop itself, into the system's memory (docs/audit.md).
    for name in ("os.write", "os.stat", "os.read"):
        buster.functions[name].can_block_in("gateway/telemetry/lines.py", {"emit", "problem", "close"})
    # So is any other line of a log; and the framework looks up where a handler's source stands.
    for name in ("io.TextIOWrapper.write", "io.BufferedWriter.write"):
        buster.functions[name].can_block_in("logging/__init__.py", {"emit"})
    # Parts are made before a server's loop runs; tests make some inside of one. Locks on an adapter's folder are tried
    # and never waited for.
    for name in ("os.stat", "os.path.samestat", "os.readlink", "os.scandir", "os.listdir", "io.BufferedReader.read"):
        buster.functions[name].can_block_in("gateway/backends/vllm/lora_files.py", {"__init__", "use", "alone"})
        buster.functions[name].can_block_in("gateway/screening/reload.py", {"__init__"})
        buster.functions[name].can_block_in("tests/gateway/backends/stub_loras.py", {"_load"})
    buster.functions["os.stat"].can_block_in("fastapi/routing.py", {"_extract_endpoint_context"})
    buster.activate()
    try:
        yield
    finally:
        buster.deactivate()


def taken() -> list[str]:
    """The blocking calls since the last time."""
    found, _Recorded.found = _Recorded.found, []
    return found
