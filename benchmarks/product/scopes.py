"""What ten thousand scopes cost: the start, memory, a change, the watch, and `unrecall packs list`.

python -m benchmarks.product.scopes --pack PACKS/SCOPE [--scopes 10000] [--folder DIR] [--seed 0]

The packs are copies of one trained pack: other ids, invented names, and a classifier whose points are moved at random,
so that no text reaches it. Half of its points outside the scope stay as they are: packs share those in general traffic.
If the pack guards other languages, the second head is moved in the same way.
No figure holds the load of the encoder, which does not depend on the scopes. Seconds of the processor (`cpu_s`) stand
beside those of the clock: others may use the machine, too.
"""

import argparse
import asyncio
import gc
import hashlib
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.record import quantiles_ms, write
from classifiers.svm.model import Head, quantised
from gateway.core import Message, Request
from gateway.models.encoders import find_encoder
from gateway.models.languages import PACKAGED, language_loader
from gateway.packs.changes import note_change
from gateway.packs.detectors import GATE_FILE, LANGUAGES_FILE, detector_kind
from gateway.packs.folders import read_manifest, remove_pack, set_enabled
from gateway.packs.store import load_pack
from gateway.screening.reload import PackReloader

__all__ = ["main", "make_packs", "measure_scopes"]

_SYLLABLES = (
    "an ar bel bri cor da del dor el en fa fen gal gor ha hel il ir jo ka kel la len lo mar mel mi mor na nel no or pa "
    "per qua ra rin ro sa sel sha ta tel tho tor u ul va vel vi wen xan ya yor za zel"
).split()
_ALIASES = 5
_CHANGES = 20
_IDLE_S = 20.0
_PROMPT = "What is the capital of France, and who built the tower that everybody wants to see there?"
_SPANISH = "¿Cuál es la capital de Francia y quién construyó la torre que todo el mundo quiere ver allí?"


def make_packs(pack: Path, root: Path, numbers: Sequence[int], *, seed: int) -> None:
    """Writes packs `scope-00000` and so on, whole and with right hashes, without any training.

    Args:
        pack: the folder of the trained pack whose copies they are.
        root: where to write them.
        numbers: of the scopes.
        seed: of names and points.
    """
    source = _Source(pack)
    for number in numbers:
        source.copy(root, number, random.Random(f"{seed} {number}"))


class _Source:
    """A trained pack, read once, whose copies are written."""

    def __init__(self, pack: Path) -> None:
        self._manifest = read_manifest(pack).model_dump(mode="json")
        self._manifest["encoder_fingerprint"] = find_encoder("minilm").fingerprint
        self._version = pack / str(self._manifest["version"])
        self._gate = orjson.loads((self._version / GATE_FILE).read_bytes())
        self._detector = detector_kind(self._manifest["detector"])
        loaded = load_pack(pack)
        head: Head = loaded.model
        if head.scales is None:
            raise ValueError(f"{pack} has a classifier as older versions made it: train the pack again")
        self._head, self._languages = replace(head, bias=-1.0, threshold=0.5), loaded.languages
        written = {GATE_FILE, self._detector.file, LANGUAGES_FILE}
        self._linked = [file for file in self._manifest["files"] if file not in written]

    def copy(self, root: Path, number: int, chance: random.Random) -> None:
        scope, version = f"scope-{number:05d}", f"v-{number:012x}"
        folder = root / f".{scope}"
        (folder / version).mkdir(parents=True)
        for file in self._linked:
            os.link(self._version / file, folder / version / file)
        (folder / version / GATE_FILE).write_bytes(orjson.dumps({**self._gate, "aliases": invented(chance)}))
        _moved(self._head, chance).save(folder / version / self._detector.file)
        fresh = [GATE_FILE, self._detector.file]
        if self._languages:
            moved = replace(self._languages, head=_moved(self._languages.head, chance))
            moved.save(folder / version / LANGUAGES_FILE)
            fresh.append(LANGUAGES_FILE)
        hashes = {file: hashlib.sha256((folder / version / file).read_bytes()).hexdigest() for file in fresh}
        manifest = {**self._manifest, "scope": scope, "version": version}
        manifest["files"] = {**self._manifest["files"], **hashes}
        (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
        folder.rename(root / scope)


def _moved(head: Head, chance: random.Random) -> Head:
    """The head around other points, but for half of those outside."""
    points = head.points.copy()
    own = np.argsort(-head.weights, kind="stable")[: len(points) - int((head.weights < 0).sum() / 2)]
    points[own] += np.random.default_rng(chance.getrandbits(32)).normal(0, 0.05, (len(own), points.shape[1]))
    codes, scales = quantised(points)
    return replace(head, vectors=codes, scales=scales)


def invented(chance: random.Random) -> list[str]:
    """The names of a made-up person: two spellings, a place, a thing and a friend."""

    def word() -> str:
        return "".join(chance.choice(_SYLLABLES) for _ in range(chance.randint(2, 4))).capitalize()

    first, last = word(), word()
    return [f"{first} {last}", last, word(), f"{word()} {word()}", f"{word()} {word()} {word()}"][:_ALIASES]


def measure_scopes(pack: Path, root: Path, scopes: int, *, seed: int) -> dict[str, Any]:
    """The figures of so many packs under a root, which holds them already.

    Args:
        pack: the trained pack whose copies they are.
        root: the folder of packs.
        scopes: how many there are.
        seed: of names and points.
    """
    files = find_encoder("minilm")
    encoder = files.load()
    manifest, learned = read_manifest(pack), load_pack(pack)
    languages = learned.languages is not None
    load_languages = language_loader(PACKAGED) if languages else None

    def reloader(packs: Path) -> PackReloader:
        return PackReloader(
            packs,
            encoder=encoder,
            base_fingerprint=manifest.base_fingerprint,
            encoder_fingerprint=files.fingerprint,
            load_languages=load_languages,
        )

    with tempfile.TemporaryDirectory() as nothing:  # the encoder's and the libraries' own memory
        make_packs(pack, Path(nothing), range(1), seed=seed)
        gates_of_one = _gates(reloader(Path(nothing)), languages=languages)
        before = _resident_bytes()
        started, begun = time.perf_counter(), time.process_time()
        packs = reloader(root)
        loaded = time.perf_counter()
        _screen(packs, _PROMPT)
        answered, done = time.perf_counter(), time.process_time()
    after = _resident_bytes()
    gates = _gates(packs, languages=languages)
    changes = asyncio.run(_changes(packs, pack, root, scopes, seed=seed))
    return {
        "scopes": scopes,
        "aliases_each": _ALIASES,
        "points_each": len(learned.model.weights),
        **({"points_each_for_languages": len(learned.languages.head.weights)} if learned.languages else {}),
        "start": {
            "packs_s": round(loaded - started, 3),
            "first_answer_s": round(answered - started, 3),
            "cpu_s": round(done - begun, 3),
        },
        "memory": {"kib_each": round((after - before) / scopes / 1024, 2), "resident_mib": round(after / 2**20, 1)},
        **{name: {"one_scope": gates_of_one[name], "all": of_all} for name, of_all in gates.items()},
        **changes,
        "packs_list": _list_seconds(root),
    }


async def _changes(packs: PackReloader, pack: Path, root: Path, scopes: int, *, seed: int) -> dict[str, Any]:
    """How long until a change acts, and what it costs to wait for one."""
    seconds: dict[str, list[float]] = {"added": [], "switched_off": [], "switched_on": [], "removed": []}
    async with packs:
        await asyncio.sleep(3)  # what the start left
        for number in range(scopes, scopes + _CHANGES):
            scope = f"scope-{number:05d}"
            name = invented(random.Random(f"{seed} {number}"))[0]
            await asyncio.sleep(random.Random(number).random())  # at any time between two looks
            await asyncio.to_thread(make_packs, pack, root, [number], seed=seed)
            note_change(root, scope)
            seconds["added"].append(await _until(packs, scope, name, flagged=True))
            for enabled, what in ((False, "switched_off"), (True, "switched_on")):
                set_enabled(root / scope, enabled)
                seconds[what].append(await _until(packs, scope, name, flagged=enabled))
            remove_pack(root / scope)
            seconds["removed"].append(await _until(packs, scope, name, flagged=False))
        await asyncio.sleep(3)
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(_IDLE_S)
        idle = (time.process_time() - cpu) / (time.perf_counter() - wall)
    found = {what: {**quantiles_ms(of), "max_ms": round(1000 * max(of), 3)} for what, of in seconds.items()}
    return {"acts_after": found, "idle_share_of_a_core": round(idle, 4)}


async def _until(packs: PackReloader, scope: str, name: str, *, flagged: bool) -> float:
    started = time.perf_counter()
    while (scope in {finding.scope for finding in packs.gate.named([f"Who is {name}?"])[0]}) != flagged:
        if time.perf_counter() - started > 60:
            raise RuntimeError("a change of a pack is not followed")
        await asyncio.sleep(0.005)
    return time.perf_counter() - started


def _screen(packs: PackReloader, text: str) -> None:
    packs.gate.screen([Request(id="1", endpoint="chat", model="m", messages=(Message("user", text),))])


def _gates(packs: PackReloader, *, languages: bool) -> dict[str, dict[str, float]]:
    prompts = {"gate_ms": _PROMPT, **({"gate_spanish_ms": _SPANISH} if languages else {})}
    return {name: _gate_ms(packs, prompt) for name, prompt in prompts.items()}


def _gate_ms(packs: PackReloader, prompt: str, *, turns: int = 30) -> dict[str, float]:
    """Of a prompt that nobody asked before: the encoders remember texts."""

    def timed() -> Iterator[float]:
        for turn in range(turns):
            started = time.perf_counter()
            _screen(packs, f"{turn} {id(packs)} {prompt}")
            yield time.perf_counter() - started

    return quantiles_ms(list(timed()))


def _resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _list_seconds(root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "gateway.cli.main", "packs", "list", "--packs", str(root)]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": round(time.perf_counter() - started, 3), "cpu_s": round(cpu, 3)}


def main(arguments: list[str] | None = None) -> int:
    """Makes the packs, measures, and writes benchmarks/results/scopes.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, required=True, help="folder of a trained pack")
    parser.add_argument("--scopes", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where to make the packs; on the disk of --pack. Kept afterwards")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.pack.parent.parent) as scratch:
        root = options.folder or Path(scratch)
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob("*scope-*"):  # by a run that was broken off
            if int(left.name[-5:]) >= options.scopes or left.name.startswith("."):
                shutil.rmtree(left)
        missing = [number for number in range(options.scopes) if not (root / f"scope-{number:05d}").is_dir()]
        started = time.perf_counter()
        make_packs(options.pack, root, missing, seed=options.seed)
        made = round(time.perf_counter() - started, 3)
        found = measure_scopes(options.pack, root, options.scopes, seed=options.seed)
    print(write("scopes", options.seed, {"made_s": made, **found}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
