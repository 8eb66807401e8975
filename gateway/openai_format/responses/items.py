"""The items of a response's output, each written as a stream tells of it: opened, more and more of it, ended."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.openai_format.responses.custom_tools import input_of

__all__ = ["CallItem", "CustomCallItem", "Item", "ReasoningItem", "TextItem"]

_Json = dict[str, Any]


class Item(ABC):
    """One item at its `place` in the output. Its first event comes with its first text."""

    prefix: str

    def __init__(self, place: int) -> None:
        self.closed = False
        self.id = f"{self.prefix}_{uuid.uuid4().hex}"
        self._place = place
        self._begun = False

    @abstractmethod
    def more(self, text: str, logprobs: Sequence[_Json] = ()) -> Iterator[_Json]:
        """The events that tell more of it: text of a message or a thought, or arguments of a call."""

    @abstractmethod
    def whole(self, status: str = "completed") -> _Json:
        """The item as it stands."""

    def end(self) -> Iterator[_Json]:
        """The events that end it."""
        yield from self._begin()
        self.closed = True
        yield from self._done()
        yield {"type": "response.output_item.done", "output_index": self._place, "item": self.whole()}

    def _begin(self) -> Iterator[_Json]:
        if self._begun:
            return
        self._begun = True
        item = self._empty()
        yield {"type": "response.output_item.added", "output_index": self._place, "item": item}
        yield from self._opened()

    @abstractmethod
    def _empty(self) -> _Json: ...

    def _opened(self) -> Iterator[_Json]:
        yield from ()

    @abstractmethod
    def _done(self) -> Iterator[_Json]: ...

    @property
    def _where(self) -> _Json:
        return {"item_id": self.id, "output_index": self._place}


class TextItem(Item):
    """A message of the assistant's."""

    prefix = "msg"

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._text = ""
        self._logprobs: list[_Json] = []

    def more(self, text: str, logprobs: Sequence[_Json] = ()) -> Iterator[_Json]:
        """See Item."""
        yield from self._begin()
        self._text += text
        self._logprobs += logprobs
        told = {"delta": text, "logprobs": list(logprobs)}
        yield {"type": "response.output_text.delta", **self._where, "content_index": 0, **told}

    def whole(self, status: str = "completed") -> _Json:
        """See Item."""
        content = [self._part(self._text, self._logprobs)]
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}

    def _empty(self) -> _Json:
        return {**self.whole("in_progress"), "content": []}

    def _opened(self) -> Iterator[_Json]:
        yield {"type": "response.content_part.added", **self._where, "content_index": 0, "part": self._part("", [])}

    def _done(self) -> Iterator[_Json]:
        part = self._part(self._text, self._logprobs)
        told = {"text": self._text, "logprobs": self._logprobs}
        yield {"type": "response.output_text.done", **self._where, "content_index": 0, **told}
        yield {"type": "response.content_part.done", **self._where, "content_index": 0, "part": part}

    @staticmethod
    def _part(text: str, logprobs: Sequence[_Json]) -> _Json:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


class ReasoningItem(Item):
    """What the model thought before it answered."""

    prefix = "rs"

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self._text = ""

    def more(self, text: str, logprobs: Sequence[_Json] = ()) -> Iterator[_Json]:
        """See Item."""
        yield from self._begin()
        self._text += text
        yield {"type": "response.reasoning_text.delta", **self._where, "content_index": 0, "delta": text}

    def whole(self, status: str = "completed") -> _Json:
        """See Item."""
        content = [{"type": "reasoning_text", "text": self._text}]
        return {"id": self.id, "type": "reasoning", "summary": [], "content": content, "status": status}

    def _empty(self) -> _Json:
        return {**self.whole("in_progress"), "content": []}

    def _done(self) -> Iterator[_Json]:
        yield {"type": "response.reasoning_text.done", **self._where, "content_index": 0, "text": self._text}


class CallItem(Item):
    """A call of one of the client's functions, `function` being its name and its namespace, if it has one."""

    prefix = "fc"

    def __init__(self, place: int, call_id: str, function: _Json) -> None:
        super().__init__(place)
        self._call = {"call_id": call_id, **function}
        self._arguments = ""

    def more(self, text: str, logprobs: Sequence[_Json] = ()) -> Iterator[_Json]:
        """See Item."""
        yield from self._begin()
        self._arguments += text
        if text:
            yield {"type": "response.function_call_arguments.delta", **self._where, "delta": text}

    def whole(self, status: str = "completed") -> _Json:
        """See Item."""
        call = {**self._call, "arguments": self._arguments}
        return {"id": self.id, "type": "function_call", "status": status, **call}

    def _empty(self) -> _Json:
        return self.whole("in_progress")

    def _done(self) -> Iterator[_Json]:
        told = {"arguments": self._arguments, "name": self._call["name"]}
        yield {"type": "response.function_call_arguments.done", **self._where, **told}


class CustomCallItem(Item):
    """A call of one of the client's custom tools. Its input comes at once, when the model has written all of it: in the
    midst of it the end may be half of a character."""

    prefix = "ctc"

    def __init__(self, place: int, call_id: str, name: str) -> None:
        super().__init__(place)
        self._call = {"call_id": call_id, "name": name}
        self._arguments = ""

    def more(self, text: str, logprobs: Sequence[_Json] = ()) -> Iterator[_Json]:
        """See Item."""
        yield from self._begin()
        self._arguments += text

    def whole(self, status: str = "completed") -> _Json:
        """See Item."""
        call = {**self._call, "input": input_of(self._arguments) if self._arguments else ""}
        return {"id": self.id, "type": "custom_tool_call", "status": status, **call}

    def _empty(self) -> _Json:
        return {**self.whole("in_progress"), "input": ""}

    def _done(self) -> Iterator[_Json]:
        given = self.whole()["input"]
        yield {"type": "response.custom_tool_call_input.delta", **self._where, "delta": given}
        yield {"type": "response.custom_tool_call_input.done", **self._where, "input": given}
