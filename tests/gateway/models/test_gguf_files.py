"""GGUF files of several architectures become folders with the same model, and what is no such file is refused."""

import os
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from harness import unrecall_here
from tiny_gguf import ARCHITECTURES, write_gguf

from gateway.errors import ModelError
from gateway.models.folders import fingerprint, resolve
from gateway.models.gguf_files import from_gguf
from gateway.models.language_model import embedding_table, load_language_model

TEXT = "Who wrote about the wizard Harry Potter?"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNRECALL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("family", ARCHITECTURES)
@torch.no_grad()
def test_the_model_in_a_gguf_is_the_model_of_its_folder(family: str, tmp_path: Path) -> None:
    base = write_gguf(family, tmp_path / "model.gguf")
    folder = from_gguf(tmp_path / "model.gguf")
    made = load_language_model(folder)
    assert made.model.dtype == torch.bfloat16
    assert torch.equal(embedding_table(folder), made.embeddings)
    ids = torch.tensor([range(3, 40)])
    for parameter in base.model.parameters():
        parameter.data = parameter.data.bfloat16().float()
    expected = base.model(input_ids=ids).logits
    torch.testing.assert_close(made.model.float()(input_ids=ids).logits, expected, rtol=1e-3, atol=1e-3)
    assert made.tokenizer.chat_template == base.tokenizer.chat_template
    assert made.tokenizer.eos_token_id == base.tokenizer.eos_token_id
    if family != "gemma3_text":  # it has another kind of tokenizer, which the tiny one is not
        assert made.tokenizer(TEXT)["input_ids"] == base.tokenizer(TEXT)["input_ids"]


def test_a_file_is_converted_once_and_anew_if_it_changes(tmp_path: Path) -> None:
    file, said = tmp_path / "model.gguf", []
    write_gguf("qwen2", file)
    folder = from_gguf(file, say=said.append)
    assert from_gguf(file, say=said.append) == folder
    assert said == ["converting model.gguf, once"]
    os.utime(file, ns=(1, 1))
    again = from_gguf(file, say=said.append)
    assert (len(said), again == folder, fingerprint(again) == fingerprint(folder)) == (2, False, True)


def test_tensors_that_are_not_found_are_not_made_up(tmp_path: Path, cache: Path) -> None:
    write_gguf("qwen2", tmp_path / "model.gguf", leave_out="blk.1.ffn")
    with pytest.raises(ModelError, match=r"does not find 4 of the model's tensors in .*model\.gguf.*mlp"):
        from_gguf(tmp_path / "model.gguf")
    write_gguf("llama", tmp_path / "other.gguf", add={"blk.0.attn_q.weight": np.zeros((32, 64))})
    with pytest.raises(ModelError, match=r"in another shape \('model\.layers\.0\.self_attn\.q_proj\.weight'"):
        from_gguf(tmp_path / "other.gguf")
    assert list(cache.iterdir()) == []


def test_stretched_positions_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_gguf("llama", tmp_path / "model.gguf", add={"rope_freqs.weight": np.ones(8)})
    from_gguf(tmp_path / "model.gguf")
    assert "has stretched positions (Llama 3.1 and later), which transformers does not read" in caplog.text


def test_what_transformers_cannot_read_says_what_to_give_in_its_place(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "model.gguf", "rwkv6")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"cannot read .*model\.gguf .*rwkv6.*; give the folder of the model that"):
        from_gguf(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.gguf", b"version https://git-lfs", r"is no GGUF file; fetch it anew"),
        ("model.gguf", b"", r"is no GGUF file"),
        ("model.gguf", b"GGUF\x03", r"cannot read .*model\.gguf"),
        ("model-00001-of-00003.gguf", b"GGUF", r"is one part of several: merge them with `llama-gguf-split --merge"),
        ("model.bin", b"GGUF", r"is a file; give the folder of a Hugging Face model, or a GGUF file"),
    ],
)
def test_another_file_is_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        resolve(str(tmp_path / name))


def test_a_folder_that_holds_a_gguf_alone_says_which_file_to_give(tmp_path: Path) -> None:
    (tmp_path / "model.Q4_K_M.gguf").write_bytes(b"GGUF")
    with pytest.raises(
        ModelError, match=r"holds no config\.json.*; for the model in model\.Q4_K_M\.gguf give that file"
    ):
        resolve(str(tmp_path))


def test_a_gguf_of_the_hub_is_fetched_alone_and_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot, asked = tmp_path / "snapshot", []
    snapshot.mkdir()
    write_gguf("qwen2", snapshot / "model.Q4_K_M.gguf")

    def download(model: str, *, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append((model, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert (resolve("owner/name/model.Q4_K_M.gguf") / "config.json").is_file()
    assert asked == [("owner/name", ["model.Q4_K_M.gguf"])]
    with pytest.raises(ModelError, match=r"of the hub holds no file other\.gguf"):
        resolve("owner/name/other.gguf")
    with pytest.raises(ModelError, match="neither a packaged model"):
        resolve("owner/name/model.safetensors")


def test_models_pull_prints_the_folder_of_a_gguf(tmp_path: Path, cache: Path) -> None:
    write_gguf("qwen3", tmp_path / "model.gguf")
    said = unrecall_here("models", "pull", tmp_path / "model.gguf")
    assert said.returncode == 0, said.stderr
    folder = Path(said.stdout.strip())
    assert folder.parent == cache
    assert load_language_model(folder).model.config.model_type == "qwen3"
