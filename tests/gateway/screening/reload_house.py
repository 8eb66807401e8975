"""The packs in force, asked without a server."""

from pathlib import Path
from typing import Any

from hand_made import BASE

from classifiers.encoder.sentence import Encoder
from gateway.core import Message, Request, Screening
from gateway.screening.reload import PackReloader


def reloader_of(root: Path, encoder: Encoder, *, poll_s: float = 60, **options: Any) -> PackReloader:
    return PackReloader(
        root, encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE, poll_s=poll_s, **options
    )


def screened(packs: PackReloader, text: str) -> Screening:
    request = Request(id="1", endpoint="chat", model="m", messages=(Message("user", text),))
    (screening,) = packs.gate.screen([request])
    return screening


def flags(packs: PackReloader, text: str) -> bool:
    return bool(screened(packs, text).matched)


def damage(root: Path, scope: str) -> Path:
    file = next((root / scope).glob("v-*/gate.json"))
    file.write_text("{}")
    return file
