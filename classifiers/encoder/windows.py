"""Texts as overlapping windows of tokens: nothing is cut off, so nothing goes unscreened."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

__all__ = [
    "BATCH_WINDOWS",
    "WINDOW_STRIDE_TOKENS",
    "WINDOW_TOKENS",
    "Cut",
    "Cutter",
    "batch_places",
    "padded_length",
]

WINDOW_TOKENS = 64
WINDOW_STRIDE_TOKENS = 32
BATCH_WINDOWS = 16  # larger batches are hardly faster a window, and the others wait longer
# A word-piece tokenizer turns a longer unbroken run of characters into one [UNK], behind which anything could hide.
_PIECE = re.compile(r"\S{1,64}")
_LENGTH_STEP = 4

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

    def padded(self, cuts: Sequence[Cut]) -> tuple[Ids, Ids]:
        """Token ids with [CLS], [SEP] and padding, and the mask of the tokens that are no padding, each [windows,
        length], in the order given."""
        length = padded_length(len(cuts), max(len(cut.ids) for cut in cuts) + 2)
        ids = np.full((len(cuts), length), self._padding, dtype=np.int64)
        mask = np.zeros((len(cuts), length), dtype=np.int64)
        for row, cut in enumerate(cuts):
            ids[row, : len(cut.ids) + 2] = (self.first, *cut.ids, self.last)
            mask[row, : len(cut.ids) + 2] = 1
        return ids, mask


def padded_length(windows: int, tokens: int) -> int:
    """The length of a batch whose longest window has so many tokens. A compiled encoder prepares itself for each shape
    that it meets, so there are few: any length for one window alone, multiples of four for several."""
    return tokens if windows == 1 else -(-tokens // _LENGTH_STEP) * _LENGTH_STEP


def batch_places(windows: int) -> Iterator[slice]:
    """Cuts so many windows into batches of 16, 8, 4, 2 and 1, for the same reason."""
    start = 0
    size = BATCH_WINDOWS
    while start < windows:
        while size > windows - start:
            size //= 2
        yield slice(start, start + size)
        start += size
