"""The look of one backend's answers: templates for the answers that the gateway encodes itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CHAT_SHAPE", "COMPLETIONS_SHAPE", "Shape", "shape_of"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """Templates of one endpoint's answers: keys in order, with the values that never change.

    The gateway writes its own answers over them, so that they have the same fields in the same order as an untouched
    answer. `opening` is None if a stream starts with its first text.
    """

    answer: Json
    choice: Json
    usage: Json
    event: Json
    event_choice: Json
    closing_event: Json
    closing_choice: Json
    usage_event: Json
    message: Json = field(default_factory=dict)
    opening: Json | None = None
    opening_choice: Json = field(default_factory=dict)


_ANSWER: Json = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
_USAGE: Json = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_EVENT_CHOICE: Json = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
_TEXT_CHOICE: Json = {"index": 0, "text": "", "logprobs": None, "finish_reason": None}

CHAT_SHAPE = Shape(
    answer={**_ANSWER, "usage": _USAGE},
    choice={"index": 0, "message": {}, "logprobs": None, "finish_reason": None},
    message={"role": "assistant", "content": "", "refusal": None},
    usage=_USAGE,
    opening=_ANSWER,
    opening_choice=_EVENT_CHOICE,
    event=_ANSWER,
    event_choice=_EVENT_CHOICE,
    closing_event=_ANSWER,
    closing_choice=_EVENT_CHOICE,
    usage_event={**_ANSWER, "usage": _USAGE},
)
COMPLETIONS_SHAPE = Shape(
    answer={**_ANSWER, "usage": _USAGE},
    choice=_TEXT_CHOICE,
    usage=_USAGE,
    event=_ANSWER,
    event_choice=_TEXT_CHOICE,
    closing_event=_ANSWER,
    closing_choice=_TEXT_CHOICE,
    usage_event={**_ANSWER, "usage": _USAGE},
)


def shape_of(whole: Json, counted: Sequence[Json], plain: Sequence[Json]) -> Shape:
    """From a whole answer, a stream with usage, one without. vLLM signs the usage event, or else the last."""
    choice = whole["choices"][0]
    events = [event for event in counted if event["choices"]]
    opening = events[0] if "role" in events[0]["choices"][0].get("delta", {}) else None
    written = events[1:] if opening else events
    # A slow reader may get several tokens in one event, so that the first is also the last.
    middle = next((event for event in written if not event["choices"][0]["finish_reason"]), written[-1])
    closing = next(event for event in reversed(plain) if event["choices"])
    return Shape(
        answer=whole,
        choice=choice,
        usage=whole["usage"],
        message=_blank(choice.get("message", {})),
        opening=opening,
        opening_choice=opening["choices"][0] if opening else {},
        event=middle,
        event_choice=middle["choices"][0],
        closing_event=closing,
        closing_choice=closing["choices"][0],
        usage_event=next(event for event in counted if event.get("usage")),
    )


def _blank(message: Json) -> Json:
    """A message's fields without what the check's answer said in them (its reasoning, for example)."""
    return {key: value if key == "role" or not value else None for key, value in message.items()}
