"""Every request field that the gateway knows, and what becomes of it. docs/requests.md shows the same tables."""

from typing import Any, Final

from gateway.core import Endpoint

__all__ = ["DROPPED", "ECHOED", "MESSAGE", "NOTHING", "READ", "REFUSED", "SAMPLING", "nothing"]

# The gateway reads these: they are text to screen, or they say how to answer.
_BOTH: Final[tuple[str, ...]] = (
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "n",
    "stop",
    "seed",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "user",
)
READ: Final[dict[Endpoint, tuple[str, ...]]] = {
    "chat": (
        *_BOTH,
        "messages",
        "max_completion_tokens",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
    ),
    "completions": (*_BOTH, "prompt"),
}

# These change how tokens are chosen and put no text before the model. They go on, with flagged requests too.
SAMPLING: Final = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "length_penalty",
    "logit_bias",
    "allowed_token_ids",
    "bad_words",
    "stop_token_ids",
    "include_stop_str_in_output",
    "ignore_eos",
    "min_tokens",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "priority",
    "stream_interval",
)

# Book-keeping that neither the model nor the answer depends on. The gateway drops it, with any value.
DROPPED: Final = (
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "request_id",
    "safety_identifier",
    "session_id",
)

_ENGINE = "it reaches the engine, and the gateway cannot read it"
_TEMPLATE = "it changes the prompt after the gateway has read it"
_PROMPT = "the answer would show the prompt as the model read it"
_SCHEMA = "send the schema as response_format of a chat, which the gateway screens"
_SAMPLER = "the model could not answer every request in this way"
_TEXT = "this gateway serves text only"
_TOOLS = "send tools and tool_choice instead"
_ADAPTER = "the gateway itself chooses adapters"

REFUSED: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "prompt_embeds",
            "vllm_xargs",
            "extra_args",
            "kv_transfer_params",
            "ec_transfer_params",
            "cache_salt",
            "mm_processor_kwargs",
            "media_io_kwargs",
            "prediction",
        ),
        _ENGINE,
    ),
    **dict.fromkeys(
        (
            "documents",
            "chat_template",
            "chat_template_kwargs",
            "continue_final_message",
            "add_generation_prompt",
            "add_special_tokens",
            "reasoning_effort",
            "truncate_prompt_tokens",
            "truncation_side",
            "suffix",
        ),
        _TEMPLATE,
    ),
    **dict.fromkeys(
        (
            "echo",
            "prompt_logprobs",
            "return_token_ids",
            "return_tokens_as_token_ids",
            "return_prompt_text",
            "logprob_token_ids",
        ),
        _PROMPT,
    ),
    **dict.fromkeys(
        (
            "structured_outputs",
            "guided_json",
            "guided_regex",
            "guided_choice",
            "guided_grammar",
            "guided_decoding_backend",
            "guided_whitespace_pattern",
        ),
        _SCHEMA,
    ),
    **dict.fromkeys(("best_of", "use_beam_search", "watermarking", "include_reasoning", "verbosity"), _SAMPLER),
    **dict.fromkeys(("modalities", "audio", "web_search_options"), _TEXT),
    **dict.fromkeys(("functions", "function_call"), _TOOLS),
    **dict.fromkeys(("lora_request", "lora_name", "lora_path", "adapter_id"), _ADAPTER),
    "store": "nothing is stored here",
    "service_tier": "there is one service tier here; send 'auto'",
}

# Values that ask for nothing: a field with such a value is dropped. Null asks for nothing in every field.
NOTHING: Final[dict[str, tuple[Any, ...]]] = {
    **{name: ({}, []) for name in ("chat_template_kwargs", "documents", "functions", "mm_processor_kwargs")},
    **{name: ({},) for name in ("logit_bias", "vllm_xargs", "extra_args", "kv_transfer_params", "media_io_kwargs")},
    **{name: ([],) for name in ("tools", "allowed_token_ids", "bad_words", "stop_token_ids", "logprob_token_ids")},
    **dict.fromkeys(("suffix", "chat_template", "user", "cache_salt"), ("",)),
    **dict.fromkeys(("echo", "continue_final_message", "use_beam_search", "watermarking", "store"), (False,)),
    **dict.fromkeys(("return_token_ids", "return_tokens_as_token_ids", "return_prompt_text"), (False,)),
    **dict.fromkeys(("add_generation_prompt", "include_reasoning"), (True,)),
    "response_format": ({"type": "text"}, {}),
    "stop": ([], ""),
    "stream_options": ({},),
    "modalities": (["text"], []),
    "service_tier": ("auto", "default"),
    "function_call": ("none", "auto"),
    "verbosity": ("medium",),
    "best_of": (1,),
    "truncation_side": ("left", "right"),  # a client may not ask for truncation at all
}
_NOTHING_OF: Final[dict[tuple[Endpoint, str], tuple[Any, ...]]] = {
    ("chat", "add_special_tokens"): (False,),
    ("completions", "add_special_tokens"): (True,),
    ("completions", "tool_choice"): ("none", "auto"),
    ("completions", "parallel_tool_calls"): (True, False),
}
_EMPTY: Final[tuple[Any, ...]] = ({}, [], "")

# The fields of one message that reach the model.
MESSAGE: Final = ("role", "content", "name", "tool_calls", "tool_call_id")

# What servers and client libraries add to the messages, parts, tool calls and tools of their answers. A client sends
# it back with the next turn; no model has to read it, so that it ends at the gateway.
ECHOED: Final = frozenset(
    {
        "annotations",
        "audio",
        "cache_control",
        "citations",
        "images",
        "parsed",
        "parsed_arguments",
        "provider_specific_fields",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "refusal",
        "thinking_blocks",
    }
)


def nothing(endpoint: Endpoint, name: str, value: Any) -> bool:
    """Whether a field with this value asks for nothing. A field that the gateway does not know asks for nothing if it
    is empty."""
    if value is None:
        return True
    known = name in READ[endpoint] or name in SAMPLING or name in REFUSED
    values = _NOTHING_OF.get((endpoint, name)) or NOTHING.get(name, () if known else _EMPTY)
    # True is equal to 1 in Python, and not in JSON.
    return any(type(value) is type(no) and value == no for no in values)
