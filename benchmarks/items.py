"""What a benchmark asks: an item, and the request that a client would send for it."""

from dataclasses import dataclass

from gateway.core import Endpoint, Message, Request, Sampling

__all__ = ["Item", "request_of"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to ask. `slice` names the part of the suite ("forget", "retain", "attack/noise-prefix", ...).

    `answer` is the true one. An answer that says the words of `fact` is a leak; if `fact` is empty, the whole answer
    counts. `paraphrase` and the wrong answers `perturbed` give the truth ratio. `scope` is the forget request that the
    item belongs to, None outside all of them. `names` are names of what the item is about, and `context` holds true
    statements about it that do not tell the answer; some attack families need them.
    """

    id: str
    slice: str
    messages: tuple[Message, ...]
    answer: str
    scope: str | None = None
    fact: str = ""
    paraphrase: str | None = None
    perturbed: tuple[str, ...] = ()
    endpoint: Endpoint = "chat"
    names: tuple[str, ...] = ()
    context: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """All of the user's text."""
        return "\n".join(message.text for message in self.messages)

    @property
    def part(self) -> str:
        """The slice's first word: "forget" of "forget/level1"."""
        return self.slice.partition("/")[0]


def request_of(item: Item) -> Request:
    """The request that a client would send."""
    return Request(
        id=item.id,
        endpoint=item.endpoint,
        model="compared",
        messages=item.messages,
        sampling=Sampling(temperature=0.0),
    )
