"""A request's JSON without the fields that carry nothing. The gate and the model read the rest."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.core import Endpoint
from gateway.errors import InvalidRequest
from gateway.openai_format.fields import DROPPED, ECHOED, MESSAGE, READ, REFUSED, SAMPLING, nothing

__all__ = ["UnknownFields", "cleaned", "drop_unknown", "printable"]

_log = logging.getLogger("unrecall.requests")
_Json = dict[str, Any]
UnknownFields = Literal["refuse", "drop"]

_STREAM_OPTIONS = ("include_usage",)
_NO_STREAM_OPTIONS = (
    "continuous_usage_stats",
    "include_obfuscation",
)  # one usage ends each stream anyway
_CALL, _FUNCTION = ("id", "type", "function", "index"), ("name", "arguments")
_CONTINUE = ("prefix", "partial")  # true: the model goes on with this message; some clients always say false
# Other types of text parts, and where their text is. vLLM reads them as text, too.
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def cleaned(content: _Json, endpoint: Endpoint, unknown: UnknownFields) -> _Json:
    """The content without null, empty and no-op values and without the fields that client libraries send back; the same
    object if nothing had to be dropped. With `unknown` 'drop', fields that the gateway does not know are dropped and
    logged.

    Raises InvalidRequest for a field that is refused. Values of a wrong type stay as they are: the models of
    gateway.openai_format.requests refuse them.
    """
    broom = _Broom(endpoint, unknown)
    clean = broom.request(content)
    if broom.lost:
        _log.warning("dropped unknown request fields: %s", ", ".join(sorted(map(printable, broom.lost))))
    return clean


def drop_unknown(name: str, why: str | None, unknown: UnknownFields) -> None:
    """Says in the log that a field is dropped. Raises InvalidRequest for one that is refused; `why` is the reason if
    that is so in any case."""
    _check_droppable(name, why, unknown)
    _log.warning("dropped unknown request fields: %s", printable(name))


def _check_droppable(place: str, why: str | None, unknown: UnknownFields) -> None:
    if why is not None or unknown != "drop":
        raise InvalidRequest(
            f"the field {place!r} is not supported by this gateway{f': {why}' if why else ''}; leave it out",
            param=place,
            code="unsupported_parameter",
        )


@dataclass(slots=True)
class _Broom:
    endpoint: Endpoint
    unknown: UnknownFields
    lost: set[str] = field(default_factory=set)

    def request(self, content: _Json) -> _Json:
        kept = {name: value for name, value in content.items() if self._carries(name, value)}
        kept = {name: self._inside(name, value) for name, value in kept.items()}
        for name in [*_idle(kept), *(name for name in ("stream_options", "stop") if kept.get(name) in ({}, []))]:
            del kept[name]
        return content if kept == content else kept

    def _carries(self, name: str, value: Any) -> bool:
        if nothing(self.endpoint, name, value) or name in DROPPED:
            return False
        if name in READ[self.endpoint] or name in SAMPLING:
            return True
        return self._other(name, REFUSED.get(name))

    def _other(self, place: str, why: str | None = None) -> Literal[False]:
        """False, to drop an unknown field; else raises InvalidRequest."""
        _check_droppable(place, why, self.unknown)
        self.lost.add(place)
        return False

    def _inside(self, name: str, value: Any) -> Any:
        if name == "stream_options" and isinstance(value, dict):
            return self._named(value, _STREAM_OPTIONS, name, also=_NO_STREAM_OPTIONS)
        if name == "stop" and isinstance(value, list):
            return [stop for stop in value if stop != ""]  # an empty text stops nothing
        if name == "messages" and isinstance(value, list):
            return [self._message(one, f"messages[{i}]") for i, one in enumerate(value)]
        if name == "tools" and isinstance(value, list):
            return [_without(one, "cache_control") for one in value]
        return value

    def _message(self, message: Any, place: str) -> Any:
        if not isinstance(message, dict):
            return message
        call = message.get("function_call")
        if call is not None:
            self._other(f"{place}.function_call", "send tool_calls instead")
        idle = [name for name in _CONTINUE if message.get(name) is False]
        # An assistant that calls tools has null content; vLLM takes null from nobody else.
        keep = ("content",) if message.get("role") == "assistant" else ()
        kept = self._named(message, MESSAGE, place, also=(*ECHOED, "function_call", *idle), keep=keep)
        if isinstance(kept.get("tool_calls"), list):
            kept["tool_calls"] = [
                self._call(one, f"{place}.tool_calls[{i}]") for i, one in enumerate(kept["tool_calls"])
            ]
            if not kept["tool_calls"]:
                del kept["tool_calls"]
        if isinstance(kept.get("content"), list):
            kept["content"] = _merged(
                [self._part(one, f"{place}.content[{i}]") for i, one in enumerate(kept["content"])]
            )
        return kept

    def _call(self, call: Any, place: str) -> Any:
        if not isinstance(call, dict):
            return call
        kept = self._named(call, _CALL, place, also=ECHOED)
        if isinstance(kept.get("function"), dict):
            kept["function"] = self._named(kept["function"], _FUNCTION, f"{place}.function", also=ECHOED)
        return kept

    def _part(self, part: Any, place: str) -> Any:
        kind = part.get("type") if isinstance(part, dict) else None
        where = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
        if where is None:
            return part  # no text: refused by its type
        kept = self._named(part, ("type", where), place, also=ECHOED - {where})
        return {"type": "text", "text": kept[where]} if where in kept else kept

    def _named(
        self, value: _Json, names: Iterable[str], place: str, *, also: Iterable[str], keep: Iterable[str] = ()
    ) -> _Json:
        """The fields of an object that have one of the `names`. Those in `also` and null ones, `keep` aside, go."""
        kept = {}
        for name, inner in value.items():
            if name in names and (inner is not None or name in keep):
                kept[name] = inner
            elif name not in names and name not in also and inner not in (None, "", [], {}):
                self._other(f"{place}.{name}")
        return kept


def _idle(content: _Json) -> list[str]:
    """Fields that mean nothing without another field."""
    idle = []
    if "tools" not in content:
        idle += ["parallel_tool_calls"] * ("parallel_tool_calls" in content)
        idle += ["tool_choice"] * (content.get("tool_choice") in ("none", "auto"))
    top = content.get("top_logprobs")
    if type(top) is int and top == 0 and not content.get("logprobs"):
        idle.append("top_logprobs")
    return idle


def _merged(parts: list[Any]) -> Any:
    """Several text parts as the one text that vLLM makes of them. A chat template may join parts in another way: then
    the model would read a name where the gate reads two halves."""
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if len(parts) == 1 or not all(isinstance(text, str) for text in texts):
        return parts
    return "\n".join(text for text in texts if text)


def _without(value: Any, name: str) -> Any:
    return {key: inner for key, inner in value.items() if key != name} if isinstance(value, dict) else value


def printable(place: str) -> str:
    """A field's name for the log. A name that is no plain word may hold the text of a prompt."""
    plain = place.isascii() and len(place) <= 80 and all(letter.isalnum() or letter in "_-.[]" for letter in place)
    return place if plain else "(a name that is no plain word)"
