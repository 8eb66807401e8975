"""A request as the tokens that the model gets, with the place of every message among them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2.exceptions import TemplateError

from corruption.selection import tokens_in
from gateway.core import Endpoint, Message, Request
from gateway.errors import InvalidRequest, ModelError, PlanError
from gateway.prompts.roles import known_roles

__all__ = ["Prompt", "Tokenizer", "count_tokens", "decode_tokens", "instructed", "reads_alike", "render"]

_SAMPLE = "In 1984, naïve Überraschung: who wrote it? Count: 1, 2, 3!"

_PRIVATE_USE = range(0xE000, 0xF900)


class Tokenizer(Protocol):
    """The part of a Hugging Face fast tokenizer that is used here."""

    def __call__(self, text: str, **options: Any) -> Any: ...
    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any: ...
    def decode(self, token_ids: Sequence[int], **options: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """`ids` [tokens] of the rendered `text`, character `offsets` of each, and the `places` of the messages in it."""

    text: str
    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]
    places: tuple[tuple[int, int], ...]

    def tokens_of(self, message: int, ranges: Iterable[tuple[int, int]]) -> list[int]:
        """The tokens that overlap half-open character ranges of a message. Raises PlanError if there is none."""
        start, end = self.places[message]
        tokens = tokens_in(self.offsets, [(start + a, min(start + b, end)) for a, b in ranges])
        if not tokens:
            raise PlanError(f"no token of message {message} stands where the plan acts")
        return tokens


def render(tokenizer: Tokenizer, request: Request, *, locate: bool = False) -> Prompt:
    """The prompt of a request.

    With `locate`, the messages' places are found; raises PlanError where the template does not keep their text.
    Raises InvalidRequest if the template refuses the conversation.
    """
    if request.endpoint == "completions":
        text = _plain(request.messages)
        places: tuple[tuple[int, int], ...] = ((0, len(text)),)
    else:
        text = _templated(tokenizer, request.messages)
        places = _places(tokenizer, request.messages, text) if locate else ()
    special = request.endpoint == "completions"
    encoded = tokenizer(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
    offsets = tuple((int(start), int(end)) for start, end in encoded["offset_mapping"])
    return Prompt(text, tuple(encoded["input_ids"]), offsets, places)


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


def _places(tokenizer: Tokenizer, messages: Sequence[Message], text: str) -> tuple[tuple[int, int], ...]:
    """Renders once more with marks around each message, and reads their places off."""
    opening, closing = _marks(messages)
    marked = _templated(tokenizer, [Message(m.role, f"{opening}{m.text}{closing}") for m in messages])
    if marked.replace(opening, "").replace(closing, "") != text:
        raise PlanError("the chat template alters the messages")
    places = []
    cursor, removed = 0, 0
    for message in messages:
        start = marked.find(opening, cursor)
        end = marked.find(closing, start)
        if start < 0 or end < 0:
            raise PlanError(f"the chat template drops a {message.role} message")
        place = (start - removed, end - removed - 1)
        if text[slice(*place)] != message.text:
            raise PlanError(f"the chat template drops or moves a {message.role} message")
        places.append(place)
        cursor, removed = end + 1, removed + 2
    if marked.find(opening, cursor) >= 0:
        raise PlanError("the chat template repeats a message")
    return tuple(places)


def _marks(messages: Sequence[Message]) -> tuple[str, str]:
    """Two private-use characters that no message holds: a client must not be able to send a mark."""
    used = set().union(*(message.text for message in messages))
    free = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
    opening, closing = next(free, ""), next(free, "")
    if not closing:
        raise PlanError("the messages hold every private-use character, so none can mark their places")
    return opening, closing
