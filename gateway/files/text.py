"""Text files as people have them: with or without a byte-order mark, with any line end."""

import codecs
from pathlib import Path

from gateway.errors import SetupError

__all__ = ["read_lenient", "read_text"]

# The marks of UTF-32 begin with those of UTF-16: the longer ones come first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_FORMATS = (
    (b"\x1f\x8b", "compressed; unpack it first"),
    (b"PK\x03\x04", "an archive or a spreadsheet; save its rows as JSON lines"),
    (b"PAR1", "Parquet; save its rows as JSON lines"),
)


def read_text(path: Path, *, what: str = "") -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark; line ends become '\\n'.

    Raises SetupError, which names the file, and `what` it is.
    """
    text = read_lenient(path, what=what)
    named = f"{what} {path}".lstrip()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise SetupError(f"cannot read {named}: line {line} is not UTF-8; save the file as UTF-8") from error
    return text


def read_lenient(path: Path, *, what: str = "") -> str:
    """As `read_text`, but each byte that is not UTF-8 becomes a lone surrogate: the caller names the row."""
    named = f"{what} {path}".lstrip()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SetupError(f"cannot read {named}: {error.strerror or error}") from error
    for start, kind in _OTHER_FORMATS:
        if content.startswith(start):
            raise SetupError(f"cannot read {named}: it is {kind}")
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    try:
        text = content[len(mark) :].decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise SetupError(f"cannot read {named}: it begins as {encoding} and does not go on so: {error}") from error
    if "\0" in text:
        raise SetupError(f"cannot read {named}: it holds zero bytes, as UTF-16 without a mark does; save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
