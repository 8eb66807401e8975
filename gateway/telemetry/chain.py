"""A hash chain over audit lines: each line names the digest of the line before it, so that a line that is changed,
moved or taken out shows.

A digest covers the line's bytes up to the digest itself, `prev` among them. With a key it is an HMAC-SHA256 (RFC 2104):
who does not have the key cannot write a line that fits. Without one it is a plain SHA-256: whoever changes a line can
write all later ones anew, so it tells of accidents and of careless hands alone.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

__all__ = ["LONGEST_SEAL", "Chain", "Link", "link_of"]

_SEAL = re.compile(
    rb',"chain":"([0-9a-f]{16})","seq":([1-9][0-9]{0,17}),"prev":(?:null|"([0-9a-f]{64})"),'
    rb'"(hash|hmac)":"([0-9a-f]{64})"\}$'
)
LONGEST_SEAL = 256  # bytes at the end of a line that hold all of its place in a chain


@dataclass(frozen=True, slots=True)
class Link:
    """A line's place in a chain: the number `seq` counts from 1. `prev` is the digest of the line before it; None of a
    chain's first line. `keyed` digests are HMACs."""

    chain: str
    seq: int
    prev: str | None
    digest: str
    keyed: bool


def link_of(line: bytes) -> Link | None:
    """The place of a line, which may lack its beginning; None for a line of no chain. It is not checked."""
    found = _SEAL.search(line)
    if found is None:
        return None
    chain, seq, prev, kind, digest = found.groups()
    return Link(chain.decode(), int(seq), prev.decode() if prev else None, digest.decode(), kind == b"hmac")


class Chain:
    """Makes the lines of a chain, and checks them."""

    def __init__(self, key: bytes | None = None) -> None:
        """`key` makes the digests HMACs."""
        self._key = key
        self._field = b"hmac" if key else b"hash"

    def sealed(self, line: bytes, after: Link | None) -> tuple[bytes, Link]:
        """A JSON object as the line that follows `after`, or that begins a chain of its own; and its place."""
        chain = after.chain if after else secrets.token_hex(8)
        seq = after.seq + 1 if after else 1
        prev = b'"%b"' % after.digest.encode() if after else b"null"
        text = line[:-1] + b',"chain":"%b","seq":%d,"prev":%b' % (chain.encode(), seq, prev)
        digest = self._digest(text)
        place = Link(chain, seq, after.digest if after else None, digest, self._key is not None)
        return text + b',"%b":"%b"}' % (self._field, digest.encode()), place

    def holds(self, line: bytes) -> bool:
        """Whether the digest is that of the line. False for a line of no chain."""
        found = _SEAL.search(line)
        if found is None or found[4] != self._field:
            return False
        return hmac.compare_digest(self._digest(line[: found.start(4) - 2]), found[5].decode())

    def _digest(self, text: bytes) -> str:
        if self._key is None:
            return hashlib.sha256(text).hexdigest()
        return hmac.digest(self._key, text, "sha256").hex()
