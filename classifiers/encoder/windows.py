"""Texts as overlapping windows of tokens: nothing is cut off, so nothing goes unscreened."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["BATCH_WINDOWS", "WINDOW_STRIDE_TOKENS", "WINDOW_TOKENS", "Cut", "Cutter"]

WINDOW_TOKENS = 64
WINDOW_STRIDE_TOKENS = 32
BATCH_WINDOWS = 32
# A word-piece tokenizer turns a longer unbroken run of characters into one [UNK], behind which anything could hide.
_PIECE = re.compile(r"\S{1,64}")


@dataclass(frozen=True, slots=True)
class Cut:
    """The tokens of one window, without [CLS] and [SEP], and the half-open character range of each."""

    ids: list[int]
    offsets: tuple[tuple[int, int], ...]


class Cutter:
    """Cuts texts into windows and pads windows into batches. Thread-safe, as fast tokenizers are."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._tokenizer = tokenizer
        # The first call drops the truncation that the tokenizer's file may ask for: no matter for two threads at once.
        list(self.cuts("a"))

    def cuts(self, text: str) -> Iterator[Cut]:
        """The windows of one text, in order; none for a text without any visible character."""
        pieces = list(_PIECE.finditer(text))
        if not pieces:
            return
        tokens = self._tokenizer(
            [piece.group() for piece in pieces],
            is_split_into_words=True,
            add_special_tokens=False,
            return_offsets_mapping=True,
            truncation=False,
            verbose=False,
        )
        offsets = [
            (pieces[word].start() + start, pieces[word].start() + end)
            for word, (start, end) in zip(tokens.word_ids(), tokens["offset_mapping"], strict=True)
        ]
        ids = list(tokens["input_ids"])
        for start in range(0, max(1, len(ids) - WINDOW_STRIDE_TOKENS), WINDOW_STRIDE_TOKENS):
            part = slice(start, start + WINDOW_TOKENS)
            if ids[part]:
                yield Cut(ids[part], tuple(offsets[part]))

    def batches(self, cuts: Sequence[Cut]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of (token ids with [CLS], [SEP] and padding, mask of the tokens that are no padding), each an
        integer tensor [windows, length], in the order given."""
        first, last = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id
        padding = self._tokenizer.pad_token_id or 0
        for start in range(0, len(cuts), BATCH_WINDOWS):
            batch = cuts[start : start + BATCH_WINDOWS]
            length = max(len(cut.ids) for cut in batch) + 2
            ids = torch.full((len(batch), length), padding, dtype=torch.long)
            mask = torch.zeros((len(batch), length), dtype=torch.long)
            for row, cut in enumerate(batch):
                ids[row, : len(cut.ids) + 2] = torch.tensor([first, *cut.ids, last])
                mask[row, : len(cut.ids) + 2] = 1
            yield ids, mask
