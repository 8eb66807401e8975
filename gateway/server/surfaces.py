"""The formats in which clients ask and are answered: for each, from bytes to a request, and from events to bytes."""

from codecs import BOM_UTF8
from collections.abc import AsyncIterable, Mapping
from dataclasses import replace
from typing import Any, Final, Literal, Protocol

from gateway.core import Event, Request
from gateway.errors import AnswerError, InvalidRequest, TooLarge
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.encoding import AnswerEncoder
from gateway.openai_format.limits import Limits
from gateway.openai_format.messages.answer import MessageEncoder, message_error
from gateway.openai_format.messages.request import parse_messages
from gateway.openai_format.requests import parse_chat, parse_completion
from gateway.openai_format.responses.answer import ResponseEncoder
from gateway.openai_format.responses.request import parse_response
from gateway.openai_format.responses.store import ResponseStore
from gateway.pipeline import Pipeline
from gateway.prompts.rendering import Tokenizer
from gateway.prompts.roles import system_comes_first

__all__ = [
    "COUNT_PATH",
    "NO_CHAT_TEMPLATE",
    "PATHS",
    "Encoder",
    "Surface",
    "Surfaces",
    "error_body",
    "has_chat_template",
]

_Json = dict[str, Any]
Surface = Literal["chat", "completions", "messages", "count_tokens", "responses"]
COUNT_PATH = "/v1/messages/count_tokens"
PATHS: Final[Mapping[str, Surface]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/messages": "messages",
    COUNT_PATH: "count_tokens",
    "/v1/responses": "responses",
}
NO_CHAT_TEMPLATE = "this model has no chat template, so that it takes no messages; send a prompt to /v1/completions"
_ANTHROPIC = ("messages", "count_tokens")


class Encoder(Protocol):
    """Encodes one answer."""

    def encode(self, event: Event) -> bytes:
        """The server-sent events for one step of a stream; none for a step that says nothing."""

    def ending(self) -> bytes:
        """What follows the last step."""

    def failed(self, error: AnswerError) -> bytes:
        """What follows where the answer breaks off."""

    async def collect(self, events: AsyncIterable[Event], first: Event | None = None) -> bytes:
        """The whole answer as one JSON body. `first` is the event before the others, if it is read already."""


class Surfaces:
    """Parses requests and makes encoders, for the model that a pipeline serves."""

    def __init__(self, pipeline: Pipeline, limits: Limits, unknown: UnknownFields, store: ResponseStore) -> None:
        """
        Args:
            pipeline: has the model.
            limits: what one request may ask for.
            unknown: what becomes of request fields that the gateway does not know.
            store: keeps responses that a next request may follow.
        """
        self._store = store
        self._pipeline = pipeline
        self._limits = limits
        self._unknown = unknown
        self._system_first: bool | None = None

    def parsed(self, surface: Surface, body: bytes, *, request_id: str, caller: str) -> Request:
        """The request of one caller. Raises InvalidRequest or TooLarge.

        Args:
            surface: the format in which it is asked.
            body: its bytes.
            request_id: the gateway's own name for it.
            caller: who asks.
        """
        try:
            return replace(self._parsed(surface, body, request_id, caller, self._limits), caller=caller)
        except TooLarge as error:
            if error.param == "max_tokens":
                self._parsed(surface, body, request_id, caller, self._told_limits())  # tells the smaller limit
            raise

    def _told_limits(self) -> Limits:
        """The limits, none above the model's context. A request between the two gets the words of the model's server,
        which clients know."""
        most = self._limits.output_tokens
        context = max((model.max_tokens for model in self._pipeline.backend.served.models), default=most)
        return self._limits.model_copy(update={"output_tokens": min(most, context)})

    def _parsed(self, surface: Surface, body: bytes, request_id: str, caller: str, limits: Limits) -> Request:
        served = self._pipeline.backend.served
        body = body.removeprefix(BOM_UTF8)  # some clients put a mark there, as some editors do in files
        if surface == "completions":
            return parse_completion(
                body,
                request_id=request_id,
                limits=limits,
                tokenizer=served.tokenizer,
                vocabulary=served.vocabulary,
                unknown=self._unknown,
            )
        if surface == "chat":
            request = parse_chat(body, request_id=request_id, limits=limits, unknown=self._unknown)
        elif surface == "responses":
            request = parse_response(
                body,
                request_id=request_id,
                limits=limits,
                history=self._store.of(caller),
                unknown=self._unknown,
            )
        else:
            request = parse_messages(
                body,
                request_id=request_id,
                limits=limits,
                unknown=self._unknown,
                system_first=self._has_system_first(served.tokenizer),
                counts=surface == "count_tokens",
            )
        if not has_chat_template(served.tokenizer):
            raise InvalidRequest(NO_CHAT_TEMPLATE, param="messages")
        return request

    def encoder(self, request: Request) -> Encoder:
        """For the answer to one request."""
        backend = self._pipeline.backend
        if request.dialect == "messages":
            return MessageEncoder(request, backend.message_shape)
        if request.dialect == "responses":
            return ResponseEncoder(request, self._store.of(request.caller).keep if self._store.of_each else None)
        return AnswerEncoder(request, backend.shape(request.endpoint))

    def _has_system_first(self, tokenizer: Tokenizer) -> bool:
        if self._system_first is None:
            self._system_first = system_comes_first(tokenizer)
        return self._system_first


def error_body(error: AnswerError, surface: Surface) -> _Json:
    """What the client is told of an error."""
    return message_error(error) if surface in _ANTHROPIC else error.body()


def has_chat_template(tokenizer: Tokenizer) -> bool:
    """False for the tokenizer of a base model, for example."""
    return bool(getattr(tokenizer, "chat_template", True))
