"""Bodies of requests, parsed as the server would."""

import json
from typing import Any

from tiny import tiny_tokenizer

from gateway.core import Request
from gateway.openai_format.limits import Limits
from gateway.openai_format.requests import parse_chat, parse_completion

TOKENIZER = tiny_tokenizer()
LIMITS = Limits()
USER = [{"role": "user", "content": "Who?"}]


def chat(limits: Limits = LIMITS, /, **fields: Any) -> Request:
    return chat_body(json.dumps({"model": "m", "messages": USER, **fields}).encode(), limits)


def chat_body(body: bytes, limits: Limits = LIMITS) -> Request:
    return parse_chat(body, request_id="7", limits=limits)


def completion(limits: Limits = LIMITS, /, **fields: Any) -> Request:
    return completion_body(json.dumps({"model": "m", "prompt": "Once", **fields}).encode(), limits)


def completion_body(body: bytes, limits: Limits = LIMITS) -> Request:
    return parse_completion(body, request_id="7", limits=limits, tokenizer=TOKENIZER, vocabulary=len(TOKENIZER))


def raw(request: Request) -> Any:
    return json.loads(request.raw)
