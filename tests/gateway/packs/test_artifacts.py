"""What methods learned: read when it is needed, whole or not at all, and kept within a bound."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hand_made import CORRUPTION, SavePack

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from classifiers.encoder.sentence import Encoder
from classifiers.svm.model import Head
from gateway.errors import PackError
from gateway.methods import corruption
from gateway.packs.artifacts import ArtifactCache, StoredArtifact
from gateway.packs.folders import read_manifest
from gateway.packs.store import load_pack, load_packs
from gateway.screening.gate import Gate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stored(root: Path, scope: str, cache: ArtifactCache, **options: Any) -> StoredArtifact:
    source = load_pack(root / scope, cache=cache, **options).guard.source
    assert isinstance(source, StoredArtifact)
    return source


def file_of(root: Path, scope: str, name: str = "corruption.json") -> Path:
    return root / scope / read_manifest(root / scope).version / name


@pytest.fixture
def root(tmp_path: Path, save: SavePack) -> Path:
    for scope in ("narnia", "oz", "mordor"):
        save(scope)
    return tmp_path / "packs"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scopes whose corruption was read from its file."""
    found: list[str] = []
    load = corruption.CorruptionMethod.load

    def noted(self: Any, folder: Path) -> Any:
        found.append(folder.parent.name)
        return load(self, folder)

    monkeypatch.setattr(corruption.CorruptionMethod, "load", noted)
    return found


def test_nothing_is_read_before_it_is_needed_and_then_once(root: Path, reads: list[str]) -> None:
    packs = load_packs(root, base_fingerprint=None, encoder_fingerprint=None)
    assert reads == []
    source = packs["oz"].guard.source
    assert source is not None
    assert source.held() is None
    assert source.load() == source.load() == source.held() == CORRUPTION
    assert reads == ["oz"]


def test_the_least_recently_used_is_dropped_and_the_bound_holds(root: Path, reads: list[str]) -> None:
    size = file_of(root, "oz").stat().st_size
    cache = ArtifactCache(2 * size + 1)
    narnia, oz, mordor = (stored(root, scope, cache) for scope in ("narnia", "oz", "mordor"))
    for artifact in (narnia, oz, narnia, mordor):
        artifact.load()
        assert cache.bytes <= 2 * size
    assert oz.held() is None
    assert narnia.held() == mordor.held() == CORRUPTION
    assert reads == ["narnia", "oz", "mordor"]


def test_an_artifact_larger_than_the_bound_is_used_and_not_kept(root: Path, reads: list[str]) -> None:
    cache = ArtifactCache(10)
    oz = stored(root, "oz", cache)
    assert oz.load() == oz.load() == CORRUPTION
    assert (oz.held(), cache.bytes, reads) == (None, 0, ["oz", "oz"])


@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_a_file_that_is_not_the_pack_s_is_refused_and_told(root: Path, reads: list[str], damage: str) -> None:
    clock = Clock()
    cache = ArtifactCache(clock=clock)
    file, oz = file_of(root, "oz"), stored(root, "oz", cache)
    whole = file.read_bytes()
    file.write_bytes(whole + b" ") if damage == "altered" else file.unlink()
    words = "corruption.json was altered" if damage == "altered" else "cannot be read"
    with pytest.raises(PackError, match=f"pack 'oz': .*{words}"):
        oz.load()
    assert list(cache.faults) == ["oz"]
    assert reads == []
    file.write_bytes(whole)
    with pytest.raises(PackError, match=words):  # every request would read a large file again
        oz.load()
    clock.now += 60
    assert oz.load() == CORRUPTION
    assert cache.faults == {}


def test_a_fault_of_the_pack_before_does_not_stand_in_the_way(root: Path, save: SavePack) -> None:
    cache = ArtifactCache()
    old = stored(root, "oz", cache)
    save("oz")
    with pytest.raises(PackError):
        old.load()
    assert stored(root, "oz", cache).load() == CORRUPTION
    assert cache.faults == {}


def test_many_who_need_one_artifact_read_it_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    reading = threading.Event()
    load = corruption.CorruptionMethod.load

    def slow(self: Any, folder: Path) -> Any:
        reads.append(1)
        reading.wait(5)
        return load(self, folder)

    monkeypatch.setattr(corruption.CorruptionMethod, "load", slow)
    oz, found = stored(root, "oz", ArtifactCache()), []
    readers = [threading.Thread(target=lambda: found.append(oz.load())) for _ in range(4)]
    for reader in readers:
        reader.start()
    assert oz.held() is None, "who only looks does not wait"
    reading.set()
    for reader in readers:
        reader.join()
    assert found == [CORRUPTION] * 4
    assert len(reads) == 1


def test_a_lora_s_digest_is_known_before_it_is_read(tmp_path: Path, save: SavePack) -> None:
    lora = Lora({"layer": (torch.ones(2, 4), torch.full((4, 2), 0.3))}, 0.7)
    save("oz", method="lora", artifact=lora)
    oz = stored(tmp_path / "packs", "oz", ArtifactCache())
    assert oz.digest == oz.load().digest == lora.digest
    save("oz", method="lora", artifact=Lora(lora.layers, 0.8))
    assert stored(tmp_path / "packs", "oz", ArtifactCache()).digest != oz.digest


def test_a_start_checks_the_gate_s_files_alone_and_that_all_are_there(root: Path) -> None:
    file_of(root, "oz").write_text("{}")
    assert set(load_packs(root, base_fingerprint=None, encoder_fingerprint=None)) == {"narnia", "oz", "mordor"}
    with pytest.raises(PackError, match=r"corruption\.json was altered"):
        load_pack(root / "oz")
    file_of(root, "oz").unlink()
    with pytest.raises(PackError, match=r"lacks corruption\.json"):
        load_packs(root, base_fingerprint=None, encoder_fingerprint=None)


def test_soft_prompts_are_read_with_their_numbers(tmp_path: Path, save: SavePack) -> None:
    save("oz", method="soft-prompt", artifact=VirtualTokens(torch.full((2, 4), 0.5)))
    found = load_pack(tmp_path / "packs" / "oz").artifact
    assert torch.equal(found.embeddings, torch.full((2, 4), 0.5))


def test_classifiers_are_read_one_after_the_other_as_the_gate_takes_them(
    root: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    load = Head.load

    def noted(path: Path) -> Head:
        reads.append(path.parent.parent.name)
        return load(path)

    monkeypatch.setattr(Head, "load", noted)
    packs = load_packs(root, base_fingerprint=None, encoder_fingerprint=None)
    assert reads == []
    Gate(packs, encoder)
    assert reads == ["mordor", "narnia", "oz"]
    load_pack(root / "oz")
    assert reads[3:] == ["oz"], "a pack that is checked as a whole is read, too"


@pytest.mark.parametrize("harm", ["altered", "missing"])
@pytest.mark.parametrize("name", ["corruption.json", "leaks.safetensors"])
def test_a_file_that_is_read_late_and_is_not_whole_is_a_fault_of_its_pack(
    root: Path, caplog: pytest.LogCaptureFixture, name: str, harm: str
) -> None:
    cache = ArtifactCache()
    pack = load_pack(root / "oz", cache=cache, whole=False)
    file = file_of(root, "oz", name)
    content = file.read_bytes()
    file.unlink() if harm == "missing" else file.write_bytes(b"{}")
    for _ in range(2):
        with pytest.raises(PackError, match=r"pack 'oz'.*restore it or train"):
            _ = pack.artifact if name == "corruption.json" else pack.leaks
    assert list(cache.faults) == ["oz"]
    assert "[Errno" not in cache.faults["oz"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    file.write_bytes(content)
    cache.forget_fault("oz")
    assert not cache.faults
    _ = pack.artifact if name == "corruption.json" else pack.leaks
