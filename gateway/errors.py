"""Every error that this project raises on purpose.

UnrecallError
├── SetupError                 an operator's mistake; the command line prints the message and exits
│   ├── ScopeError             a scope file that cannot be used
│   ├── ModelError             a model that cannot be found or read
│   └── PackError              a pack that cannot be trusted
├── ScreenError                the gate could not decide; the pipeline refuses
├── PlanError                  this backend cannot carry out the plan; it answers with the plan's fallback
│   └── AdapterError           because the upstream does not serve an adapter
└── AnswerError                goes to the client in OpenAI's error shape
    ├── InvalidRequest         400   ├── Unauthorized   401   ├── UnknownModel  404   ├── UnknownPath  404
    ├── WrongMethod            405   ├── TooLarge       413   ├── WrongMedia    415  ├── QueueFull    429
    ├── RateExceeded   429   ├── QuotaUsed      429  ├── TooSlow       408
    ├── UpstreamRefused its own 4xx  ├── NotReady     503
    └── UpstreamError  502   └── UpstreamTimeout 504
"""

import math
from typing import Any, ClassVar

__all__ = [
    "AdapterError",
    "AnswerError",
    "InvalidRequest",
    "ModelError",
    "NotReady",
    "PackError",
    "PlanError",
    "QueueFull",
    "QuotaUsed",
    "RateExceeded",
    "ScopeError",
    "ScreenError",
    "SetupError",
    "TooLarge",
    "TooSlow",
    "Unauthorized",
    "UnknownModel",
    "UnknownPath",
    "UnrecallError",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamTimeout",
    "WrongMedia",
    "WrongMethod",
    "outcome_of",
    "reason_of",
]


class UnrecallError(Exception):
    """Root of the tree. `name` is the outcome, in audit events and metrics, of a request that the error ended."""

    name: ClassVar[str] = "UnrecallError"


class SetupError(UnrecallError):
    """A mistake that the operator must correct before the command can go on."""

    name = "SetupError"


class ScopeError(SetupError):
    """A scope file that cannot be used."""

    name = "ScopeError"


class ModelError(SetupError):
    """A model that cannot be found or read."""

    name = "ModelError"


class PackError(SetupError):
    """A pack that is damaged, altered, of another schema or of another base model."""

    name = "PackError"


class ScreenError(UnrecallError):
    """A detector failed or took too long: the request must not pass."""

    name = "ScreenError"


class PlanError(UnrecallError):
    """This backend cannot carry out the plan on this prompt; the message says why. It is not for clients: the backend
    answers with the plan's fallback, and never passes the request."""

    name = "PlanError"


class AdapterError(PlanError):
    """An unlearning adapter that an upstream does not serve, and what the operator can do about it."""

    name = "AdapterError"


class AnswerError(UnrecallError):
    """An error for the client. `param` names the field at fault."""

    name = "AnswerError"
    status = 500
    kind = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code

    @property
    def headers(self) -> dict[str, str]:
        """Extra response headers."""
        return {}

    def body(self) -> dict[str, Any]:
        """OpenAI's error shape."""
        return {
            "error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code},
        }


class InvalidRequest(AnswerError):
    """The request itself is at fault."""

    name = "InvalidRequest"
    status = 400
    kind = "invalid_request_error"


class Unauthorized(AnswerError):
    """No valid API key."""

    name = "Unauthorized"
    status = 401
    kind = "invalid_request_error"
    code = "invalid_api_key"


class UnknownModel(AnswerError):
    """The model asked for is not served here."""

    name = "UnknownModel"
    status = 404
    kind = "invalid_request_error"
    code = "model_not_found"


class UnknownPath(AnswerError):
    """A path that is not on the allow-list."""

    name = "UnknownPath"
    status = 404
    kind = "invalid_request_error"
    code = "path_not_found"


class WrongMethod(AnswerError):
    """The path is served, with other methods."""

    name = "WrongMethod"
    status = 405
    kind = "invalid_request_error"
    code = "method_not_allowed"


class WrongMedia(AnswerError):
    """A body that is not plain JSON."""

    name = "WrongMedia"
    status = 415
    kind = "invalid_request_error"
    code = "unsupported_media_type"


class TooLarge(AnswerError):
    """Over a limit of size."""

    name = "TooLarge"
    status = 413
    kind = "invalid_request_error"
    code = "request_too_large"


class TooSlow(AnswerError):
    """The client did not send the whole request in time."""

    name = "TooSlow"
    status = 408
    kind = "invalid_request_error"
    code = "request_timeout"

    @property
    def headers(self) -> dict[str, str]:
        """What is still to come of the request is not read."""
        return {"Connection": "close"}


class QueueFull(AnswerError):
    """Too many requests wait already."""

    name = "QueueFull"
    status = 429
    kind = "rate_limit_error"
    code = "queue_full"
    retry_after_s = 1

    @property
    def headers(self) -> dict[str, str]:
        """When the client may try again."""
        return {"Retry-After": str(self.retry_after_s)}


class RateExceeded(AnswerError):
    """One caller sends requests too fast. `wait_s` is when the next one is taken."""

    name = "RateExceeded"
    status = 429
    kind = "requests"
    code = "rate_limit_exceeded"
    words: ClassVar[str] = "you have sent too many requests in a minute"

    def __init__(self, wait_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(wait_s))
        super().__init__(f"{self.words}; try again in {self.retry_after_s} s")

    @property
    def headers(self) -> dict[str, str]:
        """When the client may try again."""
        return {"Retry-After": str(self.retry_after_s)}


class QuotaUsed(RateExceeded):
    """One caller has sent all requests of its day."""

    name = "QuotaUsed"
    kind = "insufficient_quota"
    code = "insufficient_quota"
    words: ClassVar[str] = "you have sent all requests that you may send in a day"


class NotReady(AnswerError):
    """The gateway cannot answer now."""

    name = "NotReady"
    status = 503
    kind = "server_error"
    code = "not_ready"


class UpstreamError(AnswerError):
    """The upstream is down, broken or died in the middle. `reached` is False if nothing was sent to it."""

    name = "UpstreamError"
    status = 502
    kind = "server_error"
    code = "upstream_error"

    def __init__(self, message: str, *, reached: bool = True) -> None:
        super().__init__(message)
        self.reached = reached


class UpstreamTimeout(UpstreamError):
    """The upstream took too long."""

    name = "UpstreamTimeout"
    status = 504
    code = "upstream_timeout"


class UpstreamRefused(AnswerError):
    """The upstream refused this request. The client gets the upstream's status and message, which is screened before
    it travels (`gateway.screening.complaints`)."""

    name = "UpstreamRefused"
    kind = "invalid_request_error"
    code = None

    def __init__(self, status: int, message: str, *, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.status = status

    @classmethod
    def without_words(cls, status: int) -> "UpstreamRefused":
        """Where the upstream says nothing, or nothing that may be told."""
        return cls(status, f"the model server refused the request (status {status}); ask again, or change the request")


def outcome_of(error: BaseException) -> str:
    """The outcome, for audit events and metrics, of a request that ended in this error."""
    if isinstance(error, UnrecallError):
        return error.name
    if isinstance(error, TimeoutError):
        return "TimeoutError"
    return "failed" if isinstance(error, Exception) else "aborted"  # cancelled, or closed by its reader


def reason_of(error: Exception, *, with_file: bool = False) -> str:
    """What went wrong, in words: without the number that Python adds. `with_file` names the file, for messages that do
    not."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.strerror}: {error.filename}" if with_file and error.filename else error.strerror
