"""How much a single request may ask for. It loads nothing but pydantic, so that settings can hold it."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Limits"]


class Limits(BaseModel):
    """What a single request may ask for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body_bytes: int = Field(2_000_000, ge=1024, description="The largest body of a request, in bytes.")
    messages: int = Field(256, ge=1, description="The most messages in one conversation.")
    prompt_chars: int = Field(
        1_000_000, ge=256, description="The most characters of all prompt text of a request together."
    )
    output_tokens: int = Field(32_768, ge=1, description="The largest `max_tokens` that a request may ask for.")
    kept_responses: int = Field(
        64,
        ge=0,
        description="The most responses of one caller that stay in memory for `previous_response_id`. 0: none does.",
    )
    kept_responses_mb: int = Field(
        64, ge=1, description="The most memory for such responses of all callers together, in MiB."
    )
    choices: int = Field(16, ge=1, description="The largest `n`: answers to one request.")
    logprobs: bool = Field(
        True,
        description="Whether a request may ask for logprobs. They tell of a corrupted prompt (docs/threat-model.md).",
    )
