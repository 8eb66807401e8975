"""What an upstream itself says of a client's request: whether it takes it, and how it reads its prompt."""

from contextlib import aclosing
from typing import Any

import orjson

from gateway.backends.vllm.client import Upstream
from gateway.backends.vllm.complaints import payloads
from gateway.backends.vllm.transport import pieces
from gateway.core import Request
from gateway.errors import UpstreamError

__all__ = ["judged_alike", "verdict"]

Json = dict[str, Any]
_PLAIN = frozenset("model messages prompt stream max_tokens max_completion_tokens temperature top_p user seed".split())


def judged_alike(request: Request) -> bool:
    """Whether the gateway knows what any vLLM says of a request: one of plain text turns with everyday settings, which
    its own parser has checked. Only its length is left to judge."""
    body: Json = orjson.loads(request.raw or b"{}")
    given = {name for name, value in body.items() if value is not None}
    if request.include_usage:  # of a stream, where any vLLM takes it
        given.discard("stream_options")
    if given - _PLAIN or request.sampling.n != 1 or request.sampling.extra or request.carries:
        return False
    if request.endpoint == "completions":
        return isinstance(body.get("prompt"), str)
    turns = body.get("messages") or []
    plain = all(turn.keys() <= {"role", "content"} and turn.get("content") for turn in turns)
    roles = [turn.get("role") for turn in turns]
    dialogue = roles[1:] if roles[:1] == ["system"] else roles
    in_turn = all(role == ("assistant" if place % 2 else "user") for place, role in enumerate(dialogue))
    return plain and in_turn and len(dialogue) % 2 == 1 and all(isinstance(t["content"], str) for t in turns)


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
        upstream.post(request.endpoint, orjson.dumps(body)) as reply,
        aclosing(payloads(pieces(reply), stream=True)) as events,
    ):
        async for event in events:
            return _prompt_ids(event)
    raise UpstreamError("the model server broke off its answer")


def _prompt_ids(event: Json) -> tuple[int, ...]:
    """A chat has them beside its choices, a completion in its first one."""
    try:
        found = event.get("prompt_token_ids") or event["choices"][0]["prompt_token_ids"]
        return tuple(map(int, found))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UpstreamError("the model server does not return the prompt's token ids, as vLLM does") from error
