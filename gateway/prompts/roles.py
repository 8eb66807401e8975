"""A conversation's roles as vLLM gives them to a chat template (0.32, vllm/renderers/hf.py)."""

from collections.abc import Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from gateway.core import Message

__all__ = ["known_roles", "system_comes_first"]


def known_roles(messages: Sequence[Message], template: str) -> tuple[Message, ...]:
    """The messages for a template that may not know the developer role. Such a template gets one system message with
    the text of all system and developer messages, in front."""
    if "'developer'" in template or '"developer"' in template or all(m.role != "developer" for m in messages):
        return tuple(messages)
    renamed = [Message("system", m.text) if m.role == "developer" else m for m in messages]
    if all(message.role != "system" for message in renamed[1:]):
        return tuple(renamed)
    systems = [message.text for message in renamed if message.role == "system" and message.text]
    others = [message for message in renamed if message.role != "system"]
    return (Message("system", "\n\n".join(systems)), *others)


def system_comes_first(tokenizer: Any) -> bool:
    """Whether the chat template refuses a system message behind others. vLLM then moves those of Anthropic's format to
    the front."""
    turns = [{"role": role, "content": "t"} for role in ("system", "user", "system", "user")]
    try:
        tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError):
        return True
    return False
