"""What an upstream itself says of a client's request: whether it takes it, and how it reads its prompt."""

from contextlib import aclosing
from typing import Any

import orjson

from gateway.backends.vllm.client import Upstream, complaint
from gateway.core import Request
from gateway.errors import UpstreamError
from gateway.openai_format.decoding import objects

__all__ = ["verdict"]

Json = dict[str, Any]


async def verdict(upstream: Upstream, request: Request) -> tuple[int, ...]:
    """The token ids of the request's prompt as the upstream renders it.

    The request goes to the upstream as the client sent it, and is aborted at the first event of its answer: nothing of
    the answer is read. So a request that will be answered otherwise is judged as any other, by whatever version of
    vLLM, and its prompt is counted with tools, names and roles as the upstream's template has them.

    Raises UpstreamRefused with the upstream's own words where it does not take the request, and UpstreamError where
    there is no usable answer.
    """
    body: Json = orjson.loads(request.raw)
    body.pop("stream_options", None)
    body |= {"stream": True, "return_token_ids": True}
    async with (
        upstream.post(request.endpoint, orjson.dumps(body)) as response,
        aclosing(objects(response.aiter_bytes(), stream=True)) as events,
    ):
        async for event in events:
            if isinstance(event.get("error"), dict):
                raise complaint(_status(event["error"]), orjson.dumps(event))
            return _prompt_ids(event)
    raise UpstreamError("the model server broke off its answer")


def _status(error: Json) -> int:
    code = error.get("code")
    return code if isinstance(code, int) else 500


def _prompt_ids(event: Json) -> tuple[int, ...]:
    """A chat has them beside its choices, a completion in its first one."""
    try:
        found = event.get("prompt_token_ids") or event["choices"][0]["prompt_token_ids"]
        return tuple(map(int, found))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamError("the model server does not return the prompt's token ids, as vLLM does") from error
