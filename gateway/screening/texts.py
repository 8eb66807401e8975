"""The texts of a request that the gate reads, each with its places in the messages."""

import itertools
from collections.abc import Iterator

from classifiers.types import Span
from gateway.core import Request

__all__ = ["ASKING", "ScreenedText", "screened_texts"]

ASKING = ("user", "prompt")
"""Roles of messages that ask."""
_SEAM_CHARS = 64  # on each side, where a user goes on behind an answer


class ScreenedText:
    """A text to screen and its origin."""

    __slots__ = ("calls", "message", "names_alone", "places", "text")

    def __init__(
        self,
        text: str,
        message: int | None,
        places: tuple[tuple[int, int, int], ...],
        *,
        calls: bool = True,
        names_alone: bool = False,
    ) -> None:
        """
        Args:
            text: what is read.
            message: the number of the message that it is, if it is one.
            places: (message, start in this text, length) of each message in it. Of a message whose end alone stands
                here, the start lies before the text.
            calls: whether it may put a request inside a scope whose answers are screened.
            names_alone: whether it is read for names alone.
        """
        self.calls = calls
        self.names_alone = names_alone
        self.text = text
        self.message = message
        self.places = places

    @property
    def parted(self) -> bool:
        """Whether the clauses are to be read, too: not of a conversation, because those of its messages are."""
        return len(self.places) <= 1

    def locate(self, span: Span) -> tuple[tuple[int, int, int], ...]:
        """The ranges of messages that a span of this text covers."""
        return tuple(
            (message, max(span.start_char, start) - start, min(span.end_char, start + length) - start)
            for message, start, length in self.places
            if span.start_char < start + length and span.end_char > start
        )


def screened_texts(request: Request) -> list[ScreenedText]:
    """Every text of a request that reaches the model: each message, all messages joined (a name in turn 1 gives turn 3
    its meaning), and the side texts."""
    messages = [(index, message.text) for index, message in enumerate(request.messages) if message.text.strip()]
    texts = [ScreenedText(text, index, ((index, 0, len(text)),)) for index, text in messages]
    if len(messages) > 1:
        places, cursor = [], 0
        for index, text in messages:
            places.append((index, cursor, len(text)))
            cursor += len(text) + 1
        texts.append(ScreenedText("\n".join(text for _, text in messages), None, tuple(places)))
    texts += _seams(request)
    texts += [ScreenedText(text, None, ()) for text in request.side_texts if text.strip()]
    return texts + [ScreenedText(text, None, (), calls=False) for text in request.definitions if text.strip()]


def _seams(request: Request) -> Iterator[ScreenedText]:
    """Where a user goes on behind an answer that came too soon: a name may be cut there."""
    spoken = [(index, one) for index, one in enumerate(request.messages) if one.text.strip()]
    asked = [(number, index, one.text) for number, (index, one) in enumerate(spoken) if one.role in ASKING]
    for (turn, before, said), (later, after, goes_on) in itertools.pairwise(asked):
        if later - turn > 1:
            end, begin = said[-_SEAM_CHARS:], goes_on[:_SEAM_CHARS]
            places = ((before, len(end) - len(said), len(said)), (after, len(end) + 1, len(begin)))
            yield ScreenedText(f"{end}\n{begin}", None, places, names_alone=True)
