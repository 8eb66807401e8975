"""O3's out-of-distribution detector (arXiv 2407.10223), serving side: is a text like the forget rows?

It is fitted on forget rows alone (`classifiers.ood.training`), so a scope needs no examples of what lies outside it.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from classifiers.cache import Recent
from classifiers.encoder.backbone import Adapter, Backbone
from classifiers.encoder.windows import Cut
from classifiers.ood.model import OodModel
from classifiers.types import Verdict

__all__ = ["OodDetector", "OodModel"]

Scores = dict[str, float]  # by scope; empty for a text without any visible character


class OodDetector:
    """All scopes' models over one encoder: one pass for each tuned scope, and one for all untuned scopes together.

    Thread-safe. The detector remembers the scores of recent texts, because every turn of a conversation sends all the
    earlier turns again.
    """

    name = "ood"

    def __init__(self, encoder: Path | Backbone, models: Mapping[str, OodModel]) -> None:
        """`encoder` is the folder the models were trained with, or a backbone that several detectors share."""
        models = dict(models)
        self._backbone = encoder if isinstance(encoder, Backbone) else Backbone(encoder)
        for scope, model in models.items():
            wanted, given = model.layers.means.shape, (self._backbone.blocks + 1, self._backbone.hidden)
            if wanted != given:
                raise ValueError(
                    f"the out-of-distribution detector of scope {scope!r} was trained on {wanted[0]} layers of "
                    f"{wanted[1]} dimensions and this encoder gives {given[0]} of {given[1]}: train the pack again "
                    "with this encoder"
                )
        self._models = models
        self._adapters = {scope: _adapter(model) for scope, model in models.items()}
        self._recent: Recent[str, Scores] = Recent()

    def updated(self, added: Mapping[str, OodModel], removed: Collection[str]) -> "OodDetector":
        """See `classifiers.types.ScopedDetector`."""
        kept = {scope: model for scope, model in self._models.items() if scope not in removed}
        return OodDetector(self._backbone, kept | dict(added))

    def detect(self, texts: Sequence[str]) -> list[list[Verdict]]:
        """The highest score of any window decides, and gives the weight. There are no spans: no word of the text stands
        out."""
        known = self._recent.of(texts, self._scores)
        return [[self._verdict(scope, score) for scope, score in known[text].items()] for text in texts]

    def _verdict(self, scope: str, score: float) -> Verdict:
        model = self._models[scope]
        matched = not score <= model.threshold  # a NaN is a match
        return Verdict(scope, self.name, score, model.threshold, matched, weight=model.mixture.weight(score))

    def _scores(self, texts: Sequence[str]) -> list[Scores]:
        cuts = [list(self._backbone.cutter.cuts(text)) for text in texts]
        flat = [cut for of_text in cuts for cut in of_text]
        by_scope = self._window_scores(flat)
        ends = np.cumsum([len(of_text) for of_text in cuts], dtype=int)
        return [
            {scope: float(rows[end - len(of_text) : end].max()) for scope, rows in by_scope.items() if of_text}
            for of_text, end in zip(cuts, ends, strict=True)
        ]

    def _window_scores(self, cuts: Sequence[Cut]) -> dict[str, np.ndarray]:
        if not cuts:
            return {}
        untuned = [scope for scope, adapter in self._adapters.items() if adapter is None]
        plain = self._backbone.pooled(cuts) if untuned else np.zeros(0, dtype=np.float32)
        return {
            scope: model.score(plain if adapter is None else self._backbone.pooled(cuts, adapter))
            for (scope, model), adapter in zip(self._models.items(), self._adapters.values(), strict=True)
        }


def _adapter(model: OodModel) -> Adapter | None:
    if model.down.shape[2] == 0:
        return None
    return Adapter(torch.from_numpy(model.down), torch.from_numpy(model.up))
