"""The reference model of a training: one that never saw what must be forgotten."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import SetupError
from gateway.models.devices import check_device
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.models.loading import Loading
from gateway.training.sources import Sources

if TYPE_CHECKING:
    from gateway.training.upstream import ServedModel

__all__ = ["load_reference", "reference_loading"]

_TOKENIZER_TEXT = "In 1984, naïve Überraschung: who wrote it?"


def reference_loading(loading: Loading, device: str | None) -> Loading:
    """How a reference model is held: as the base model is, or on a device of its own. Raises SetupError."""
    if device is None:
        return replace(loading, gradient_checkpointing=False)
    check_device(device, "--reference-device")
    return replace(loading, gradient_checkpointing=False, shard=False, device=device)


def load_reference(folder: Path, loading: Loading, tokenizer: Any, sources: Sources) -> LanguageModel:
    """The reference model. Raises ModelError, and SetupError if its tokenizer is another than the base model's.

    Args:
        folder: of the reference model.
        loading: how it is held in memory, and where.
        tokenizer: its tokenizer.
        sources: the models of the run, with the base model.
    """
    reference = load_language_model(folder, loading=loading, tokenizer=tokenizer)
    if not _same_tokenizer(sources.base, reference):
        raise SetupError(
            f"{folder} has another tokenizer than {sources.base_name}, so that their token likelihoods cannot be "
            "compared; give a reference model with the same tokenizer"
        )
    return reference


def _same_tokenizer(one: "LanguageModel | ServedModel", other: LanguageModel) -> bool:
    first, second = (model.tokenizer(_TOKENIZER_TEXT)["input_ids"] for model in (one, other))
    return list(first) == list(second)
