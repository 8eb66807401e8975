"""Small LoRAs and soft prompts for the tests of the plans that use them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import torch
from stub_vllm import Fleet, StubVllm, backend, parts_from, request_of, text_of

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from gateway.backends.vllm.backend import VllmBackend
from gateway.backends.vllm.lora_files import MergedAdapter
from gateway.core import Plan, Sampling
from gateway.methods.lora import UseAdapter
from gateway.methods.soft_prompt import SoftPrompt
from gateway.prompts.execution import WeightedAdapter

T = TypeVar("T")


def lora(seed: int = 0, *, rank: int = 2) -> Lora:
    rng = torch.Generator().manual_seed(seed)
    return Lora({"layers.0.q_proj": (torch.randn(rank, 8, generator=rng), torch.randn(8, rank, generator=rng))}, 1.0)


def weighted(*loras: Lora, weight: float = 1.0) -> UseAdapter:
    return UseAdapter(tuple(WeightedAdapter(f"scope{i}", lora, weight) for i, lora in enumerate(loras)))


def name_of(plan: UseAdapter) -> str:
    return MergedAdapter.of(plan.adapters).name


def run(
    stubs: StubVllm | Fleet,
    folder: Path,
    steps: Callable[[VllmBackend], Awaitable[T]],
    *,
    slots: int = 8,
    **options: Any,
) -> T:
    """What the steps return; the stubs' `requests` are those after the checks."""

    async def inside() -> T:
        async with backend(stubs, adapters_folder=folder, adapter_slots=slots, **options) as served:
            for stub in stubs.stubs.values() if isinstance(stubs, Fleet) else [stubs]:
                stub.requests.clear()
            return await steps(served)

    return asyncio.run(inside())


async def said(served: VllmBackend, plan: Plan, **options: Any) -> str:
    return text_of(await parts_from(served, request_of(sampling=Sampling(), **options), plan))


def soft(tokens: int, *, hidden: int = 8) -> SoftPrompt:
    return SoftPrompt((VirtualTokens(torch.ones(tokens, hidden)),))


def on_disk(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()} if folder.exists() else set()


def upstream_calls(stub: StubVllm, verb: str) -> list[str]:
    """The names of the adapters that it was asked to load or unload, one after the other, checks aside."""
    calls = [request for request in stub.requests if request.url.path == f"/v1/{verb}_lora_adapter"]
    names = [orjson.loads(request.content)["lora_name"] for request in calls]
    return [name for name in names if name != "unrecall-check"]


async def eventually(condition: Callable[[], object]) -> bool:
    """What happens in the background has a second to happen."""
    for _ in range(200):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return bool(condition())
