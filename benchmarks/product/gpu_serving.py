"""Time to the first token and throughput of each plan, direct and through the gateway, before one model server."""

import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from adapters.lora.model import Lora
from adapters.soft_prompt.model import VirtualTokens
from benchmarks.product.load import Load
from benchmarks.product.throughput import gateway_process, summary, turns
from classifiers.traffic import general_traffic
from gateway.models.folders import stored_tensors
from gateway.packs.files import Artifacts, Policy
from gateway.packs.folders import list_packs, read_manifest
from gateway.packs.store import load_pack, save_pack

__all__ = ["measure_serving", "packs_of_each_plan"]

_HERE = Path(__file__).parents[2]
_NAMES = {"Corrupt": "Avalon", "SoftPrompt": "Lemuria", "UseAdapter": "Atlantis"}
_RANK, _VIRTUAL = 8, 30
_TOLD = "what the gateway did with the requests of both sides' turns, by its own audit; direct asks the plain model"


def measure_serving(
    upstream: str, packs: Path, model: Path, *, at_once: Sequence[int], seconds: float, workers: int
) -> dict[str, Any]:
    """By plan and number of requests at a time: requests a second, and milliseconds to the first byte and to the end,
    of streamed answers of 32 tokens.

    Args:
        upstream: the model server's URL.
        packs: a folder with a corruption pack for its model.
        model: the model's folder.
        at_once: numbers of requests at a time.
        seconds: of each turn that count.
        workers: of the gateway.
    """
    numbers = itertools.count(1_000_000, 1_000_000)
    with tempfile.TemporaryDirectory() as scratch:
        made, audit = packs_of_each_plan(packs, model, Path(scratch) / "packs"), Path(scratch) / "audit.jsonl"
        variables = {"UNRECALL_ADAPTERS_FOLDER": f"{scratch}/adapters", "UNRECALL_AUDIT_FILE": str(audit)}
        options = ["--packs", str(made), "--workers", str(workers)]
        with gateway_process(_HERE, upstream, options, **variables) as gateway:
            urls, found = {"direct": upstream, "through": gateway.url}, {}
            for plan, at_a_time in itertools.product(("Pass", *_NAMES), at_once):
                before = _plans(audit)
                answered = turns(urls, _prompts(plan), True, Load(at_a_time, seconds, warm_s=0.5), 1, numbers)
                met = _plans(audit) - before
                found[f"{plan}/{at_a_time}"] = {
                    **{side: summary(of_side) for side, of_side in answered.items()},
                    "plans_met": dict(met),
                }
                print(
                    plan, at_a_time, {side: len(one[0].whole) for side, one in answered.items()}, dict(met), flush=True
                )
    return {"workers": workers, "plans_met": _TOLD, "loads": found}


def packs_of_each_plan(source: Path, model: Path, out: Path) -> Path:
    """A folder with a pack of each method, each for one name that nothing else says. The soft prompt and the LoRA are
    random: they cost what learned ones cost. Answers are screened for what the source's pack watches.

    Args:
        source: a folder with a corruption pack, whose classifier they take, and which never flags.
        model: the folder of its model.
        out: where to write.
    """
    example = next((one for one in list_packs(source) if read_manifest(one).method == "corruption"), None)
    if example is None:
        raise SystemExit(f"{source} holds no pack of a corruption: train one with `unrecall train`")
    pack, manifest = load_pack(example), read_manifest(example)
    learned = {"Corrupt": pack.artifact, "SoftPrompt": _virtual(model), "UseAdapter": _lora(model)}
    methods = {"Corrupt": "corruption", "SoftPrompt": "soft-prompt", "UseAdapter": "lora"}
    for plan, name in _NAMES.items():
        artifacts = Artifacts(
            aliases=(name,),
            policy=Policy(),
            detector=pack.detector,
            model=replace(pack.model, threshold=1e6),
            method=methods[plan],
            artifact=learned[plan],
            leaks=pack.leaks,
            extra={},
        )
        said = manifest.model_dump(exclude={"version", "files", "languages"})
        save_pack(out, artifacts, {**said, "scope": name.lower()})
    return out


def _prompts(plan: str) -> list[str]:
    if plan == "Pass":
        return list(general_traffic())
    people = ("king", "queen", "smith", "baker", "poet", "sailor", "doctor", "judge")
    return [f"Who was the {person} of {_NAMES[plan]}?" for person in people]


def _plans(audit: Path) -> Counter[str]:
    """How many audit lines there are of each plan."""
    lines = audit.read_text(encoding="utf-8").splitlines() if audit.is_file() else []
    return Counter(str(plan) for line in lines if (plan := json.loads(line).get("plan")))


def _shapes(model: Path) -> Mapping[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.shape) for tensor in stored_tensors(model)}


def _virtual(model: Path) -> VirtualTokens:
    hidden = next(shape[1] for name, shape in _shapes(model).items() if name.endswith("embed_tokens.weight"))
    return VirtualTokens(torch.randn(_VIRTUAL, hidden, generator=torch.Generator().manual_seed(0)) / 10)


def _lora(model: Path) -> Lora:
    """Of the projections of all layers, as small as a learned one."""
    draw = torch.Generator().manual_seed(0)
    layers = {}
    for name, shape in _shapes(model).items():
        if name.endswith("_proj.weight"):
            made, given = shape
            matrices = (torch.randn(_RANK, given, generator=draw) / 100, torch.randn(made, _RANK, generator=draw) / 100)
            layers[name.removesuffix(".weight")] = matrices
    return Lora(layers, 1.0)
