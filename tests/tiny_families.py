"""Random models of real classes, made in milliseconds: they differ in what they do to their embeddings."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM, PreTrainedConfig

from gateway.models.language_model import LanguageModel

__all__ = ["FAMILIES", "REFUSED", "TAKEN", "save", "tiny_of"]

_ALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 2,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_LLAMA = _ALL | {"intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 256}
_TWO_KINDS = {"head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_OPT = {"ffn_dim": 64, "max_position_embeddings": 256}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16}
_EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_PER_LAYER = {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": 512, "num_kv_shared_layers": 0}

FAMILIES: Mapping[str, tuple[str, dict[str, Any]]] = {
    # the rows are scaled inside the module that holds the table
    "gemma": ("GemmaConfig", _LLAMA | {"head_dim": 16}),
    "gemma2": ("Gemma2Config", _LLAMA | _TWO_KINDS),
    "gemma3_text": ("Gemma3TextConfig", _LLAMA | _TWO_KINDS),
    "gemma3": (
        "Gemma3Config",
        {
            "text_config": _LLAMA | _TWO_KINDS,
            "vision_config": _VISION,
            "mm_tokens_per_image": 4,
            "image_token_index": 5,
        },
    ),
    "gemma4_text": (
        "Gemma4TextConfig",
        _LLAMA | _TWO_KINDS | {"global_head_dim": 16, "hidden_size_per_layer_input": 0},
    ),
    "vaultgemma": ("VaultGemmaConfig", _LLAMA | _TWO_KINDS),
    "minicpm3": ("MiniCPM3Config", _LLAMA | _LATENT | {"num_key_value_heads": 4, "scale_emb": 12}),
    "biogpt": ("BioGptConfig", _LLAMA),
    "xglm": ("XGLMConfig", {"d_model": 64, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64, "pad_token_id": 2}),
    # the model multiplies, normalises or adds positions after the place where embeddings come in
    "granite": ("GraniteConfig", _LLAMA | {"embedding_multiplier": 12.0}),
    "granitemoe": ("GraniteMoeConfig", _LLAMA | {"embedding_multiplier": 12.0, "num_local_experts": 2}),
    "gpt2": ("GPT2Config", _ALL | {"n_positions": 256}),
    "opt": ("OPTConfig", _ALL | _OPT | {"word_embed_proj_dim": 64}),
    "opt with projection": ("OPTConfig", _ALL | _OPT | {"word_embed_proj_dim": 32}),
    "bloom": ("BloomConfig", _ALL),
    "mpt": ("MptConfig", {"d_model": 64, "n_layers": 2, "n_heads": 4}),
    # the rows are taken as they are
    "llama": ("LlamaConfig", _LLAMA),
    "mistral": ("MistralConfig", _LLAMA),
    "qwen2": ("Qwen2Config", _LLAMA | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", _LLAMA | {"head_dim": 16}),
    "smollm3": ("SmolLM3Config", _LLAMA),
    "phi": ("PhiConfig", _LLAMA),
    "phi3": ("Phi3Config", _LLAMA),
    "olmo": ("OlmoConfig", _LLAMA),
    "olmo2": ("Olmo2Config", _LLAMA),
    "olmo3": ("Olmo3Config", _LLAMA | {"layer_types": _TWO_KINDS["layer_types"]}),
    "cohere": ("CohereConfig", _LLAMA),
    "cohere2": ("Cohere2Config", _LLAMA | _TWO_KINDS),
    "glm4": ("Glm4Config", _LLAMA | {"head_dim": 16}),
    "starcoder2": ("Starcoder2Config", _LLAMA),
    "nemotron": ("NemotronConfig", _LLAMA),
    "stablelm": ("StableLmConfig", _LLAMA),
    "lfm2": ("Lfm2Config", _LLAMA | {"layer_types": ["conv", "full_attention"]}),
    # the same with mixtures of experts
    "mixtral": ("MixtralConfig", _LLAMA | _LOCAL_EXPERTS),
    "qwen2_moe": ("Qwen2MoeConfig", _LLAMA | _EXPERTS | {"shared_expert_intermediate_size": 32}),
    "qwen3_moe": ("Qwen3MoeConfig", _LLAMA | _EXPERTS | {"head_dim": 16}),
    "olmoe": ("OlmoeConfig", _LLAMA | {"num_experts": 4, "num_experts_per_tok": 2}),
    "phimoe": ("PhimoeConfig", _LLAMA | _LOCAL_EXPERTS),
    "gpt_oss": ("GptOssConfig", _LLAMA | _TWO_KINDS | _LOCAL_EXPERTS),
    "deepseek_v3": (
        "DeepseekV3Config",
        _LLAMA
        | _LATENT
        | {
            "num_key_value_heads": 4,
            "moe_intermediate_size": 32,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
        },
    ),
    "gpt_neox": ("GPTNeoXConfig", _LLAMA),
    "gptj": ("GPTJConfig", {"n_embd": 64, "n_layer": 2, "n_head": 4, "rotary_dim": 8, "n_positions": 256}),
    "falcon": ("FalconConfig", _ALL),
    # prompts cannot be given as embeddings
    "gemma3n_text": (
        "Gemma3nTextConfig",
        _LLAMA | _TWO_KINDS | _PER_LAYER | {"laurel_rank": 8, "activation_sparsity_pattern": [0.0, 0.0]},
    ),
    "gemma4_text with layers' own": ("Gemma4TextConfig", _LLAMA | _TWO_KINDS | _PER_LAYER | {"global_head_dim": 16}),
    "falcon_h1": (
        "FalconH1Config",
        _LLAMA
        | {"embedding_multiplier": 6.0, "mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 16},
    ),
    # transformers and vLLM disagree
    "hrm_text": ("HrmTextConfig", _LLAMA | {"head_dim": 16, "embedding_scale": 50.0}),
}

REFUSED = ("gemma3n_text", "gemma4_text with layers' own", "falcon_h1")
TAKEN = tuple(family for family in FAMILIES if family not in REFUSED)


@cache
def _tokenizer() -> Any:
    return tiny_tokenizer()


def tiny_of(family: str, **changes: Any) -> LanguageModel:
    """A random float32 model of the family with the tiny tokenizer."""
    name, settings = FAMILIES[family]
    vocabulary = {"vocab_size": len(_tokenizer())}
    if "text_config" in settings:
        settings = settings | {"text_config": settings["text_config"] | vocabulary | changes}
    else:
        settings = settings | vocabulary | changes
    make: Callable[..., PreTrainedConfig] = getattr(transformers, name)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(make(**settings), dtype=torch.float32)
    return LanguageModel(model.eval(), _tokenizer())


def save(language_model: LanguageModel, folder: Path, **how: Any) -> Path:
    """As a Hugging Face folder."""
    language_model.model.save_pretrained(folder, **how)
    language_model.tokenizer.save_pretrained(folder)
    return folder
