"""Does the demo scope's pack forget, and only that? Gate errors, leaks, relevance, and untouched answers."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.product.rows import Case, data_sets, heldout, request_of
from corruption.counterfactuals import counterfactual_of
from corruption.selection import message_seed
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.core import Message, Pass, Plan, Request, Sampling
from gateway.evaluation.guarded_model import GuardedModel
from gateway.evaluation.leaks import leaks, repetition
from gateway.methods.corruption import Corrupt
from gateway.models.encoders import find_encoder
from gateway.models.folders import resolve
from gateway.models.language_model import LanguageModel, load_language_model
from gateway.packs.store import load_packs
from gateway.policy import decide
from gateway.screening.gate import Gate
from gateway.training.config import training_of
from gateway.training.run import train_scope

__all__ = ["measure"]

_SCOPE = Path("examples/harry-potter/scope.yaml")
_INSIDE = ("named", "unnamed", "paraphrase", "multi-turn")
_TOKENS = 32
_SAMPLES = 8
_BATCH = 16
_SAMPLED_EVERY = 3  # sampling is slow without a GPU: every third row of each slice


_Planned = tuple[Request, Plan]


def measure(data: Path, packs: Path, *, seed: int) -> dict[str, Any]:
    """All figures of the demo scope. `data` is the folder of public data sets."""
    manifest = train_scope(
        scope_file=_SCOPE, model="smollm2", encoder="minilm", out=packs, training=training_of("corruption", seed=seed)
    )
    bench = _Bench(packs)
    cases = heldout()
    return {
        "pack": manifest.model_dump(mode="json", include={"calibration", "heldout"}),
        "gate_heldout": bench.gate_by_slice(cases),
        "gate_public_data": bench.gate_on(data_sets(data)),
        "answers": bench.answers([case for case in cases if case.slice in _INSIDE], seed=seed),
        "retained": asyncio.run(bench.retained([case for case in cases if case.slice == "near"])),
    }


@dataclass(frozen=True, slots=True)
class _Screened:
    plan: Plan
    detectors: frozenset[str]


class _Bench:
    """The serving code's own gate, policy and embedder, without HTTP around them."""

    def __init__(self, packs: Path) -> None:
        self.language_model: LanguageModel = load_language_model(resolve("smollm2"))
        self.encoder = find_encoder("minilm").load()
        self.gate = Gate(load_packs(packs, base_fingerprint=None, encoder_fingerprint=None), self.encoder)
        self.guarded_model = GuardedModel(self.language_model)

    def screen(self, request: Request) -> _Screened:
        (screening,) = self.gate.screen([request])
        plan = decide(request, screening, self.gate.ready(screening))
        return _Screened(plan, frozenset(finding.detector for finding in screening.matched))

    def gate_by_slice(self, cases: Sequence[Case]) -> dict[str, Any]:
        """FNR of the whole gate inside the scope, FPR on near rows; the share that the classifier alone catches."""
        by_slice: dict[str, list[_Screened]] = {}
        for case in tqdm(cases, desc="gate on held-out rows"):
            by_slice.setdefault(case.slice, []).append(self.screen(request_of(case.messages)))
        return {name: self._rates(seen, inside=name in _INSIDE) for name, seen in by_slice.items()}

    def gate_on(self, sets: dict[str, list[str]]) -> dict[str, Any]:
        """The gate on public data. Rows that name the scope have a count of their own: they are no false positives."""
        rates: dict[str, Any] = {}
        general: list[_Screened] = []
        for name, prompts in sets.items():
            seen = [self.screen(request_of((Message("user", p),))) for p in tqdm(prompts, desc=f"gate on {name}") if p]
            rates[name] = self._rates(seen, inside=name.startswith("inside/"))
            general += seen if name.startswith("general/") else []
        rates["general/all"] = self._rates(general, inside=False)
        return rates

    def _rates(self, seen: Sequence[_Screened], *, inside: bool) -> dict[str, Any]:
        named = [one for one in seen if "lexical" in one.detectors]
        unnamed = [one for one in seen if "lexical" not in one.detectors]
        caught = sum("classifier" in one.detectors for one in unnamed)
        flagged = len(named) + caught
        if inside:
            return {
                "n": len(seen),
                "fnr": 1 - flagged / len(seen),
                "n_naming_the_scope": len(named),
                "n_not_naming_it": len(unnamed),
                "fnr_not_naming_it": 1 - caught / len(unnamed) if unnamed else None,
                "fnr_classifier_alone": 1 - sum("classifier" in one.detectors for one in seen) / len(seen),
            }
        return {
            "n": len(seen),
            "n_naming_the_scope": len(named),
            "false_positives": caught,
            "fpr": caught / len(unnamed) if unnamed else None,
        }

    def answers(self, cases: Sequence[Case], *, seed: int) -> dict[str, Any]:
        """Leaks of greedy and sampled answers, relevance and repetition: plain, guarded, and of counterfactual prompts.

        A case that the gate missed is answered plainly, as it would be served: these are leaks of the product.
        """
        plans = [self.screen(request_of(case.messages)).plan for case in cases]
        arms: dict[str, list[_Planned]] = {
            "plain": [(request_of(case.messages), Pass()) for case in cases],
            "guarded": [(request_of(case.messages), plan) for case, plan in zip(cases, plans, strict=True)],
            "twin": [
                (request_of(_counterfactual(case, plan)), Pass()) for case, plan in zip(cases, plans, strict=True)
            ],
        }
        result: dict[str, Any] = {}
        for arm, prompts in arms.items():
            greedy = self._ask(prompts, f"{arm}: greedy", temperature=0.0, seed=seed)
            result[arm] = self._summary(cases, greedy)
            if arm != "twin":
                some = range(0, len(cases), _SAMPLED_EVERY)
                result[arm]["sampled"] = self._sampled([cases[i] for i in some], [prompts[i] for i in some], arm, seed)
        result["flagged"] = {"n": len(plans), "corrupted": sum(isinstance(plan, Corrupt) for plan in plans)}
        return result

    async def retained(self, cases: Sequence[Case]) -> dict[str, Any]:
        """The share of near rows with the same answer under the plan and under Pass, byte for byte."""
        identical = flagged = 0
        async with EmbeddedBackend(self.language_model, name="smollm2") as backend:
            for case in tqdm(cases, desc="retained answers"):
                request = Request(
                    "benchmark", "chat", "smollm2", case.messages, Sampling(max_tokens=16, temperature=0.0)
                )
                plan = self.screen(request).plan
                flagged += not isinstance(plan, Pass)
                identical += await _text(backend, request, plan) == await _text(backend, request, Pass())
        return {"n": len(cases), "identical": identical / len(cases), "flagged": flagged}

    def _ask(self, asked: Sequence[_Planned], label: str, *, temperature: float, seed: int) -> list[str]:
        found: list[str] = []
        for start in tqdm(range(0, len(asked), _BATCH), desc=label):
            requests, plans = zip(*asked[start : start + _BATCH], strict=True)
            found += self.guarded_model.answers(
                requests, plans, max_new_tokens=_TOKENS, temperature=temperature, seed=seed
            )
        return found

    def _sampled(self, cases: Sequence[Case], asked: Sequence[_Planned], arm: str, seed: int) -> dict[str, Any]:
        leaked = [False] * len(cases)
        for number in range(_SAMPLES):
            label = f"{arm}: sample {number + 1} of {_SAMPLES}"
            answers = self._ask(asked, label, temperature=1.0, seed=seed + number)
            leaked = [a or _leak(case, answer) for a, case, answer in zip(leaked, cases, answers, strict=True)]
        return {"n": len(cases), f"leak_any_of_{_SAMPLES}": _share(leaked)}

    def _summary(self, cases: Sequence[Case], greedy: Sequence[str]) -> dict[str, Any]:
        summary: dict[str, Any] = {}
        slices = {name: [i for i, case in enumerate(cases) if case.slice == name] for name in _INSIDE}
        for name, rows in {**slices, "all": list(range(len(cases)))}.items():
            summary[name] = {
                "n": len(rows),
                "leak_greedy": _share([_leak(cases[i], greedy[i]) for i in rows]),
                "relevance": self._relevance([cases[i].prompt for i in rows], [greedy[i] for i in rows]),
                "repetition": float(np.mean([repetition(greedy[i]) for i in rows])),
            }
        return summary

    def _relevance(self, questions: Sequence[str], answers: Sequence[str]) -> float:
        pairs = zip(self.encoder.encode(questions), self.encoder.encode(answers), strict=True)
        return float(np.mean([float(q.mean(0) @ a.mean(0)) if len(q) and len(a) else 0.0 for q, a in pairs]))


def _counterfactual(case: Case, plan: Plan) -> tuple[Message, ...]:
    """The same question about an invented name, where the guard edits it."""
    messages = list(case.messages)
    for edit in plan.edits if isinstance(plan, Corrupt) else ():
        if edit.message is None:  # no word is edited
            continue
        before = messages[edit.message]
        seed = message_seed(edit.config.operator, before.text)
        messages[edit.message] = Message(
            before.role, counterfactual_of(before.text, edit.ranges, named=True, seed=seed).text
        )
    return tuple(messages)


async def _text(backend: EmbeddedBackend, request: Request, plan: Plan) -> str:
    async with aclosing(backend.generate(request, plan)) as events:
        return "".join([delta.text async for event in events for delta in event.deltas])


def _leak(case: Case, answer: str) -> bool:
    return leaks(answer, prompt=case.prompt, response=case.response)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
