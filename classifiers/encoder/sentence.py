"""Sentence embeddings of whole texts, however long: nothing is cut off, so nothing goes unscreened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from classifiers.encoder.backbone import Backbone
from classifiers.encoder.cache import Recent
from classifiers.encoder.windows import WINDOW_STRIDE_TOKENS, WINDOW_TOKENS, Cut, Cutter

__all__ = ["WINDOW_STRIDE_TOKENS", "WINDOW_TOKENS", "Encoder", "TokenWindow"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """One window of a text: `embedding` [hidden], `tokens` [tokens, hidden], character offsets of each token."""

    embedding: Array
    tokens: Array
    offsets: tuple[tuple[int, int], ...]


def _fastest_dtype() -> torch.dtype:
    """bfloat16 if the processor multiplies it natively: it is twice as fast, and the embeddings' cosine to float32's is
    .9999. Other processors would emulate it slowly."""
    native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


class Encoder:
    """A sentence-transformers model with mean pooling (all-MiniLM-L6-v2: 384 dimensions), which reads overlapping
    windows.

    Thread-safe. Embeddings are L2-normalised float32. The encoder remembers recent texts, because every turn of a
    conversation sends all the earlier turns again.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is a sentence-transformers folder; see `unrecall models pull minilm`."""
        self._folder = folder
        self._model = SentenceTransformer(str(folder), device="cpu").eval().to(_fastest_dtype())
        self._tokenizer = self._model.tokenizer
        self._cutter = Cutter(self._tokenizer)
        self.hidden = int(self._model.get_embedding_dimension() or 0)
        self._recent: Recent[Array] = Recent()

    @cached_property
    def backbone(self) -> Backbone:
        """The same encoder layer by layer, for detectors that tune it. It is loaded at the first use."""
        return Backbone(self._folder)

    def encode(self, texts: Sequence[str]) -> list[Array]:
        """For each text an array [windows, hidden]; no rows for a text without any visible character."""
        known = self._recent.of(texts, self._encode)
        return [known[text] for text in texts]

    def windows(self, text: str) -> list[TokenWindow]:
        """The windows of one text with their token embeddings, to find the words that gave the text its meaning."""
        cuts = list(self._cuts(text))
        found: list[TokenWindow] = []
        for pooled, tokens, mask in self._forward(cuts):
            for row in range(len(pooled)):
                length = int(mask[row].sum()) - 2  # without [CLS] and [SEP]
                offsets = cuts[len(found)].offsets
                found.append(TokenWindow(pooled[row], tokens[row, 1 : 1 + length], offsets))
        return found

    def _encode(self, texts: Sequence[str]) -> list[Array]:
        cuts = [list(self._cuts(text)) for text in texts]
        flat = [cut for of_text in cuts for cut in of_text]
        order = sorted(range(len(flat)), key=lambda index: len(flat[index].ids))  # equal lengths waste no padding
        rows = np.zeros((len(flat), self.hidden), dtype=np.float32)
        start = 0
        for pooled, _, _ in self._forward([flat[index] for index in order]):
            rows[order[start : start + len(pooled)]] = pooled
            start += len(pooled)
        ends = np.cumsum([len(of_text) for of_text in cuts], dtype=int)
        return [rows[end - len(of_text) : end] for of_text, end in zip(cuts, ends, strict=True)]

    def _cuts(self, text: str) -> Iterator[Cut]:
        return self._cutter.cuts(text)

    def _forward(self, cuts: Sequence[Cut]) -> Iterator[tuple[Array, Array, NDArray[np.int64]]]:
        """Batches of (pooled [batch, hidden], token embeddings [batch, length, hidden], mask [batch, length])."""
        for ids, mask in self._cutter.batches(cuts):
            with torch.inference_mode():
                output = self._model({"input_ids": ids, "attention_mask": mask})
            pooled = torch.nn.functional.normalize(output["sentence_embedding"].float(), dim=1)
            yield pooled.numpy(), output["token_embeddings"].float().numpy(), mask.numpy()
