"""What `unrecall doctor` finds: one finding a check."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.errors import AnswerError, SetupError

__all__ = ["Finding", "Status", "failed", "findings_of", "ok", "warning"]

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. The message of a warning or a failure says what to do."""

    check: str
    status: Status
    message: str


def ok(check: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", message)


def warning(check: str, message: str) -> Finding:
    """The gateway serves all the same."""
    return Finding(check, "warning", message)


def failed(check: str, message: str) -> Finding:
    """The gateway does not start, or refuses what it should answer."""
    return Finding(check, "failed", message)


def findings_of(check: str, work: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What one check finds. An error that it meets is a finding too, so that the other checks go on."""
    try:
        yield from work()
    except SetupError as error:
        yield failed(check, str(error))
    except AnswerError as error:
        yield failed(check, error.message)
    except Exception as error:
        yield failed(check, f"the check itself failed ({type(error).__name__}: {error})")
