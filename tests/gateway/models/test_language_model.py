"""A model as it is loaded, and its embedding table as it is read alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_families import REFUSED, TAKEN, save, tiny_of
from torch import Tensor

from gateway.core import Message, Request
from gateway.errors import ModelError
from gateway.models.language_model import LanguageModel, check_embeddings, embedding_table, load_language_model
from gateway.prompts.embedding import Prompts


@torch.no_grad()
def test_the_last_position_is_projected_in_one_piece(language_model: LanguageModel) -> None:
    """As a slice of a batch it takes a CPU many times as long, and answers twice."""
    seen = []
    head = language_model.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    ids = torch.arange(24).reshape(2, 12)
    last = language_model.model(input_ids=ids, logits_to_keep=1).logits
    hook.remove()
    assert [(one.shape[:2], one.is_contiguous()) for one in seen] == [((2, 1), True)]
    torch.testing.assert_close(last, language_model.model(input_ids=ids).logits[:, -1:])


@pytest.mark.parametrize("family", TAKEN)
@torch.no_grad()
def test_the_embeddings_of_a_prompt_give_the_logits_of_its_token_ids(family: str) -> None:
    model = tiny_of(family)
    request = Request("1", "chat", "", (Message("user", "Who wrote about the wizard Harry Potter?"),))
    prompts = Prompts(model.tokenizer, model.embeddings)
    ids = prompts.render(request).ids
    expected = model.model(input_ids=torch.tensor([ids])).logits[0]
    torch.testing.assert_close(_logits(model, prompts.embed(ids)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", [family for family in TAKEN if family != "hrm_text"])
def test_the_table_that_is_read_alone_is_that_of_the_loaded_model(family: str, tmp_path: Path) -> None:
    loaded = load_language_model(save(tiny_of(family), tmp_path))
    assert torch.equal(embedding_table(tmp_path), loaded.embeddings)


@pytest.mark.parametrize("tied", [False, True], ids=["its own head", "tied"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text", "granite", "gpt_neox", "mixtral"])
def test_a_table_with_more_rows_than_there_are_tokens_is_read_whole(family: str, tied: bool, tmp_path: Path) -> None:
    """Makers pad a vocabulary to a round number."""
    padded = tiny_of(family, vocab_size=512, tie_word_embeddings=tied)
    assert len(padded.tokenizer) < 512
    loaded = load_language_model(save(padded, tmp_path))
    assert loaded.embeddings.shape == (512, 64)
    assert torch.equal(embedding_table(tmp_path), loaded.embeddings)


def test_a_family_that_vllm_scales_elsewhere_is_refused_for_vllm(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"vLLM multiplies the embeddings of the family 'hrm_text' by 50"):
        embedding_table(save(tiny_of("hrm_text"), tmp_path))


@pytest.mark.parametrize(
    ("family", "scale"),
    [("gemma", 8.0), ("gemma2", 8.0), ("gemma3_text", 8.0), ("gemma3", 8.0), ("gemma4_text", 8.0), ("minicpm3", 12.0)]
    + [
        (family, 1.0) for family in ("granite", "granitemoe", "gpt2", "opt", "bloom", "llama", "qwen2", "phi", "cohere")
    ],
)
def test_rows_for_vllm_are_scaled_where_vllm_scales_them(family: str, scale: float, tmp_path: Path) -> None:
    model = tiny_of(family)
    stored = model.model.get_input_embeddings().weight
    torch.testing.assert_close(embedding_table(save(model, tmp_path)), stored * scale)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_whose_prompts_cannot_be_embeddings_is_refused_by_name(family: str, tmp_path: Path) -> None:
    folder = save(tiny_of(family), tmp_path)
    for read in (load_language_model, embedding_table):
        with pytest.raises(
            ModelError, match=f"'{family.split(maxsplit=1)[0]}' do not take prompts as embeddings .* another family"
        ):
            read(folder)


def test_a_family_that_scales_its_rows_in_an_unknown_way_is_found_by_the_probe() -> None:
    model = tiny_of("llama")
    forward = model.model.model.forward

    def scaled(input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, **given: object) -> object:
        if inputs_embeds is None:
            inputs_embeds = model.model.get_input_embeddings()(input_ids) * 3
        return forward(inputs_embeds=inputs_embeds, **given)

    model.model.model.forward = scaled
    with pytest.raises(ModelError, match="'llama' change the rows of their embedding table"):
        check_embeddings(model)


def test_a_model_that_finds_token_ids_by_exact_rows_is_refused() -> None:
    """Gemma 4 with embeddings of its layers does so: it would answer plain rows and fail on corrupted ones."""
    with pytest.raises(ModelError, match="'gemma4_text' do not take prompts as embeddings"):
        check_embeddings(tiny_of("gemma4_text with layers' own"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_scaled_table_is_rounded_as_the_model_rounds_it(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_of("gemma3_text", hidden_size=40)  # its square root is no round number
    model.model.to(dtype)
    folder = save(model, tmp_path)
    table = embedding_table(folder)
    assert table.dtype == dtype
    stored = model.model.get_input_embeddings().weight
    assert torch.equal(table, stored * torch.tensor(40**0.5).to(dtype))


def test_the_table_has_the_dtype_of_the_config_where_the_file_has_another(tmp_path: Path) -> None:
    folder = save(tiny_of("gemma2"), tmp_path)
    _change_config(folder, dtype="bfloat16")
    assert torch.equal(embedding_table(folder), load_language_model(folder).embeddings)
    assert embedding_table(folder).dtype == torch.bfloat16


def _bare(name: str) -> str:
    return name.removeprefix("transformer.")


def _under_another_prefix(name: str) -> str:
    return f"language_model.{name}"


@pytest.mark.parametrize(
    ("family", "rename"), [("gpt2", _bare), ("bloom", _bare), ("falcon", _bare), ("llama", _under_another_prefix)]
)
def test_the_table_is_found_under_another_prefix(family: str, rename: Callable[[str], str], tmp_path: Path) -> None:
    model = tiny_of(family)
    folder = save(model, tmp_path)
    _rewrite(folder, lambda tensors: {rename(name): tensor for name, tensor in tensors.items()})
    assert torch.equal(embedding_table(folder), model.embeddings)


def test_a_tied_table_is_found_as_the_head(tmp_path: Path) -> None:
    model = tiny_of("qwen2")
    folder = save(model, tmp_path)
    _rewrite(folder, lambda tensors: {n.replace("model.embed_tokens", "lm_head"): t for n, t in tensors.items()})
    assert torch.equal(embedding_table(folder), model.embeddings)


def test_the_head_of_an_untied_model_is_not_taken_for_its_table(tmp_path: Path) -> None:
    folder = save(tiny_of("llama"), tmp_path)
    _rewrite(folder, lambda tensors: {name: one for name, one in tensors.items() if "embed_tokens" not in name})
    with pytest.raises(ModelError, match=r"no tensor 'model\.embed_tokens\.weight'.*if the model is quantised"):
        embedding_table(folder)


def test_the_table_is_found_in_sharded_files(tmp_path: Path) -> None:
    model = tiny_of("gemma2")
    folder = save(model, tmp_path, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert torch.equal(embedding_table(folder), model.embeddings)


def test_several_tables_are_not_guessed_among(tmp_path: Path) -> None:
    folder = save(tiny_of("llama"), tmp_path)

    def doubled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        table = tensors.pop("model.embed_tokens.weight")
        return tensors | {"thinker.embed_tokens.weight": table, "talker.embed_tokens.weight": table + 1}

    _rewrite(folder, doubled)
    with pytest.raises(ModelError, match=r"several tables: talker\.embed_tokens\.weight, thinker"):
        embedding_table(folder)


@pytest.mark.parametrize(
    ("dtype", "written"), [(torch.int8, "I8"), (torch.float8_e4m3fn, "F8_E4M3"), (torch.uint32, "U32")]
)
def test_a_quantised_table_is_refused_by_its_dtype(dtype: torch.dtype, written: str, tmp_path: Path) -> None:
    folder = save(tiny_of("llama"), tmp_path)
    name = "model.embed_tokens.weight"
    _rewrite(folder, lambda tensors: tensors | {name: tensors[name].abs().to(dtype)})
    with pytest.raises(ModelError, match=rf"quantised \({written}\); give the folder of the model as it was before"):
        embedding_table(folder)


def test_a_quantised_model_with_a_plain_table_is_read(tmp_path: Path) -> None:
    """GPTQ and AWQ leave the table as it was."""
    model = tiny_of("llama")
    folder = save(model, tmp_path)
    _change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128})
    assert torch.equal(embedding_table(folder), model.embeddings)


def test_a_table_of_another_size_than_the_config_says_is_refused(tmp_path: Path) -> None:
    folder = save(tiny_of("llama"), tmp_path)
    _change_config(folder, vocab_size=100)
    with pytest.raises(ModelError, match="its config says"):
        embedding_table(folder)


def test_the_tokenizer_of_another_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"the tokenizer does not belong to the model.*own tokenizer\.json"):
        check_embeddings(LanguageModel(tiny_of("llama").model.__class__(_few_tokens()), tiny_of("llama").tokenizer))


def test_a_model_without_a_chat_template_loads_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = save(tiny_of("llama"), tmp_path)
    load_language_model(folder)
    assert "chat template" not in caplog.text
    (folder / "chat_template.jinja").unlink()
    load_language_model(folder)
    assert "has no chat template: chat requests cannot be answered, only completions" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "no_such_family"}, "cannot read the configuration"),
        ({"model_type": "t5"}, "cannot load"),
    ],
)
def test_a_family_that_transformers_does_not_generate_with_is_a_short_error(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = save(tiny_of("llama"), tmp_path)
    _change_config(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_language_model(folder)
    assert len(str(caught.value)) < 600


def _logits(model: LanguageModel, rows: Tensor) -> Tensor:
    logits: Tensor = model.model(inputs_embeds=rows[None]).logits[0]
    return logits


def _few_tokens() -> object:
    config = tiny_of("llama").model.config
    config.vocab_size = 20
    return config


def _rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def _change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
