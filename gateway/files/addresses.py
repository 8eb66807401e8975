"""Addresses in settings: one, several, or several in one text with commas."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

__all__ = ["Origins", "Upstreams", "upstream_address"]


def _separated(given: Any) -> Any:
    """URLs in one text, with commas, one by one."""
    return [url for url in (part.strip() for part in given.split(",")) if url] if isinstance(given, str) else given


def upstream_address(url: str) -> str:
    """An upstream's base URL without the /v1 at its end; http:// where it names no scheme. Raises ValueError."""
    if "@" in url:
        raise ValueError("an upstream's URL must not hold a user or a password; give its bearer key as upstream_key")
    try:
        parts = urlsplit(url if "://" in url or url.startswith(("http:", "https:")) else f"http://{url}")
        usable = parts.hostname and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL ({error}); give http://HOST:PORT") from error
    if not usable or parts.query or parts.fragment or any(letter.isspace() for letter in url):
        raise ValueError(f"{url!r} is no base URL of a server; give http://HOST:PORT")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _origin(origin: str) -> str:
    """As browsers write it. Raises ValueError."""
    parts = urlsplit(origin)
    if origin == "*":
        return origin
    if not parts.hostname or origin.rstrip("/") != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{origin!r} is no origin; give https://HOST, with its port if that is another")
    return origin.rstrip("/").lower()


def _addresses(urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(upstream_address, urls))


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_origin, origins))


Upstreams = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated), AfterValidator(_addresses)]
"""Base URLs of model servers."""
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_separated), AfterValidator(_origins)]
"""Web sites, as browsers write them; `*` for all."""
