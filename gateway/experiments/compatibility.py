"""Whether two arms can be compared: a request must mean the same to both."""

from gateway.backends.base import Backend, Served
from gateway.core import Endpoint
from gateway.openai_format.shapes import Shape
from gateway.prompts.rendering import reads_alike

__all__ = ["difference"]

_ENDPOINTS: tuple[Endpoint, ...] = ("chat", "completions")


def difference(guarded: Backend, arm: Backend, *, visible: bool) -> str | None:
    """Why the arm cannot be compared with the guarded arm, and what to do; None if it can.

    With `visible` clients get its answers, so that these must not look different.
    """
    ours, theirs = guarded.served, arm.served
    if theirs.models != ours.models:
        return (
            f"it serves {_models(theirs)} and the guarded arm {_models(ours)}: give upstreams the same "
            "--served-model-name and --max-model-len, and in this process choose a model of the same context"
        )
    if theirs.tokenizer_mismatch:
        return theirs.tokenizer_mismatch
    if theirs.vocabulary != ours.vocabulary or not reads_alike(theirs.tokenizer, ours.tokenizer):
        return "its tokenizer or chat template is not that of the guarded arm: give both the same"
    return _visible_difference(guarded, arm) if visible else None


def _visible_difference(guarded: Backend, arm: Backend) -> str | None:
    features = guarded.served.unsupported_features.keys() ^ arm.served.unsupported_features.keys()
    if features:
        return (
            f"{', '.join(sorted(features))}: one arm takes it and the other does not, so clients could tell them apart"
        )
    for endpoint in _ENDPOINTS:
        ours, theirs = _look(guarded.shape(endpoint)), _look(arm.shape(endpoint))
        if apart := sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)):
            return (
                f"its {endpoint} answers differ from the guarded arm's in {', '.join(apart)}, so clients could tell "
                "them apart: start both upstreams on one version, with the same options and --fingerprint-mode none"
            )
    return None


def _models(served: Served) -> str:
    return ", ".join(f"{card.id} ({card.max_tokens} tokens)" for card in served.models)


def _look(shape: Shape) -> dict[str, object]:
    """Everything that an answer shows besides its words: the fields of its parts in their order, and its signature."""
    parts = {"answer": shape.answer, "choice": shape.choice, "message": shape.message, "usage": shape.usage}
    return {name: list(part) for name, part in parts.items()} | {
        field: shape.answer.get(field) for field in ("system_fingerprint", "service_tier")
    }
