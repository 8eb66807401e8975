"""A request as the tokens that the model gets, with the place of every message among them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from corruption.selection import tokens_in
from gateway.core import Endpoint, Message, Request
from gateway.errors import InvalidRequest, ModelError
from gateway.prompts.places import Marks, Place, find_words
from gateway.prompts.roles import known_roles

__all__ = ["Prompt", "Tokenizer", "count_tokens", "decode_tokens", "instructed", "read_back", "reads_alike", "render"]

_SAMPLE = "In 1984, naïve Überraschung: who wrote it? Count: 1, 2, 3!"

_UNFINISHED = "\ufffd"  # what a tokenizer makes of a part of a character
_LONGEST_CHARACTER = 8  # in tokens


class Tokenizer(Protocol):
    """The part of a Hugging Face fast tokenizer that is used here."""

    def __call__(self, text: str, **options: Any) -> Any: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any: ...
    def decode(self, token_ids: Sequence[int], **options: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` [tokens] of the rendered `text` of `messages`, the character `offsets` of each token, and the `places` of
    the messages in the text. `places` is None if they are not known. `control` are the tokens that are no text."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    messages: tuple[Message, ...]
    places: tuple[Place, ...] | None = None
    control: frozenset[int] = frozenset()

    def tokens_of(self, message: int, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """The tokens that overlap half-open character ranges of a message, wherever the prompt holds it.

        Empty if the template leaves these characters out. If it cannot be told where they are, every token that may
        hold them.
        """
        ranges = list(ranges)
        if self.places is None:
            found = self._worded(message, ranges, 0, len(self.text))
            return self._overlapping(found) if found else self.content
        sought = [part for place in self.places if place.message == message for part in self._sought(place, ranges)]
        return self._overlapping(sought)

    @property
    def content(self) -> list[int]:
        """The tokens of all that the messages brought into the prompt; if there are none, every token of text."""
        written = [(place.start, place.end) for place in self.places or ()]
        return self._overlapping(written) or self._overlapping([(0, len(self.text))])

    def _sought(self, place: Place, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        if place.first is not None:
            return place.ranges(ranges)
        return self._worded(place.message, ranges, place.start, place.end) or [(place.start, place.end)]

    def _worded(
        self, message: int, ranges: Sequence[tuple[int, int]], start: int, end: int
    ) -> list[tuple[int, int]] | None:
        """Where a part of the text holds the words of the ranges; None if one is not found."""
        said = self.messages[message].text
        found = find_words(self.text[start:end], [said[a:b] for a, b in ranges])
        return None if found is None else [(start + a, start + b) for a, b in found]

    def _overlapping(self, ranges: Sequence[tuple[int, int]]) -> list[int]:
        return [token for token in tokens_in(self.offsets, ranges) if token not in self.control]


def render(tokenizer: Tokenizer, request: Request, *, locate: bool = False) -> Prompt:
    """The prompt of a request. With `locate`, the messages' places are found. Raises InvalidRequest if the template
    refuses the conversation."""
    messages = request.messages
    if request.endpoint == "completions":
        text = _plain(messages)
        places: tuple[Place, ...] | None = (Place(0, 0, len(text), 0),)
    else:
        text = _templated(tokenizer, messages)
        places = _places(tokenizer, messages, text) if locate else None
    special = request.endpoint == "completions"
    encoded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    offsets = tuple((int(start), int(end)) for start, end in encoded["offset_mapping"])
    ids = tuple(encoded["input_ids"])
    return Prompt(text, ids, offsets, messages, places, _control(tokenizer, ids))


def read_back(tokenizer: Tokenizer, request: Request, ids: Sequence[int]) -> Prompt:
    """The prompt of a request that a server rendered in its own way, from its token ids."""
    groups = list(_groups(tokenizer, ids))
    ends = list(accumulate(len(text) for text, _ in groups))
    bounds = zip([0, *ends], ends, groups, strict=False)
    offsets = tuple((start, end) for start, end, (_, tokens) in bounds for _ in range(tokens))
    text = "".join(text for text, _ in groups)
    return Prompt(text, tuple(ids), offsets, request.messages, None, _control(tokenizer, ids))


def instructed(tokenizer: Tokenizer, request: Request, instruction: str) -> tuple[Message, ...]:
    """A request's messages with an instruction in front: as the system message, or before the text of the system
    message that is there. If the model's template knows no system role, the instruction stands before the text of the
    first message."""
    messages = request.messages
    if request.endpoint == "completions":
        return (Message("prompt", f"{instruction}\n\n{_plain(messages)}"),)
    first, *others = messages
    merged = (Message(first.role, f"{instruction}\n\n{first.text}"), *others)
    if first.role == "system":
        return merged
    leading = (Message("system", instruction), *messages)
    return leading if _takes(tokenizer, leading) or not _takes(tokenizer, messages) else merged


def reads_alike(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether two tokenizers make the same tokens of a text, and of a chat if they have templates."""
    return all(_sample_ids(one, endpoint) == _sample_ids(other, endpoint) for endpoint in ("chat", "completions"))


def count_tokens(tokenizer: Tokenizer, request: Request) -> int:
    """Prompt tokens of the request as the client sent it."""
    return len(render(tokenizer, request).ids)


def decode_tokens(tokenizer: Tokenizer, ids: Sequence[int], vocabulary: int) -> str:
    """The text behind a token-id prompt, so that it can be screened. InvalidRequest for an id the model lacks."""
    wrong = next((token for token in ids if not 0 <= token < vocabulary), None)
    if wrong is not None:
        raise InvalidRequest(f"token id {wrong} is not in the model's vocabulary of {vocabulary}", param="prompt")
    return tokenizer.decode(list(ids), skip_special_tokens=False)


def _sample_ids(tokenizer: Tokenizer, endpoint: Endpoint) -> tuple[int, ...]:
    """Empty without a chat template."""
    message = Message("user" if endpoint == "chat" else "prompt", _SAMPLE)
    try:
        return render(tokenizer, Request("sample", endpoint, "", (message,))).ids
    except (ModelError, InvalidRequest):
        return ()


def _takes(tokenizer: Tokenizer, messages: Sequence[Message]) -> bool:
    try:
        _templated(tokenizer, messages)
    except InvalidRequest:
        return False
    return True


def _plain(messages: Sequence[Message]) -> str:
    return "\n\n".join(message.text for message in messages)


def _templated(tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
    template = str(getattr(tokenizer, "chat_template", None) or "")
    known = known_roles(messages, template)
    conversation = [{"role": message.role, "content": message.text} for message in known]
    try:
        return str(tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True))
    except TemplateError as error:
        raise InvalidRequest(f"the model's chat template refuses these messages: {error}", param="messages") from error
    except ValueError as error:
        raise ModelError(f"this model has no usable chat template: {error}") from error


def _places(tokenizer: Tokenizer, messages: Sequence[Message], text: str) -> tuple[Place, ...] | None:
    """Renders once more with marks around each message, and reads their places off."""
    marks = Marks([message.text for message in messages])
    marked = [Message(message.role, around) for message, around in zip(messages, marks.around(), strict=True)]
    try:
        return marks.places(_templated(tokenizer, marked), text)
    except InvalidRequest:  # the template takes the text alone
        return None


def _control(tokenizer: Tokenizer, ids: Sequence[int]) -> frozenset[int]:
    """The places of special tokens among the ids. An unknown word's token stands for a word."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    special = {token for token, made in added.items() if made.special} - {getattr(tokenizer, "unk_token_id", None)}
    return frozenset(place for place, token in enumerate(ids) if token in special)


def _groups(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The text of the tokens, with how many tokens each piece has: several where a character has several tokens."""
    context: list[int] = []
    group: list[int] = []
    for number, token in enumerate(ids, start=1):
        group.append(token)
        both = tokenizer.decode(context + group, skip_special_tokens=False)
        if both.endswith(_UNFINISHED) and len(group) < _LONGEST_CHARACTER and number < len(ids):
            continue
        known = tokenizer.decode(context, skip_special_tokens=False) if context else ""
        yield both[len(known) :], len(group)
        context, group = group, []
