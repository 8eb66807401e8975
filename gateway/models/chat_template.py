"""A chat template that the operator gives: for a base model, which has none of its own."""

from pathlib import Path
from typing import Any

from gateway.errors import ModelError, reason_of

__all__ = ["WITHOUT_A_TEMPLATE", "read_chat_template", "use_chat_template"]

WITHOUT_A_TEMPLATE = (
    "take the instruction-tuned model, or give a Jinja template with --chat-template FILE (in the settings, "
    "chat_template), or put one into the model's folder as chat_template.jinja"
)
_QUESTION = "Who wrote The Hobbit?"


def read_chat_template(file: Path) -> str:
    """The Jinja template in a file. Raises ModelError."""
    try:
        text = file.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"cannot read the chat template {file}: {reason_of(error)}; give a text file in UTF-8"
        ) from error
    if not text.strip():
        raise ModelError(f"the chat template {file} is empty; docs/models.md has one to begin with")
    return text


def use_chat_template(tokenizer: Any, template: str) -> None:
    """Gives a tokenizer the template in place of its own. Raises ModelError for one that does not render a question."""
    from jinja2.exceptions import TemplateError

    tokenizer.chat_template = template
    try:
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": _QUESTION}], tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise ModelError(
            f"the chat template cannot render a question ({type(error).__name__}: {error}); correct it (docs/models.md)"
        ) from error
    if _QUESTION not in rendered:
        raise ModelError(
            "the chat template leaves out what the user says; it must write {{ message['content'] }} of each message"
        )
