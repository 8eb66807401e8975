"""The sentence encoder that detectors read with: found, compiled once for each folder, and told apart."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gateway.errors import ModelError, reason_of
from gateway.models.cache import cache_folder, made_once
from gateway.models.folders import fingerprint, resolve

if TYPE_CHECKING:  # the commands that only name an encoder do not load it
    from classifiers.encoder.sentence import Encoder

__all__ = ["EncoderFiles", "EncoderRuntime", "find_encoder"]

_FILE = "encoder.xml"
EncoderRuntime = Literal["openvino", "torch"]


@dataclass(frozen=True, slots=True)
class EncoderFiles:
    """An encoder on disk. `fingerprint` tells apart what gives other scores: a detector's threshold holds for the
    encoder and the runtime that it was set with. `compiled` is None for torch."""

    folder: Path
    fingerprint: str
    compiled: Path | None

    def load(self, *, threads: int = 1, device: str = "cpu") -> "Encoder":
        """The encoder. `threads` are how many batches OpenVINO computes at once, `device` is where torch computes.
        Raises ModelError."""
        from classifiers.encoder.runtimes import OpenVinoRuntime, TorchRuntime
        from classifiers.encoder.sentence import Encoder

        try:
            if self.compiled is None:
                return Encoder(self.folder, TorchRuntime(self.folder, device=device))
            return Encoder(self.folder, OpenVinoRuntime(self.compiled, threads=threads))
        except ValueError as error:
            mend = "" if device == "cpu" else "; set encoder_device to cpu, or to a GPU that torch sees"
            raise ModelError(f"the encoder cannot be used: {error}{mend}") from error


def find_encoder(
    name: str,
    runtime: EncoderRuntime = "openvino",
    *,
    say: Callable[[str], None] = lambda _: None,
    fetch: bool = True,
) -> EncoderFiles:
    """Finds an encoder's folder, and compiles it the first time that this runtime is asked for. Raises ModelError.

    Args:
        name: a packaged name, a folder, or a hub id.
        runtime: what computes.
        say: is told of a step that takes time.
        fetch: False downloads and compiles nothing; what is not compiled yet is told by its files alone.
    """
    folder = resolve(name, say=say, fetch=fetch)
    weights = fingerprint(folder)
    if runtime == "torch":
        return EncoderFiles(folder, weights, None)
    from classifiers.encoder.compiled import RECIPE

    def make(kept: Path, _: Path) -> None:
        say(f"compiling the encoder {name}, once")
        kept.mkdir()
        _compile(folder, kept)

    name_of_it = f"encoder-{weights[:16]}-{RECIPE}"
    kept = made_once(name_of_it, make) if fetch else cache_folder() / name_of_it
    told_apart = hashlib.sha256(f"{weights} {RECIPE}".encode()).hexdigest()
    return EncoderFiles(folder, told_apart, kept / _FILE)


def _compile(folder: Path, kept: Path) -> None:
    from classifiers.encoder.compiled import compile_encoder

    try:
        compile_encoder(folder, kept / _FILE)
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"the encoder in {folder} cannot be compiled ({reason_of(error, with_file=True)}); "
            "set encoder_runtime to torch"
        ) from error
