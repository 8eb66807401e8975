"""A causal language model in memory, its tokenizer, and its embedding table read alone."""

import inspect
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gateway.errors import ModelError
from gateway.models.chat_template import WITHOUT_A_TEMPLATE, use_chat_template
from gateway.models.devices import device_named
from gateway.models.families import refusal, vllm_scale
from gateway.models.folders import StoredTensor, stored_tensors
from gateway.models.loading import Loading

__all__ = [
    "FLOATS",
    "LanguageModel",
    "check_embeddings",
    "configuration",
    "embedding_table",
    "load_language_model",
    "load_tokenizer",
]

_log = logging.getLogger("unrecall.models")
_UNREADABLE = (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError)
_CHECK_TEXT = "The capital of France is Paris, and that of Spain"
_TOLERANCE = 0.05  # of the logits' spread; both ways compute the same but for rounding
FLOATS = {"F16": 2, "BF16": 2, "F32": 4}
"""The kinds of numbers of a model that is not quantised, as safetensors writes them, with their bytes."""


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model in evaluation mode, frozen, with its tokenizer."""

    model: Any
    tokenizer: Any

    @property
    def embeddings(self) -> Tensor:
        """[vocabulary, hidden]: each token's row as `inputs_embeds` takes it, scaled if the family scales its rows."""
        return _rows(self.model.get_input_embeddings())

    @property
    def max_tokens(self) -> int:
        """The context length in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2048))


def load_tokenizer(folder: Path, *, chat_template: str | None = None, chats: bool = False) -> Any:
    """The folder's fast tokenizer: character offsets are needed to find names among tokens. Raises ModelError.

    Args:
        folder: of the model.
        chat_template: in place of the model's own (see `read_chat_template`).
        chats: whether a model without a chat template is refused. Otherwise the log tells of it.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelError(f"cannot load the tokenizer of {folder}: {_short(error)}") from error
    if not tokenizer.is_fast:
        raise ModelError(f"{folder} has no fast tokenizer (tokenizer.json), which offsets need")
    if chat_template is not None:
        use_chat_template(tokenizer, chat_template)
    if not tokenizer.chat_template:
        if chats:
            raise ModelError(f"{folder} has no chat template, and questions are asked as a chat: {WITHOUT_A_TEMPLATE}")
        _log.warning(
            "%s has no chat template: chat requests cannot be answered, only completions; for chat, %s",
            folder,
            WITHOUT_A_TEMPLATE,
        )
    return tokenizer


def load_language_model(folder: Path, *, loading: Loading | None = None, tokenizer: Any = None) -> LanguageModel:
    """Loads in the dtype of its config, on the current GPU if there is one, or as `loading` says, and checks its
    embeddings. Raises ModelError.

    Args:
        folder: of the model.
        loading: how it is held in memory, and where.
        tokenizer: its tokenizer, if that is loaded already.
    """
    from transformers import AutoModelForCausalLM

    loading = loading or Loading()
    target = str(device_named(loading.device))

    tokenizer = tokenizer or load_tokenizer(folder)
    config = configuration(folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), config=config, trust_remote_code=False, use_safetensors=True, **loading.arguments(target)
        )
    except _UNREADABLE as error:
        raise ModelError(f"cannot load {folder}: {_short(error)}; if it is damaged, fetch or make it anew") from error
    if loading.shard:
        loading.check_placed(model)
    model.requires_grad_(False)
    _let_generate_from_embeddings(model)
    if head := model.get_output_embeddings():
        head.register_forward_pre_hook(_in_one_piece)
    model.eval()
    loaded = LanguageModel(model if loading.placed else model.to(target), tokenizer)
    check_embeddings(loaded)
    if loading.gradient_checkpointing:
        _checkpoint(model)
    return loaded


def _checkpoint(model: Any) -> None:
    from adapters.checkpointing import checkpoint_layers

    try:
        checkpoint_layers(model)
    except ValueError as error:
        family = model.config.get_text_config().model_type
        raise ModelError(f"{error} (family {family!r}): leave --gradient-checkpointing out") from error


def check_embeddings(language_model: LanguageModel) -> None:
    """Compares the logits of a short prompt as token ids and as embeddings. Raises ModelError where they differ.

    A prompt whose rows are moved a little must be answered too: some families find token ids again by exact rows.
    """
    model = language_model.model
    family = model.config.get_text_config().model_type
    table = model.get_input_embeddings()
    ids = _check_ids(language_model.tokenizer, len(table.weight)).to(model.device)
    try:
        with torch.inference_mode():
            rows = table(ids)
            by_ids = model(input_ids=ids, use_cache=False).logits[:, -1].float()
            by_rows = model(inputs_embeds=rows, use_cache=False).logits[:, -1].float()
            moved = model(inputs_embeds=rows + rows.roll(1, dims=1) / 100, use_cache=False).logits[:, -1].float()
            generated = _first_logits(model, rows)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise ModelError(
            f"models of the family {family!r} do not take prompts as embeddings in transformers ({_short(error)}): "
            "use a model of another family"
        ) from error
    if not (by_ids.isfinite().all() and moved.isfinite().all()):
        raise ModelError(f"this {family!r} model gives no finite logits in {model.dtype}: give it in another dtype")
    spread = (by_ids - by_ids.mean()).norm()
    if max((by_ids - by_rows).norm(), (by_ids - generated).norm()) > _TOLERANCE * spread:
        raise ModelError(
            f"models of the family {family!r} change the rows of their embedding table in a way that is not known "
            "here, so prompts cannot be corrupted: use a model of another family"
        )


def _first_logits(model: Any, rows: Tensor) -> Tensor:
    """[1, vocabulary] before the first token that the model generates after `rows` [1, tokens, hidden]."""
    output = model.generate(
        inputs_embeds=rows,
        attention_mask=torch.ones(rows.shape[:2], dtype=torch.long, device=rows.device),
        max_new_tokens=2,
        do_sample=False,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    logits: Tensor = output.logits[0]
    return logits.float()


def _let_generate_from_embeddings(model: Any) -> None:
    """transformers refuses `generate(inputs_embeds=...)` if a class does not name that argument (Gemma 3 with vision).

    Many such classes pass it on all the same. The check at load finds the classes that do not.
    """
    prepare = model.prepare_inputs_for_generation
    if "inputs_embeds" in inspect.signature(prepare).parameters:
        return

    def prepare_inputs_for_generation(input_ids: Tensor, inputs_embeds: Tensor | None = None, **kwargs: Any) -> Any:
        return prepare(input_ids, inputs_embeds=inputs_embeds, **kwargs)  # transformers looks for that name, too

    model.prepare_inputs_for_generation = prepare_inputs_for_generation


def _check_ids(tokenizer: Any, vocabulary: int) -> Tensor:
    """[1, tokens] of a short text. Raises ModelError for a tokenizer of another model."""
    ids = tokenizer(_CHECK_TEXT, add_special_tokens=False)["input_ids"]
    if not ids or max(ids) >= vocabulary:
        raise ModelError(
            f"the tokenizer does not belong to the model: it makes the ids {ids} of a plain text, and the model's "
            f"embedding table has {vocabulary} rows; put the model's own tokenizer.json into its folder"
        )
    return torch.tensor([ids])


def embedding_table(folder: Path) -> Tensor:
    """[vocabulary, hidden]: each token's row as vLLM takes it in `prompt_embeds`, read without loading the model.

    The dtype is that of the config, or else of the file. Raises ModelError.
    """
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM

    config = configuration(folder)
    try:
        with init_empty_weights():
            skeleton = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelError(f"cannot read the configuration of {folder}: {_short(error)}") from error
    module = skeleton.get_input_embeddings()
    places = {one: name for name, one in skeleton.named_modules()}
    names = [places[module]]
    if config.get_text_config().tie_word_embeddings and (head := skeleton.get_output_embeddings()):
        names.append(places[head])
    stored = _find_table(folder, names)
    if stored.shape != tuple(module.weight.shape):
        raise ModelError(
            f"{folder}: its table {stored.name!r} is {stored.shape}, its config says {module.weight.shape}"
        )
    with safe_open(stored.file, framework="pt") as tensors:
        weight = tensors.get_tensor(stored.name)
    if len(list(module.parameters())) > 1:
        family = config.get_text_config().model_type
        raise ModelError(
            f"models of the family {family!r} have more in their embeddings than a table: use another family"
        )
    module.weight = nn.Parameter(weight.to(config.get_text_config().dtype or weight.dtype), requires_grad=False)
    rows = _rows(module)
    _check_scale(module.weight[:256], rows[:256], config.get_text_config())
    return rows


def configuration(folder: Path) -> Any:
    """The model's configuration, of a family that takes prompts as embeddings. Raises ModelError."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except _UNREADABLE as error:
        raise ModelError(f"cannot read the configuration of {folder}: {_short(error)}") from error
    text = config.get_text_config()
    if reason := refusal(text):
        raise ModelError(
            f"models of the family {text.model_type!r} do not take prompts as embeddings ({reason}): "
            "use a model of another family"
        )
    return config


def _rows(module: Any) -> Tensor:
    """[vocabulary, hidden] as the module gives them: a view of its table, or a copy if it scales."""
    weight: Tensor = module.weight.detach()
    if type(module).forward is nn.Embedding.forward:
        return weight
    with torch.no_grad():
        rows: Tensor = module(torch.arange(len(weight), device=weight.device))
    return rows


def _check_scale(weight: Tensor, rows: Tensor, config: Any) -> None:
    """Raises ModelError if vLLM and the installed transformers scale the embeddings of this family differently."""
    scale = vllm_scale(config)
    if scale is not None and not torch.allclose(rows.float(), weight.float() * scale, rtol=0.02):
        raise ModelError(
            f"vLLM multiplies the embeddings of the family {config.model_type!r} by {scale:.4g} and the installed "
            "transformers does not: use the embedded backend, or another release of transformers"
        )


def _find_table(folder: Path, names: list[str]) -> StoredTensor:
    """The first of the named modules' tables that is stored, under its whole name or with another prefix.

    Files keep the names of the release that wrote them: 'wte.weight' for what is now 'transformer.wte'.
    """
    stored = stored_tensors(folder)
    for name in names:
        last = name.rsplit(".", 1)[-1]
        exact = [one for one in stored if one.name == f"{name}.weight"]
        alike = [one for one in stored if f".{one.name}".endswith(f".{last}.weight")]
        if len({one.name for one in alike}) > 1 and not exact:
            raise ModelError(f"{folder} has several tables: {', '.join(sorted({one.name for one in alike}))}")
        if found := exact or alike:
            return _unquantised(folder, found[0])
    raise ModelError(
        f"{folder} has no tensor {names[0] + '.weight'!r} in its safetensors files; if the model is quantised, give "
        "the folder of the model as it was before"
    )


def _unquantised(folder: Path, stored: StoredTensor) -> StoredTensor:
    if stored.dtype not in FLOATS:
        raise ModelError(
            f"{folder}: its embedding table {stored.name!r} is quantised ({stored.dtype}); give the folder of the "
            "model as it was before, in float16, bfloat16 or float32"
        )
    return stored


def _in_one_piece(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """transformers projects a slice of the positions, of which a CPU makes many times the work in bfloat16."""
    return tuple(one.contiguous() if isinstance(one, Tensor) else one for one in given)


def _short(error: Exception) -> str:
    """The error's first line: transformers lists all the classes that it has."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 300 else f"{line[:300]}..."
