"""Text that was compressed before it was written in base64, hex and the like.

A few bytes may hold megabytes: of what they say no more is unpacked than some times the length of the run.
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from classifiers.views.reading import Decoder, characters_of

__all__ = ["packed", "unpacked"]

_Bytes = Callable[[str], Iterable[tuple[int, int, int]]]
_MOST_TIMES, _LEAST_ROOM = 2, 64  # bytes that are unpacked: so many times the length, and some more
_LEAST_BYTES, _MOST_BYTES = 10, 65_536
_LEAST_LETTERS, _TEXT_SHARE = 6, 0.8  # of what is unpacked without a mark: it may be chance
_MEMORY = 1 << 24  # bytes of a dictionary of LZMA
_GZIP, _BZIP2, _XZ, _LZMA = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00"
_RAW = -15  # of zlib: neither head nor tail


def packed(name: str, pattern: str, read: _Bytes) -> Decoder:
    """The decoder of compressed text in some signs; `read` gives the bytes of a run."""

    def unpack(run: str) -> Iterator[tuple[str, int, int]]:
        data = bytes(value for value, _, _ in read(run))
        said = unpacked(data, _MOST_TIMES * len(run) + _LEAST_ROOM)
        return characters_of((value, 0, len(run)) for value in said)

    return Decoder(f"compressed {name}", re.compile(pattern), unpack)


def unpacked(data: bytes, most: int) -> bytes:
    """The first bytes of what was compressed by gzip, zlib, bzip2, LZMA or raw deflate; none if it was not.

    Args:
        data: any bytes; those behind the end of the compressed ones are left alone.
        most: how many bytes to unpack.
    """
    if not _LEAST_BYTES <= len(data) <= _MOST_BYTES:
        return b""
    marked = next((open_ for mark, open_ in _MARKED.items() if data.startswith(mark)), None)
    try:
        if marked is not None:
            return marked(data, most)
        if data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2], "big") % 31 == 0:
            return zlib.decompressobj().decompress(data, most)
        said = zlib.decompressobj(_RAW).decompress(data, most)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return b""
    letters = sum(65 <= value <= 122 or value == 32 for value in said)
    return said if letters >= max(_LEAST_LETTERS, _TEXT_SHARE * len(said)) else b""


def _lzma(data: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_MEMORY).decompress(data, most)


_MARKED: Mapping[bytes, Callable[[bytes, int], bytes]] = {
    _GZIP: lambda data, most: zlib.decompressobj(31).decompress(data, most),
    _BZIP2: lambda data, most: bz2.BZ2Decompressor().decompress(data, most),
    _XZ: _lzma,
    _LZMA: _lzma,
}
