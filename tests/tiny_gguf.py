"""Random models inside GGUF files, written as llama.cpp's converter writes them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map
from tiny_families import tiny_of

from gateway.models.language_model import LanguageModel

__all__ = ["ARCHITECTURES", "write_gguf"]

_Tensors = dict[str, np.ndarray[Any, Any]]


def _same(_: Any, tensors: _Tensors) -> _Tensors:
    return tensors


def _permuted(config: Any, tensors: _Tensors) -> _Tensors:
    """llama.cpp turns pairs of a head's dimensions, of which transformers turns halves."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    found = dict(tensors)
    for name, tensor in tensors.items():
        if count := heads.get(name.split(".")[-2]):
            halves = tensor.reshape(count, 2, -1, tensor.shape[1])
            found[name] = halves.swapaxes(1, 2).reshape(tensor.shape)
    return found


def _norms_from_zero(_: Any, tensors: _Tensors) -> _Tensors:
    return {name: tensor + ("norm" in name) for name, tensor in tensors.items()}


def _experts_apart(_: Any, tensors: _Tensors) -> _Tensors:
    """transformers holds two of an expert's three matrices as one."""
    found = {}
    for name, tensor in tensors.items():
        if "gate_up" in name:
            found[name.replace("gate_up", "gate")], found[name.replace("gate_up", "up")] = np.split(tensor, 2, axis=1)
        else:
            found[name] = tensor
    return found


# Sizes that transformers does not read from a GGUF have their defaults.
_ARCHITECTURES: Mapping[str, tuple[MODEL_ARCH, Callable[[Any, _Tensors], _Tensors], dict[str, Any]]] = MappingProxyType(
    {
        "llama": (MODEL_ARCH.LLAMA, _permuted, {}),
        "qwen2": (MODEL_ARCH.QWEN2, _same, {}),
        "qwen3": (MODEL_ARCH.QWEN3, _same, {"head_dim": 128}),
        "gemma3_text": (
            MODEL_ARCH.GEMMA3,
            _norms_from_zero,
            {"sliding_window": 512, "layer_types": ["sliding_attention"] * 2},
        ),
        "qwen3_moe": (
            MODEL_ARCH.QWEN3MOE,
            _experts_apart,
            {"head_dim": 128, "moe_intermediate_size": 768, "norm_topk_prob": True},
        ),
    }
)
ARCHITECTURES = tuple(_ARCHITECTURES)


def write_gguf(
    family: str, file: Path, *, leave_out: str = "", add: Mapping[str, Any] = MappingProxyType({}), chats: bool = True
) -> LanguageModel:
    """Writes a random float32 model of the family without the tensors whose names begin with `leave_out`, and returns
    it."""
    architecture, change, settings = _ARCHITECTURES[family]
    base = tiny_of(family, **settings)
    config = base.model.config
    writer = GGUFWriter(file, MODEL_ARCH_NAMES[architecture])
    _describe(writer, config)
    _tokenizer(writer, base.tokenizer, chats)
    for name, tensor in {**change(config, _named(base.model, architecture)), **add}.items():
        if not leave_out or not name.startswith(leave_out):
            writer.add_tensor(name, np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return base


def _named(model: Any, architecture: MODEL_ARCH) -> _Tensors:
    names = get_tensor_name_map(architecture, model.config.num_hidden_layers)
    found = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        plain = name.removesuffix(".weight").removesuffix(".bias")
        ending = name[len(plain) :] or ".weight"
        fused = plain.replace("gate_up_proj", "gate_proj")
        known = names.get_name(fused)
        assert known, name
        found[(known.replace("gate", "gate_up") if fused != plain else known) + ending] = tensor.numpy()
    return found


def _describe(writer: GGUFWriter, config: Any) -> None:
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    parameters = config.rope_parameters
    writer.add_rope_freq_base(parameters.get("full_attention", parameters)["rope_theta"])
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if getattr(config, "num_experts", None):
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def _tokenizer(writer: GGUFWriter, tokenizer: Any, chats: bool) -> None:
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    special = set(tokenizer.all_special_tokens) | {token for token in tokens if token.startswith("<|")}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(0)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    if chats:
        writer.add_chat_template(tokenizer.chat_template)
