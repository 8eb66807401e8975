"""Texts as overlapping windows of tokens: nothing is cut off, so nothing goes unscreened."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = [
    "BATCH_LENGTHS",
    "BATCH_SIZES",
    "BATCH_WINDOWS",
    "WINDOW_STRIDE_TOKENS",
    "WINDOW_TOKENS",
    "Cut",
    "Cutter",
    "batches",
]

WINDOW_TOKENS = 64
WINDOW_STRIDE_TOKENS = 32
BATCH_SIZES = (1, 2, 4, 8, 16)
BATCH_LENGTHS = (16, 24, 32, 48, WINDOW_TOKENS + 2)
_EMPTY_SHARE = 0.2
BATCH_WINDOWS = BATCH_SIZES[-1]  # larger batches are hardly faster a window, and the others wait longer
# A word-piece tokenizer turns a longer unbroken run of characters into one [UNK], behind which anything could hide.
_PIECE = re.compile(r"\S{1,64}")

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cut:
    """The tokens of one window, without [CLS] and [SEP], and the half-open character range of each."""

    ids: list[int]
    offsets: tuple[tuple[int, int], ...]

    @property
    def key(self) -> bytes:
        """Equal for windows with equal tokens, and for no others: texts that the tokenizer reads alike are one."""
        return np.array(self.ids, dtype=np.int32).tobytes()


class Cutter:
    """Cuts texts into windows and pads windows into batches. Thread-safe.

    `first` and `last` are the ids of the tokens around each window, [CLS] and [SEP]; `mask` is the id of [MASK], or 0.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` holds a tokenizer.json. Raises ValueError if it does not, or if that marks no beginning and end."""
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library has no class of its own for it
            raise ValueError(f"{folder} holds no readable tokenizer.json: {error}") from error
        self._padding = int((self._tokenizer.padding or {}).get("pad_id", 0))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ends = self._tokenizer.encode("").ids
        if len(ends) != 2:
            raise ValueError(f"the tokenizer in {folder} does not mark the beginning and the end of a text as BERT's")
        self.first, self.last = ends
        self.mask = self._tokenizer.token_to_id("[MASK]") or 0

    def cuts(self, text: str) -> Iterator[Cut]:
        """The windows of one text, in order; none for a text without any visible character."""
        pieces = list(_PIECE.finditer(text))
        if not pieces:
            return
        words = [piece.group() for piece in pieces]
        tokens = self._tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
        starts = [piece.start() for piece in pieces]
        offsets = [
            (starts[word or 0] + start, starts[word or 0] + end)  # no token is without a word here
            for word, (start, end) in zip(tokens.word_ids, tokens.offsets, strict=True)
        ]
        ids = tokens.ids
        for start in range(0, max(1, len(ids) - WINDOW_STRIDE_TOKENS), WINDOW_STRIDE_TOKENS):
            part = slice(start, start + WINDOW_TOKENS)
            if ids[part]:
                yield Cut(ids[part], tuple(offsets[part]))

    def padded(self, cuts: Sequence[Cut], shape: tuple[int, int] | None = None) -> tuple[Ids, Ids]:
        """Token ids with [CLS], [SEP] and padding, and the mask of the tokens that are no padding, each [windows,
        length], in the order given. A `shape` may have more of both than the windows need."""
        longest = max(len(cut.ids) for cut in cuts) + 2
        rows, length = shape or (len(cuts), longest)
        ids = np.full((rows, length), self._padding, dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        ids[:, :2], mask[:, :2] = (self.first, self.last), 1  # a row without any token would give no numbers
        for row, cut in enumerate(cuts):
            ids[row, : len(cut.ids) + 2] = (self.first, *cut.ids, self.last)
            mask[row, : len(cut.ids) + 2] = 1
        return ids, mask


def batches(tokens: Sequence[int]) -> Iterator[tuple[list[int], tuple[int, int]]]:
    """Puts windows with so many tokens each, [CLS] and [SEP] among them, into batches: (numbers of the windows, (rows,
    length) of the batch).

    A compiled encoder takes longer when a batch has another shape than the one before, so there are few shapes. Windows
    of like length go together, because the time grows with the longest. Few rows stay empty: nine windows are a batch
    of eight and a batch of one.
    """
    by_length: dict[int, list[int]] = {}
    for number, count in enumerate(tokens):
        by_length.setdefault(next(length for length in BATCH_LENGTHS if length >= count), []).append(number)
    for length, numbers in by_length.items():
        while numbers:
            rows = next((size for size in BATCH_SIZES if size >= len(numbers)), BATCH_WINDOWS)
            if rows - len(numbers) > rows * _EMPTY_SHARE:
                rows = max(size for size in BATCH_SIZES if size <= len(numbers))
            batch, numbers = numbers[:rows], numbers[rows:]  # noqa: PLW2901 (what is left of them)
            yield batch, (rows, length)
