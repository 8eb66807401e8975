"""What an answer must not say: learned from a scope's rows, without any model."""

import hashlib

from classifiers.leaks.facts import facts_of
from classifiers.leaks.model import LeakModel
from classifiers.leaks.passages import passages_of
from classifiers.names.ordinary import name_of
from classifiers.names.text import normalise
from gateway.training.scope_file import Scope

__all__ = ["leak_model"]

_DOCUMENT_WORDS = 60  # a prompt with so many words is a part of a document that the response goes on with
_SALT_BYTES = 16


def leak_model(scope: Scope, *, seed: int) -> LeakModel:
    """The facts and the passages of a scope's forget rows. Words of its names and of its retain responses give nothing
    away. The same scope and seed give the same model."""
    known = {word for alias in scope.aliases for word in normalise(name_of(alias)).text.split()}
    known |= {word for row in scope.retain for word in normalise(row.response).text.split()}
    salt = hashlib.blake2b(f"{scope.id} {seed}".encode(), digest_size=_SALT_BYTES).digest()
    facts = facts_of([(row.prompt, row.response) for row in scope.forget], known, salt)
    documents = [_document(row.prompt, row.response) for row in scope.forget]
    return LeakModel(facts, passages_of(documents))


def _document(prompt: str, response: str) -> str:
    return f"{prompt} {response}" if len(prompt.split()) >= _DOCUMENT_WORDS else response
