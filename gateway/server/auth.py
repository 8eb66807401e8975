"""Who may ask: API keys and the admin key, compared in constant time."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from gateway.errors import Unauthorized

__all__ = ["ADMIN_HEADER", "SEND_ADMIN_KEY", "Access"]

ADMIN_HEADER = "x-unrecall-admin-key"
SEND_ADMIN_KEY = f"send the admin key in {ADMIN_HEADER}; the operator sets it with UNRECALL_ADMIN_KEY"
"""The same whether or not a key is set, so that it tells a stranger nothing."""


class Access:
    """The keys. Without API keys anybody who reaches the port may ask."""

    def __init__(self, *, api_keys: Sequence[SecretStr] = (), admin_key: SecretStr | None = None) -> None:
        self._keys = [key.get_secret_value().encode() for key in api_keys]
        self._admin = admin_key.get_secret_value().encode() if admin_key else None

    def check_client(self, headers: Mapping[str, str]) -> None:
        """Raises Unauthorized unless the bearer token, or `x-api-key` in its place, is one of the keys."""
        if not self._keys:
            return
        scheme, offered = _offered(headers)
        # every key is compared, so that the time does not tell which key was near
        matches = [hmac.compare_digest(offered, key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthorized("a valid API key is needed: send 'Authorization: Bearer KEY', or 'x-api-key: KEY'")

    def caller(self, headers: Mapping[str, str], address: str) -> str:
        """Who asks: the hash of the client's key if keys are asked for, else the client's address."""
        return hashlib.sha256(_offered(headers)[1]).hexdigest() if self._keys else address

    def is_admin(self, headers: Mapping[str, str]) -> bool:
        """True only with the right admin key; never if none is configured. Only an admin sees plans, scopes and packs,
        and counts of them."""
        offered = headers.get(ADMIN_HEADER, "").encode()
        return self._admin is not None and hmac.compare_digest(offered, self._admin)


def _offered(headers: Mapping[str, str]) -> tuple[str, bytes]:
    """What Anthropic's clients send in `x-api-key` counts as a bearer token."""
    if key := headers.get("x-api-key") if "authorization" not in headers else None:
        return "bearer", key.strip().encode()
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return scheme, token.strip().encode()
