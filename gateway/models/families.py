"""What a family of models does to the rows of its embedding table, by `model_type` of its text configuration.

A prompt can be given as embeddings only if they are exactly what the model would have made of the token ids. Most
families take the table's rows as they are. Some scale the rows inside the module that holds the table: there that
module is asked for the rows, and `vllm_scale` says what vLLM expects of `prompt_embeds`, so that both can be compared.
Some multiply later, after the place where embeddings come in: there the rows stay as they are. For a family that is
not in this table, the check at load (`check_embeddings`) and the gateway's check of its upstream decide.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["refusal", "vllm_scale"]

_LOOKS_UP_IDS = "its layers look up token ids as well, which embeddings do not carry"


@dataclass(frozen=True, slots=True)
class _Family:
    """`vllm_scale`: by what vLLM multiplies a row of the table before `prompt_embeds` would come in.

    `refused`: why a prompt cannot be given as embeddings, for the configurations that `refused_if` accepts.
    """

    vllm_scale: Callable[[Any], float] = lambda _: 1.0
    refused: str = ""
    refused_if: Callable[[Any], bool] = lambda _: True


def _root_of_width(config: Any) -> float:
    return float(config.hidden_size**0.5)


def vllm_scale(config: Any) -> float | None:
    """The factor by which a row of the table is multiplied in the prompt embeddings that vLLM takes; None for an
    unknown family.

    `config` is the text configuration of transformers.
    """
    family = _FAMILIES.get(config.model_type)
    return family.vllm_scale(config) if family else None


def refusal(config: Any) -> str:
    """Why this model does not take prompts as embeddings, or an empty string. `config` as in `vllm_scale`."""
    family = _FAMILIES.get(config.model_type)
    return family.refused if family and family.refused_if(config) else ""


_SCALED = _Family(_root_of_width)
_AS_THEY_ARE = _Family()
_MULTIPLIED_LATER = _AS_THEY_ARE  # than embeddings come in

# Read in the sources of transformers 5.23 and vLLM 0.32.
_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "gemma": _SCALED,
        "gemma2": _SCALED,
        "gemma3_text": _SCALED,
        "vaultgemma": _SCALED,
        "gemma4_text": _Family(
            _root_of_width, _LOOKS_UP_IDS, lambda config: bool(getattr(config, "hidden_size_per_layer_input", 0))
        ),
        "gemma4_unified_text": _SCALED,
        "gemma3n_text": _Family(_root_of_width, _LOOKS_UP_IDS),
        "minicpm3": _Family(lambda config: float(config.scale_emb)),
        "hrm_text": _Family(lambda config: float(config.embedding_scale)),
        "deepseek_v4": _Family(refused=_LOOKS_UP_IDS),
        "qwen4_exp_text": _Family(
            refused=_LOOKS_UP_IDS, refused_if=lambda config: bool(getattr(config, "ple_layer_ids", None))
        ),
        "falcon_h1": _Family(
            refused="transformers and vLLM scale its embeddings in different places",
            refused_if=lambda config: config.embedding_multiplier != 1,
        ),
        **dict.fromkeys(
            ("granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "hyperclovax", "afmoe"), _MULTIPLIED_LATER
        ),
        **dict.fromkeys(
            (
                *("llama", "llama4_text", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
                *("phi3", "phimoe", "olmoe", "gpt_oss", "deepseek_v3", "glm4", "cohere", "nemotron", "stablelm"),
            ),
            _AS_THEY_ARE,
        ),
    }
)
