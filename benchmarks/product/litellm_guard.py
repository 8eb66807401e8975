"""A guard that an operator of LiteLLM could write in an hour: the prompt's embedding near that of a row to keep out.

`benchmarks.product.proxies` puts this file beside LiteLLM's configuration; it runs in LiteLLM's environment, with the
same sentence encoder as the gateway's, and nothing of this project.
"""

import json
import os
from typing import Any

from fastapi import HTTPException
from litellm.integrations.custom_guardrail import CustomGuardrail
from sentence_transformers import SentenceTransformer

__all__ = ["TopicGuard"]

_NEAR = 0.75


class TopicGuard(CustomGuardrail):  # type: ignore[misc]
    """Refuses a chat whose last message lies near one of the rows in $GUARD_ROWS (a JSON list of texts)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._encoder = SentenceTransformer(os.environ["GUARD_ENCODER"], device="cpu")
        with open(os.environ["GUARD_ROWS"], encoding="utf-8") as file:
            self._rows = self._encoder.encode(json.load(file), normalize_embeddings=True)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> Any:
        """See LiteLLM's documentation of custom guardrails."""
        text = data["messages"][-1]["content"]
        near = self._rows @ self._encoder.encode([text], normalize_embeddings=True, show_progress_bar=False)[0]
        if near.max() > _NEAR:
            raise HTTPException(status_code=400, detail="this topic is closed")
        return data
