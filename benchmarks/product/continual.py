"""Ten forget requests, one after another: what each method leaks, what it costs, and what it does to the rest.

SmolLM2 memorises invented persons (benchmarks.product.memorised), and each method forgets them in turn. The cache
folder keeps every measured step, so that an interrupted run goes on where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from tqdm import tqdm

from benchmarks.compare.invented import Person, Question, write_scope
from benchmarks.product.memorised import World, memorised, world
from gateway.core import Pass, Plan
from gateway.evaluation.guarded_model import GuardedModel, question
from gateway.evaluation.leaks import leaks
from gateway.methods.lora import UseAdapter
from gateway.methods.soft_prompt import SoftPrompt
from gateway.models.encoders import find_encoder
from gateway.models.language_model import load_language_model
from gateway.packs.store import load_packs
from gateway.screening.gate import Gate
from gateway.training.config import training_of
from gateway.training.run import train_scope

__all__ = ["measure_continual", "steps_folder"]

METHODS = ("corruption", "soft-prompt", "lora")
_TOKENS = 32
_Remembered = dict[tuple[str, str], tuple[str, float]]


def measure_continual(cache: Path, *, persons: int, seed: int, methods: Sequence[str] = METHODS) -> dict[str, Any]:
    """All figures. `cache` keeps the memorised model, the packs and the steps."""
    folder = memorised(persons, seed, cache)
    bench = _Bench(folder, cache, world(persons, seed), seed)
    plain = bench.plain()
    steps = {method: bench.steps(method) for method in methods}
    return {"model": "SmolLM2-135M-Instruct, fine-tuned", "persons": persons, "plain": plain, "steps": steps}


def steps_folder(cache: Path, persons: int, seed: int) -> Path:
    """Where METHOD/packs are kept."""
    return cache / f"continual-{persons}-{seed}"


class _Bench:
    """Asks the memorised model as the gateway would ask it."""

    def __init__(self, folder: Path, cache: Path, facts: World, seed: int) -> None:
        self.world = facts
        self._folder = folder
        self._cache = cache
        self._seed = seed
        self._probe = GuardedModel(load_language_model(folder))
        self._encoder = find_encoder("minilm").load()
        self._rouge = RougeScorer(["rougeL"], use_stemmer=True)

    def plain(self) -> dict[str, Any]:
        """The model without any pack."""
        record = steps_folder(self._cache, len(self.world.forgotten), self._seed) / "plain.json"
        if not record.is_file():
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(self.seen(None, self.world.forgotten, {})))
        found: dict[str, Any] = json.loads(record.read_text())
        return found

    def steps(self, method: str) -> list[dict[str, Any]]:
        """One entry for each person, in the order in which they are forgotten. Reads what an earlier run measured."""
        root = steps_folder(self._cache, len(self.world.forgotten), self._seed) / method
        packs = root / "packs"
        found: list[dict[str, Any]] = []
        remembered: _Remembered = {}
        for number, person in enumerate(self.world.forgotten, 1):
            record = root / f"step-{number}.json"
            if not record.is_file():
                trained = self._train(method, person, root / "scopes", packs)
                step = {**trained, **self.seen(packs, self.world.forgotten[:number], remembered)}
                if method == "soft-prompt" and number in (1, len(self.world.forgotten)):
                    step["ungated"] = self.seen(packs, self.world.forgotten[:number], {}, gated=False)
                record.write_text(json.dumps(step))
            found.append(json.loads(record.read_text()))
            print(f"{method} {number}: {json.dumps(found[-1])}", flush=True)
        return found

    def _train(self, method: str, person: Person, scopes: Path, packs: Path) -> dict[str, Any]:
        scope_file = write_scope(person, self.world.retain, scopes / person.id)
        with tqdm(desc=f"{method}: {person.id}", mininterval=5) as bar:
            started = time.perf_counter()
            manifest = train_scope(
                scope_file=scope_file,
                model=str(self._folder),
                encoder="minilm",
                out=packs,
                training=training_of(method, seed=self._seed),
                progress=_on(bar),
            )
            seconds = time.perf_counter() - started
        files = (packs / person.id / manifest.version).iterdir()
        served = [file.stat().st_size for file in files if not file.name.startswith("curve")]
        return {"training_seconds": round(seconds, 1), "pack_bytes": sum(served)}

    def seen(
        self, packs: Path | None, persons: Sequence[Person], remembered: _Remembered, *, gated: bool = True
    ) -> dict[str, Any]:
        """Leaks of each person's held-out questions, and the retained answers, with these packs in force.

        `remembered` spares questions that are answered as they were: same prompt, same plan.
        """
        gate = None
        if packs:
            loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=None)
            gate = Gate(loaded, self._encoder, soft_prompts_gated=gated)
        by_person = {p.id: self._asked((*p.paraphrases, *p.indirect), gate, remembered) for p in persons}
        retained = self._asked(self.world.measured, gate, remembered)
        leaked = {name: [row["leaked"] for row in rows] for name, rows in by_person.items()}
        inside = [row for rows in by_person.values() for row in rows]
        return {
            "leak_by_scope": {name: float(np.mean(flags)) for name, flags in leaked.items()},
            "leak": float(np.mean([row["leaked"] for row in inside])),
            "probability_of_forgotten": float(np.mean([row["probability"] for row in inside])),
            "flagged": float(np.mean([row["flagged"] for row in inside])),
            "n": len(inside),
            "retained": {
                "n": len(retained),
                "rouge_l": float(np.mean([row["rouge_l"] for row in retained])),
                "probability": float(np.mean([row["probability"] for row in retained])),
                "flagged": float(np.mean([row["flagged"] for row in retained])),
            },
        }

    def _asked(
        self, questions: Sequence[Question], gate: Gate | None, remembered: _Remembered
    ) -> list[dict[str, float | bool]]:
        requests = [question(one.prompt) for one in questions]
        plans: Sequence[Plan] = self._probe.plans(requests, gate) if gate else [Pass()] * len(requests)
        keys = [(one.prompt, _name(plan)) for one, plan in zip(questions, plans, strict=True)]
        fresh = [index for index, key in enumerate(keys) if key not in remembered]
        some = [requests[index] for index in fresh], [plans[index] for index in fresh]
        said = self._probe.answers(*some, max_new_tokens=_TOKENS)
        scores = self._probe.scores(*some, [questions[index].response for index in fresh])
        for index, answer, score in zip(fresh, said, scores, strict=True):
            remembered[keys[index]] = answer, float(score.logprob.mean().exp()) if score else 0.0
        rows = []
        for one, plan, key in zip(questions, plans, keys, strict=True):
            answer, probability = remembered[key]
            rows.append(
                {
                    "leaked": leaks(answer, prompt=one.prompt, response=one.fact),
                    "rouge_l": self._rouge.score(one.response, answer)["rougeL"].recall,
                    "probability": probability,
                    "flagged": not isinstance(plan, Pass),
                }
            )
        return rows


def _name(plan: Plan) -> str:
    """A key for what a plan does: two plans with the same effect have the same key."""
    match plan:
        case SoftPrompt(prompts):
            return " ".join(hashlib.sha256(one.embeddings.numpy().tobytes()).hexdigest() for one in prompts)
        case UseAdapter(adapters):
            return " ".join(f"{one.lora.digest} {one.weight}" for one in adapters)
        case _:
            return repr(plan)


def _on(bar: Any) -> Callable[[str, int, int], None]:
    def progress(stage: str, done: int, total: int) -> None:
        bar.set_postfix_str(f"{stage} {done}/{total}", refresh=False)
        bar.update(0)

    return progress
