"""The net itself: a blocking call of ours on an event loop is found, though the server goes on."""

import asyncio
import contextlib
from pathlib import Path

import blocking

from gateway.files.text import read_text


def test_a_blocking_call_is_found_and_named(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("words")

    async def run() -> None:
        with contextlib.suppress(Exception):  # as a server does
            read_text(file)

    asyncio.run(run())
    (found,) = blocking.taken()
    assert "called in" in found
    assert "gateway/files/text.py line" in found


def test_the_same_in_a_thread_is_fine(tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("words")

    async def run() -> str:
        return await asyncio.to_thread(read_text, file)

    assert asyncio.run(run()) == "words"
    assert blocking.taken() == []
