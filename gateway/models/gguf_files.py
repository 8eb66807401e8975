"""GGUF files as plain Hugging Face folders, of whatever architecture transformers reads in them."""

import hashlib
import logging
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.errors import ModelError
from gateway.models.cache import cache_folder, made_once

__all__ = ["from_gguf", "unpack_gguf"]

_log = logging.getLogger("unrecall.models")
_RECIPE = "1"  # raise it whenever the same file comes to give another folder
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_NOT_READ = {"rope_freqs.weight": "stretched positions (Llama 3.1 and later)"}
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError, struct.error)
_SETTINGS_OF_THE_FILE = ("quantization_config", "_name_or_path", "_model_name_or_path")


def from_gguf(file: Path, *, say: Callable[[str], None] = lambda _: None, fetch: bool = True) -> Path:
    """The folder of the model in a GGUF file, in bfloat16. It is made once, and anew if the file changes. Raises
    ModelError, also for a file that is not converted yet if `fetch` is False."""
    if _PART.search(file.stem):
        raise ModelError(
            f"{file} is one part of several: merge them with `llama-gguf-split --merge {file.name} WHOLE.gguf`, and "
            "give the whole file"
        )
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise ModelError(f"{file} is no GGUF file; fetch it anew")
    stamp = file.stat()
    key = f"{file.resolve()} {stamp.st_size} {stamp.st_mtime_ns} {_RECIPE}"

    def make(folder: Path, _: Path) -> None:
        say(f"converting {file.name}, once")
        unpack_gguf(file, folder)

    folder = f"gguf-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not fetch and not (cache_folder() / folder).is_dir():
        raise ModelError(f"{file} is not converted yet; run `unrecall models pull {file}`")
    return made_once(folder, make)


def unpack_gguf(source: Path, folder: Path) -> None:
    """Writes a GGUF file as a plain bf16 safetensors folder, which transformers and vLLM both load. Raises
    ModelError."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        quantised, found = AutoModelForCausalLM.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_check_whole` tells of them
        )
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    except _UNREADABLE as error:
        line = (str(error).strip().splitlines() or [""])[0][:300]
        raise ModelError(
            f"transformers cannot read {source} ({type(error).__name__}: {line}); give the folder of the model that it "
            "was made from, or a hub id"
        ) from error
    _check_whole(source, found)
    _warn_of_the_unread(source)
    _plain(quantised).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _check_whole(source: Path, found: dict[str, Any]) -> None:
    """transformers fills what it does not find with random numbers. Raises ModelError."""
    lacking = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    if lacking:
        raise ModelError(
            f"transformers does not find {len(lacking)} of the model's tensors in {source}, or finds them in another "
            f"shape ({lacking[0]!r}, for example); give the folder of the model that it was made from, or a hub id"
        )


def _warn_of_the_unread(source: Path) -> None:
    from gguf import GGUFReader

    for tensor in GGUFReader(source).tensors:
        if what := _NOT_READ.get(tensor.name):
            _log.warning(
                "%s has %s, which transformers does not read from a GGUF: answers will differ from the model's own; "
                "give the folder of the model that it was made from, or a hub id",
                source,
                what,
            )


def _plain(quantised: Any) -> Any:
    """A model of the same class and weights that does not know that it was quantised: such a one is not saved."""
    import torch

    settings = quantised.config.to_dict()
    for key in _SETTINGS_OF_THE_FILE:
        settings.pop(key, None)
    with torch.device("meta"):  # its own weights would only be thrown away
        plain = type(quantised)(type(quantised.config).from_dict(settings))
    plain.load_state_dict(quantised.state_dict(), assign=True)
    plain.tie_weights()
    return plain
