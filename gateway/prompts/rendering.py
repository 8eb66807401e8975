"""A request as the tokens that the model will see, with every message's place among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from corruption.selection import tokens_in
from gateway.core import Edit, Message, Request
from gateway.errors import InvalidRequest, ModelError
from gateway.prompts.roles import known_roles

__all__ = ["Prompt", "Tokenizer", "Unlocatable", "count_tokens", "decode_tokens", "render"]

# Private-use characters mark where a message's text went; whoever sends them gets them back unmarked.
_OPEN, _CLOSE = "\ue100", "\ue101"


class Tokenizer(Protocol):
    """The part of a Hugging Face fast tokenizer that is used here."""

    def __call__(self, text: str, **options: Any) -> Any: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any: ...
    def decode(self, token_ids: Sequence[int], **options: Any) -> str: ...


class Unlocatable(ValueError):
    """A plan cannot be carried out on this prompt (the template changed a message so that its tokens cannot be told
    from the template's own, say). It must not become a pass."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` [tokens] of the rendered `text`, character `offsets` of each, and the `places` of the messages in it."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    places: tuple[tuple[int, int], ...]

    def tokens_of(self, edit: Edit) -> list[int]:
        """The tokens that an edit's ranges meet; Unlocatable if there is none."""
        start, end = self.places[edit.message]
        ranges = [(start + a, min(start + b, end)) for a, b in edit.ranges]
        tokens = tokens_in(self.offsets, ranges)
        if not tokens:
            raise Unlocatable(f"no token of message {edit.message} lies in {edit.ranges}")
        return tokens


def render(tokenizer: Tokenizer, request: Request, *, instruction: str = "", locate: bool = False) -> Prompt:
    """The prompt of a request, an `instruction` put in front as (part of) the system message if given.

    With `locate`, the messages' places are found; raises Unlocatable where the template does not keep their text.
    Raises InvalidRequest if the template refuses the conversation.
    """
    messages = instructed(request.messages, instruction) if instruction else request.messages
    if request.endpoint == "completions":
        text = _plain(messages)
        places: tuple[tuple[int, int], ...] = ((0, len(text)),)
    else:
        text = _templated(tokenizer, messages)
        places = _places(tokenizer, messages, text) if locate else ()
    special = request.endpoint == "completions"
    encoded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    offsets = tuple((int(start), int(end)) for start, end in encoded["offset_mapping"])
    return Prompt(text, tuple(encoded["input_ids"]), offsets, places)


def instructed(messages: Sequence[Message], instruction: str) -> tuple[Message, ...]:
    """The messages with an instruction in front; one that is there already keeps its place behind it."""
    if messages and messages[0].role == "system":
        return (Message("system", f"{instruction}\n\n{messages[0].text}"), *messages[1:])
    return (Message("system", instruction), *messages)


def count_tokens(tokenizer: Tokenizer, request: Request) -> int:
    """Prompt tokens of the request as the client sent it."""
    return len(render(tokenizer, request).ids)


def decode_tokens(tokenizer: Tokenizer, ids: Sequence[int], vocabulary: int) -> str:
    """The text behind a token-id prompt, so that it can be screened. InvalidRequest for an id the model lacks."""
    wrong = next((token for token in ids if not 0 <= token < vocabulary), None)
    if wrong is not None:
        raise InvalidRequest(f"token id {wrong} is not in the model's vocabulary of {vocabulary}", param="prompt")
    return tokenizer.decode(list(ids), skip_special_tokens=False)


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


def _places(tokenizer: Tokenizer, messages: Sequence[Message], text: str) -> tuple[tuple[int, int], ...]:
    """Renders once more with marks around each message, and reads their places off."""
    if any(mark in message.text for message in messages for mark in (_OPEN, _CLOSE)):
        raise Unlocatable("a message holds the characters that mark places")
    marked = _templated(tokenizer, [Message(m.role, f"{_OPEN}{m.text}{_CLOSE}") for m in messages])
    if marked.replace(_OPEN, "").replace(_CLOSE, "") != text:
        raise Unlocatable("the chat template alters the messages")
    places = []
    cursor, removed = 0, 0
    for message in messages:
        start = marked.find(_OPEN, cursor)
        end = marked.find(_CLOSE, start)
        if start < 0 or end < 0:
            raise Unlocatable(f"the chat template drops a {message.role} message")
        place = (start - removed, end - removed - 1)
        if text[slice(*place)] != message.text:
            raise Unlocatable(f"the chat template drops or moves a {message.role} message")
        places.append(place)
        cursor, removed = end + 1, removed + 2
    if marked.find(_OPEN, cursor) >= 0:
        raise Unlocatable("the chat template repeats a message")
    return tuple(places)
