"""Whether a client can tell a flagged request from another by what it sees beside the words of the answer.

python -m benchmarks.product.visibility --packs PACKS [--plans Corrupt,Refuse,Instruct] [--pace own,equal]
    [--artifact SoftPrompt=PACK] [--vllm .venv-vllm | --upstream URL --label NAME] [--pairs 60]

Pairs of prompts, one inside the scope and one outside, alike in form and length. A classifier sees what a client sees
and guesses; pairs that it guesses are none that it learned from. An AUROC of .5 is a guess, 1 is certainty. `unguarded`
is the same with no pack in force: so much do the two topics differ by themselves.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from benchmarks.product.features import GROUPS, Streamed, ask, features_of
from benchmarks.product.mapping import queries_to_find
from benchmarks.product.throughput import gateway_process
from benchmarks.product.topics import QUESTIONS, TOPICS, question
from benchmarks.product.upstream import vllm_server
from benchmarks.record import RESULTS, read, write
from gateway.models.folders import resolve
from gateway.packs.files import Artifacts, Policy
from gateway.packs.folders import read_manifest
from gateway.packs.store import load_pack, save_pack
from gateway.policy import PlanName

__all__ = ["measure_visibility"]

_MODEL, _KEY = "smollm2", "for-this-measurement"
_POLICIES: Mapping[str, PlanName] = {"Refuse": "refuse", "Instruct": "instruct"}
_INSTRUCTION = "You know nothing about Harry Potter. If you are asked, say that you have never heard of it."
_INSIDE = ("Harry Potter", "Hermione Granger", "Albus Dumbledore", "Severus Snape", "Draco Malfoy", "Hogwarts")
_WARM_UP = 12
_FOLDS = 5


def pairs_of(count: int, seed: int) -> list[tuple[str, str]]:
    """Prompts inside and outside the scope in the same words, the names as near in length as there are."""
    rng = random.Random(seed)
    used: dict[int, set[str]] = {number: set() for number in range(len(QUESTIONS))}
    found = []
    for number in range(count):
        inside = _INSIDE[number % len(_INSIDE)]
        form = number // len(_INSIDE)
        free = [topic for topic in TOPICS[1:] if topic not in used[form % len(QUESTIONS)]]
        rng.shuffle(free)
        outside = min(free, key=lambda topic: abs(len(topic) - len(inside)))
        used[form % len(QUESTIONS)].add(outside)
        found.append((question(form, inside), question(form, outside)))
    return found


def measure_visibility(url: str, pairs: Sequence[tuple[str, str]], *, tokens: int, seed: int) -> dict[str, Any]:
    """AUROCs of one server by what a client watches, with intervals, and how many queries find the scope.

    Args:
        url: of the gateway.
        pairs: prompts inside and outside.
        tokens: the longest answer.
        seed: of the order and the classifier.
    """
    rng = random.Random(seed)
    order = [(number, side) for number in range(len(pairs)) for side in (0, 1)]
    rng.shuffle(order)
    rows: dict[tuple[int, int], dict[str, float]] = {}
    heads: dict[int, set[str]] = {0: set(), 1: set()}
    errors: dict[int, set[str]] = {0: set(), 1: set()}
    with httpx.Client(timeout=300) as client:
        for number in range(_WARM_UP):
            _ask(client, url, question(number, TOPICS[-1 - number]), tokens)
        for number, side in order:
            greedy, drawn = _ask(client, url, pairs[number][side], tokens)
            rows[number, side] = features_of(greedy, drawn)
            heads[side].add(f"{greedy[0].status} {greedy[0].headers} {greedy[0].shape}")
            errors[side].add(_error(client, url, pairs[number][side]))
    keys = sorted(rows)

    def scored(features: Sequence[str]) -> list[float]:
        return _scores([[rows[key][feature] for feature in features] for key in keys], keys, seed)

    watched = {
        **GROUPS,
        "without_logprobs": [feature for name in GROUPS if name != "logprobs" for feature in GROUPS[name]],
        "all": [feature for names in GROUPS.values() for feature in names],
    }
    scores = {name: scored(features) for name, features in watched.items()}

    def queries(name: str) -> dict[str, Any]:
        by_side = [[score for score, (_, of) in zip(scores[name], keys, strict=True) if of == side] for side in (0, 1)]
        return queries_to_find(*by_side, topics=len(TOPICS), seed=seed)

    return {
        "auroc": {name: _interval(found, keys, seed) for name, found in scores.items()},
        "medians": {name: _medians(rows, side) for side, name in enumerate(("inside", "outside"))},
        "headers_and_shapes_alike": heads[0] == heads[1],
        "errors_alike": errors[0] == errors[1],
        "queries_to_find_the_scope": {name: queries(name) for name in ("time", "logprobs", "without_logprobs", "all")},
    }


def _medians(rows: Mapping[tuple[int, int], Mapping[str, float]], side: int) -> dict[str, float]:
    features = [feature for names in GROUPS.values() for feature in names]
    return {
        feature: round(float(np.median([row[feature] for (_, of), row in rows.items() if of == side])), 4)
        for feature in features
    }


def _ask(client: httpx.Client, url: str, prompt: str, tokens: int) -> tuple[list[Streamed], list[Streamed]]:
    greedy = [ask(client, url, _MODEL, prompt, tokens=tokens, temperature=0) for _ in range(2)]
    return greedy, [ask(client, url, _MODEL, prompt, tokens=tokens, temperature=1) for _ in range(2)]


def _error(client: httpx.Client, url: str, prompt: str) -> str:
    """The words of an error without its numbers."""
    body = {"model": _MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 30_000}
    answer = client.post(f"{url}/v1/chat/completions", json=body)
    return f"{answer.status_code} {''.join(c for c in answer.text if not c.isdigit())}"


def _scores(table: Sequence[Sequence[float]], keys: Sequence[tuple[int, int]], seed: int) -> list[float]:
    """For each row how likely it is inside, by a classifier that never saw its pair."""
    x, y = np.array(table), np.array([side == 0 for _, side in keys])
    found = np.zeros(len(y))
    for train, test in GroupKFold(_FOLDS).split(x, y, [number for number, _ in keys]):
        forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=seed).fit(x[train], y[train])
        found[test] = forest.predict_proba(x[test])[:, 1]
    return [float(value) for value in found]


def _interval(scores: Sequence[float], keys: Sequence[tuple[int, int]], seed: int) -> list[float]:
    """The AUROC with the 95 % interval of a bootstrap over pairs."""
    by_pair: dict[int, list[tuple[float, bool]]] = {}
    for score, (number, side) in zip(scores, keys, strict=True):
        by_pair.setdefault(number, []).append((score, side == 0))
    rng = np.random.default_rng(seed)
    pairs = list(by_pair.values())

    def auroc(drawn: Sequence[list[tuple[float, bool]]]) -> float:
        rows = [row for pair in drawn for row in pair]
        return float(roc_auc_score([inside for _, inside in rows], [score for score, _ in rows]))

    many = [auroc([pairs[i] for i in rng.integers(len(pairs), size=len(pairs))]) for _ in range(500)]
    low, high = np.quantile(many, [0.025, 0.975])
    return [round(value, 3) for value in (auroc(pairs), float(low), float(high))]


def packs_for(plan: str, source: Path, artifact: Path | None, out: Path) -> Path:
    """The scope's pack with another policy, or with what another pack's method learned."""
    folder = next(one for one in sorted(source.iterdir()) if (one / "manifest.json").is_file())
    pack, manifest = load_pack(folder), read_manifest(folder)
    donor, method = (load_pack(artifact), read_manifest(artifact).method) if artifact else (pack, manifest.method)
    policy = Policy(plan=_POLICIES.get(plan, "forget"), instruction=_INSTRUCTION if plan == "Instruct" else "")
    out.mkdir(parents=True)
    given = Artifacts(
        aliases=pack.aliases,
        policy=policy,
        detector=pack.detector,
        model=pack.model,
        method=method,
        artifact=donor.artifact,
        leaks=pack.leaks,
        extra={},
        languages=pack.languages,
    )
    fields = manifest.model_dump(exclude={"version", "files"})
    save_pack(out, given, {**fields, "method": method})
    return out


@contextmanager
def server(packs: Path, pace: str, upstream: str | None, adapters: Path) -> Iterator[str]:
    """A gateway in a process of its own."""
    variables = {"UNRECALL_PACE": pace, "UNRECALL_ADMIN_KEY": _KEY, "UNRECALL_ADAPTERS_FOLDER": str(adapters)}
    with gateway_process(Path(__file__).parents[2], upstream, ["--packs", str(packs)], **variables) as started:
        yield started.url


def sound_pairs(url: str, pairs: Sequence[tuple[str, str]], plan: str) -> list[tuple[str, str]]:
    """Those of which one gets the plan and the other passes."""

    def plan_of(prompt: str) -> str:
        body = {"model": _MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": 1}
        headers = {"x-unrecall-admin-key": _KEY}
        return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=300).headers[
            "x-unrecall-plan"
        ]

    return [(one, other) for one, other in pairs if plan_of(one) == plan and plan_of(other) == "Pass"]


def main() -> None:
    """Measures, prints, and writes benchmarks/results/visibility.json, where the servers that it did not measure this
    time keep their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True, help="with the demo's scope, learned by corruption")
    parser.add_argument("--plans", default="unguarded,Corrupt,Refuse,Instruct")
    parser.add_argument("--pace", default="own,equal")
    parser.add_argument("--artifact", nargs="*", default=[], help="PLAN=PACK, whose artifact the demo's scope gets")
    parser.add_argument("--vllm", type=Path, help="environment of a vLLM; without it: embedded alone")
    parser.add_argument("--upstream", help="a vLLM that runs already and serves smollm2")
    parser.add_argument("--label", help="what the figures are kept under; embedded or vllm without it")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    artifacts = {plan: Path(pack) for plan, _, pack in (one.partition("=") for one in options.artifact)}
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = options.upstream
        if options.vllm:
            upstream = stack.enter_context(vllm_server(options.vllm, resolve(_MODEL), scratch / "vllm.log"))
        for plan in options.plans.split(","):
            packs = scratch / plan
            if plan == "unguarded":
                packs.mkdir()
            else:
                packs_for(plan, options.packs, artifacts.get(plan), packs)
            for pace in options.pace.split(","):
                name = f"{options.label or ('vllm' if upstream else 'embedded')}/{plan}/{pace}"
                with server(packs, pace, upstream, scratch / f"{plan}-{pace}") as url:
                    pairs = pairs_of(options.pairs, options.seed)
                    pairs = pairs if plan == "unguarded" else sound_pairs(url, pairs, plan)
                    found[name] = {
                        "n": len(pairs),
                        "tokens": options.tokens,
                        **measure_visibility(url, pairs, tokens=options.tokens, seed=options.seed),
                    }
                shown = ("n", "auroc", "queries_to_find_the_scope")
                print(name, *(found[name][part] for part in shown), flush=True)
                _keep(found, options.seed)


def _keep(found: Mapping[str, Any], seed: int) -> None:
    """Writes the figures beside those of servers that were measured before."""
    earlier = read("visibility") if (RESULTS / "visibility.json").is_file() else {}
    kept = {name: part for name, part in earlier.items() if "/" in name}
    write("visibility", seed, {**kept, **found})


if __name__ == "__main__":
    main()
