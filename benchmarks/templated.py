"""A model with another chat template: a folder of links to its files, and the template beside them."""

import hashlib
from pathlib import Path

from gateway.models.folders import resolve
from gateway.models.language_model import load_tokenizer

__all__ = ["templated"]

_FILE = "chat_template.jinja"


def templated(model: str, template: str | None, folder: Path) -> Path:
    """The folder of a model that chats: its own, or one inside `folder` where a template is given. Raises ModelError
    for a model or a template that cannot chat.

    Args:
        model: as the operator gave it.
        template: text of a chat template, in place of the model's own.
        folder: where the links may be put.
    """
    base = resolve(model)
    load_tokenizer(base, chat_template=template, chats=True)  # what is wrong is told before anything is spent
    if template is None:
        return base
    name = hashlib.sha256(f"{base.resolve()}\n{template}".encode()).hexdigest()[:12]
    linked = folder / f"{base.name}-{name}"
    linked.mkdir(parents=True, exist_ok=True)
    for file in base.iterdir():
        link = linked / file.name
        if file.is_file() and file.name != _FILE and not link.exists():
            link.unlink(missing_ok=True)  # to where nothing is any more
            link.symlink_to(file.resolve())
    (linked / _FILE).write_text(template, encoding="utf-8")
    return linked
