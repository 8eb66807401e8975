"""Sentence embeddings of whole texts, however long: nothing is cut off, so nothing goes unscreened."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from classifiers.cache import Recent
from classifiers.encoder.runtimes import Runtime
from classifiers.encoder.windows import BATCH_WINDOWS, WINDOW_STRIDE_TOKENS, WINDOW_TOKENS, Cut, Cutter, batches

if TYPE_CHECKING:  # it loads torch, which the compiled runtime does without
    from classifiers.encoder.backbone import Backbone

__all__ = ["WINDOW_STRIDE_TOKENS", "WINDOW_TOKENS", "Encoder", "TokenWindow"]

Array = NDArray[np.float32]
_CACHE_BYTES = 64 << 20
_CUT_BYTES, _TOKEN_BYTES = 32 << 20, 200
_PART_WINDOWS = 4  # whole ones, of a long text: a short text that comes meanwhile waits for so many
_NO_TOKENS = np.zeros((0, 0), dtype=np.float16)


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """One window of a text: `embedding` [hidden], `tokens` [tokens, hidden], character offsets of each token."""

    embedding: Array
    tokens: Array
    offsets: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What the encoder says of one window: `embedding` [hidden], `tokens` [tokens, hidden] in half precision, or none
    of them where they were not kept."""

    embedding: Array
    tokens: NDArray[np.float16]

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return self.embedding.nbytes + self.tokens.nbytes + 300


class Encoder:
    """A sentence-transformers model with mean pooling (all-MiniLM-L6-v2: 384 dimensions), which reads overlapping
    windows.

    Thread-safe. Embeddings are L2-normalised float32. The encoder remembers recent windows by their tokens, with the
    token embeddings of the same pass: every turn of a conversation sends all the earlier turns again, and the words
    that gave a flagged text away are found without a second pass.
    """

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        """`folder` is a sentence-transformers folder (see `unrecall models pull minilm`), and `runtime` computes its
        model."""
        self._folder = folder
        self._runtime = runtime
        self._cutter = Cutter(folder)
        self._recent: Recent[bytes, _Read] = Recent(_CACHE_BYTES, size_of=lambda read: read.size)
        self._cuts: Recent[str, tuple[Cut, ...]] = Recent(_CUT_BYTES, size_of=_size)
        self.hidden = int(self.encode(["a"])[0].shape[1])

    @cached_property
    def backbone(self) -> "Backbone":
        """The same encoder layer by layer, for detectors that tune it. It is loaded at the first use."""
        from classifiers.encoder.backbone import Backbone

        return Backbone(self._folder)

    def warm_up(self) -> None:
        """Prepares for batches of every shape, so that no request waits for it. Takes a second or two."""
        self._runtime.warm_up()

    def cuts(self, text: str) -> tuple[Cut, ...]:
        """The windows of a text before they are read. Those of recent texts are remembered."""
        return self._cuts.of([text], lambda texts: [tuple(self._cutter.cuts(one)) for one in texts])[text]

    def encode(self, texts: Sequence[str]) -> list[Array]:
        """For each text an array [windows, hidden]; no rows for a text without any visible character."""
        cuts = [self.cuts(text) for text in texts]
        read = self._read([cut for of_text in cuts for cut in of_text])
        rows = np.stack([one.embedding for one in read]) if read else np.zeros((0, 0), dtype=np.float32)
        ends = accumulate(map(len, cuts))
        return [rows[end - len(of_text) : end] for of_text, end in zip(cuts, ends, strict=True)]

    def windows(self, text: str, among: Collection[int] | None = None) -> list[TokenWindow]:
        """The windows of one text with their token embeddings, to find the words that gave the text its meaning; only
        those with a number `among` these, if given."""
        cuts = [cut for number, cut in enumerate(self.cuts(text)) if among is None or number in among]
        return [
            TokenWindow(read.embedding, read.tokens.astype(np.float32), cut.offsets)
            for cut, read in zip(cuts, self._read(cuts, tokens=True), strict=True)
        ]

    def read_ahead(self, texts: Sequence[str]) -> Sequence[Sequence[Cut]]:
        """The windows of texts in small parts, for `read_part`: so a text of many windows can be read between others.
        Each window is there once, and those of like length are together."""
        cuts = {cut.key: cut for text in texts for cut in self.cuts(text)}
        parts: list[list[Cut]] = []
        tokens = 0
        for cut in sorted(cuts.values(), key=lambda cut: -len(cut.ids)):
            tokens += len(cut.ids)
            if not parts or tokens > _PART_WINDOWS * WINDOW_TOKENS or len(parts[-1]) == BATCH_WINDOWS:
                parts.append([])
                tokens = len(cut.ids)
            parts[-1].append(cut)
        return parts

    def read_part(self, part: Sequence[Cut]) -> None:
        """Reads windows, and remembers them for the `encode` that follows: without token embeddings, which would push
        the rest of a very long text out of the memory."""
        keyed = {cut.key: cut for cut in part}
        known = self._recent.known(keyed)
        fresh = self._computed({key: cut for key, cut in keyed.items() if key not in known})
        self._recent.keep({key: replace(read, tokens=_NO_TOKENS) for key, read in fresh.items()})

    def _read(self, cuts: Sequence[Cut], *, tokens: bool = False) -> list[_Read]:
        """What the encoder says of each window. With `tokens`, one that was kept without them is read again."""
        keys = [cut.key for cut in cuts]
        known = self._recent.known(keys)
        if tokens:
            known = {key: read for key, read in known.items() if len(read.tokens)}
        fresh = self._computed({key: cut for key, cut in zip(keys, cuts, strict=True) if key not in known})
        self._recent.keep(fresh)
        return [known[key] if key in known else fresh[key] for key in keys]

    def _computed(self, missing: dict[bytes, Cut]) -> dict[bytes, _Read]:
        keys, cuts = list(missing), list(missing.values())
        found: dict[bytes, _Read] = {}
        for numbers, shape in batches([len(cut.ids) + 2 for cut in cuts]):
            pooled, tokens = self._runtime.forward(*self._cutter.padded([cuts[number] for number in numbers], shape))
            for row, number in enumerate(numbers):
                inside = tokens[row, 1 : 1 + len(cuts[number].ids)]  # without [CLS] and [SEP]
                found[keys[number]] = _Read(pooled[row], inside.astype(np.float16))
        return found


def _size(cuts: Sequence[Cut]) -> int:
    """Bytes, roughly."""
    return 200 + _TOKEN_BYTES * sum(len(cut.ids) for cut in cuts)
