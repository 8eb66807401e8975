"""The results as Markdown, from benchmarks/results/*.json.

`python -m benchmarks.product.table` prints the tables of the README, and with --all those of docs/results.md.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.compare.metrics.attacks import ATTACKS
from benchmarks.compare.metrics.identical import IDENTICAL_SHARE
from benchmarks.compare.metrics.leaks import LEAK_RATES
from benchmarks.compare.report.aims import AIMS, AimVerdict, ranked_arms, verdicts_of
from benchmarks.compare.report.formats import NONE, seconds
from benchmarks.compare.results import ArmResult, Results
from benchmarks.printing import show
from benchmarks.record import markdown, read

__all__ = ["headline", "table"]

_METHODS = {"corruption": "ECO", "soft-prompt": "SPUL", "lora": "O3"}
_SUITES = ("tofu-20", "tofu-20-forget05", "tofu-20-forget10")
_IN_README = "tofu-20"
_ARMS_IN_README = ("original", "retrain", "eco", "spul-gated", "o3")
_BEST_WEIGHT_ARMS = 2
_AIMED = {
    "forget quality": "forget quality",
    "utility": "utility, of the original's",
    "membership": "membership AUC",
    "fluency": "fluency, of the retrained's",
    "relevance": "relevance, of the retrained's",
    "distinguishability": "distinguishable from the retrained, AUROC",
}
_IN_SHORT = ("forget quality", "utility", "membership", "distinguishability")
_LEAKED, _BESIDES = "leaked: greedy / @1 / @8", ("same answers", "training")
_FIRST = (
    "held-out questions leaked, greedy: plain model → gateway (counterfactual prompts)",
    "near questions answered byte for byte as before",
    "gate misses, questions that name the subject",
    "gate misses, questions that do not name the subject",
    "false alarms on general prompts",
    "gate, p50 / p99, 1 request at a time",
    "time to first token, p50, real vLLM: direct → through",
)
_SLICES = (
    "named",
    "unnamed",
    "paraphrase",
    "multi-turn",
    "alias",
    "attack/noise-prefix",
    "attack/composite",
    "attack/base64",
    "attack/leetspeak",
    "translation",
    "inside/muse-books",
    "near",
    "near/tofu-real-authors",
    "general/all",
)
_DETECTORS = {"classifier": "ECO's classifier", "ood": "O3's detector", "ood, untuned": "encoder untuned"}


def headline() -> str:
    """Markdown: the most important figures of the demo scope, and of a few arms of one comparison."""
    head = (_IN_README, *(_AIMED[aim] for aim in _IN_SHORT), _LEAKED, *_BESIDES)
    rows = {row[0]: row for row in _compared(_IN_README, _IN_SHORT)}
    parts = (
        markdown(("figure", "measured", "n", "aim"), [row for row in _demo() if row[0] in _FIRST]),
        markdown(head, [rows[name] for name in (*_ARMS_IN_README, *_best_weight_arms(_IN_README))]),
    )
    return "\n\n".join(parts)


def table() -> str:
    """Markdown: the figures of the demo scope, of ten forget requests, of the detectors, of the plans on vLLM, and of
    the comparisons."""
    head = (*_AIMED.values(), _LEAKED, *_BESIDES, "leaked under attack")
    parts = (
        markdown(("figure", "measured", "n", "aim"), _demo()),
        markdown(("ten forget requests, one after another", *_METHODS.values()), _continual()),
        markdown(("", *_DETECTORS.values(), "n"), _detectors()),
        markdown(("one vLLM, time to first token", "p50", "p99", "n"), _plans()),
        *(markdown((suite, *head), _compared(suite, AIMS, attacked=True)) for suite in _SUITES),
    )
    return "\n\n".join(parts)


def _demo() -> list[tuple[str, ...]]:
    return [(name, value, str(n), aim) for name, value, n, aim in [*_forgetting(), *_latency(), *_ttft()]]


def _forgetting() -> list[tuple[str, str, int | str, str]]:
    found = read("forgetting")
    gate, public, answers = found["gate_heldout"], found["gate_public_data"], found["answers"]
    plain, guarded, counterfactual = of_arms = [answers[arm]["all"] for arm in ("plain", "guarded", "twin")]
    leaked = [_percent(arm["leak_greedy"]) for arm in of_arms]
    sampled = [_percent(answers[arm]["sampled"]["leak_any_of_8"]) for arm in ("plain", "guarded")]
    general, muse = public["general/all"], public["inside/muse-books"]
    return [
        (
            "held-out questions leaked, greedy: plain model → gateway (counterfactual prompts)",
            f"{leaked[0]} → {leaked[1]} ({leaked[2]})",
            plain["n"],
            "0",
        ),
        ("the same, any of 8 samples", " → ".join(sampled), answers["plain"]["sampled"]["n"], ""),
        (
            "relevance: plain → gateway (counterfactual prompts)",
            f"{plain['relevance']:.2f} → {guarded['relevance']:.2f} ({counterfactual['relevance']:.2f})",
            plain["n"],
            "the counterfactual prompts'",
        ),
        (
            "near questions answered byte for byte as before",
            _percent(found["retained"]["identical"]),
            found["retained"]["n"],
            "100 %",
        ),
        ("gate misses, questions that name the subject", _percent(gate["named"]["fnr"]), gate["named"]["n"], "≤ 2 %"),
        (
            "gate misses, questions that do not name the subject",
            _percent(gate["unnamed"]["fnr"]),
            gate["unnamed"]["n"],
            "≤ 15 %",
        ),
        ("gate misses, odd paraphrases", _percent(gate["paraphrase"]["fnr"]), gate["paraphrase"]["n"], ""),
        ("gate misses, multi-turn", _percent(gate["multi-turn"]["fnr"]), gate["multi-turn"]["n"], ""),
        ("gate misses, plot trivia (MUSE Books)", _percent(muse["fnr"]), muse["n"], ""),
        ("false alarms on general prompts", f"{general['fpr']:.2%}", _unnamed(general), "≤ 0.1 %"),
        ("false alarms on near questions", _percent(gate["near"]["fpr"]), _unnamed(gate["near"]), ""),
    ]


def _unnamed(rates: dict[str, int]) -> int:
    """False alarms are counted among the rows that do not name the scope."""
    return rates["n"] - rates["n_naming_the_scope"]


def _latency() -> list[tuple[str, str, int | str, str]]:
    one, many = (read("latency")[f"concurrency_{number}"] for number in (1, 16))

    def pair(part: dict[str, float]) -> str:
        return f"{part['p50_ms']:.1f} / {part['p99_ms']:.1f} ms"

    return [
        ("gate, p50 / p99, 1 request at a time", pair(one["gate_part"]), one["gate_part"]["n"], "p50 ≤ 15 ms"),
        ("proxy, p50, 1 request at a time", f"{one['proxy_part_p50_ms']:.1f} ms", one["direct"]["n"], "≤ 2 ms"),
        (
            "through the gateway, p50 / p99, 16 at a time on 2 cores",
            pair(many["through_gateway"]),
            many["direct"]["n"],
            "",
        ),
    ]


def _ttft() -> list[tuple[str, str, int | str, str]]:
    found = read("ttft")
    direct, through = found["direct"], found["through_gateway"]
    value = f"{direct['p50_ms']:.0f} → {through['p50_ms']:.0f} ms"
    return [("time to first token, p50, real vLLM: direct → through", value, direct["n"], "")]


def _continual() -> list[tuple[str, ...]]:
    """Rows of what each method did; columns are the methods."""
    found = read("continual")
    plain, steps = found["plain"], [found["steps"][method] for method in _METHODS]
    last, count = [of_one[-1] for of_one in steps], len(steps[0])
    firsts = [[step["leak_by_scope"][next(iter(step["leak_by_scope"]))] for step in of_one] for of_one in steps]
    scoped = len(plain["leak_by_scope"])

    def change(name: str, value: Callable[[Any], float], form: str) -> tuple[str, ...]:
        return name, *(f"{value(plain):{form}} → {value(step):{form}}" for step in last)

    kept = plain["retained"]["n"]
    return [
        change(f"leaked: before, and after the last (n {plain['n']})", lambda step: step["leak"], ".1%"),
        (
            f"leaked of the first person: after step 1, and after step {count} (n {plain['n'] // scoped})",
            *(f"{_percent(first[0])} → {_percent(first[-1])}" for first in firsts),
        ),
        ("questions caught by the gate", *(_percent(step["flagged"]) for step in last)),
        change("probability of the forgotten answer", lambda step: step["probability_of_forgotten"], ".2f"),
        change(f"retained answers: ROUGE-L recall (n {kept})", lambda step: step["retained"]["rouge_l"], ".3f"),
        change("retained answers: probability", lambda step: step["retained"]["probability"], ".3f"),
        (
            "before every prompt, as in SPUL's paper: retained ROUGE-L after step 1, and after the last",
            *map(_ungated, steps),
        ),
        (
            "training, seconds a forget request",
            *(f"{median(s['training_seconds'] for s in of_one):.0f}" for of_one in steps),
        ),
        ("pack, kB", *(f"{median(s['pack_bytes'] for s in of_one) / 1000:.0f}" for of_one in steps)),
    ]


def _ungated(steps: Sequence[Any]) -> str:
    measured = [step["ungated"]["retained"]["rouge_l"] for step in steps if "ungated" in step]
    return " → ".join(f"{value:.3f}" for value in measured) or "–"


def _detectors() -> list[tuple[str, ...]]:
    found = read("detectors")
    rows = []
    for name in _SLICES:
        first = found["classifier"]["slices"][name]
        kind = "fnr" if "fnr" in first else "fpr"
        cells = [found[detector]["slices"][name] for detector in _DETECTORS]
        label = f"{name}: AUROC / FPR at 95 % TPR / {'missed' if kind == 'fnr' else 'false alarms'}"
        values = [f"{c['auroc']:.3f} / {_percent(c['fpr_at_95_tpr'])} / {_percent(c[kind])}" for c in cells]
        rows.append((label, *values, str(first["n"])))
    return rows


def _plans() -> list[tuple[str, ...]]:
    found = read("plans")
    lora = found["lora"]
    timed = [*found["first_token"].items()]
    timed.append(
        (f"whole answer of 4 tokens, LoRA loaded ({lora['scopes']} scopes, {lora['slots']} slots)", lora["loaded"])
    )
    timed.append(("the same, another LoRA had to go and this one to be loaded", lora["evicted_before"]))
    return [(name, f"{q['p50_ms']:.0f} ms", f"{q['p99_ms']:.0f} ms", str(q["n"])) for name, q in timed]


def _compared(suite: str, aims: Iterable[str], *, attacked: bool = False) -> list[tuple[str, ...]]:
    """An arm a row: its aims, in bold what meets them, then what else an operator asks."""
    arms = Results.read(read(suite)).arms
    rows = []
    for name, arm in arms.items():
        if arm.failed:
            continue
        verdicts = verdicts_of(arm, arms)
        leaks = " / ".join(_share(rate.of(arm)) for rate in LEAK_RATES if rate.of(arm) is not None)
        same = _share(IDENTICAL_SHARE.of(arm))
        time = seconds(arm.training_seconds) if arm.kind != "baseline" else NONE
        judged = [_judged(verdicts[aim]) for aim in aims]
        rows.append((name, *judged, leaks, same, time, *([_attacked(arm)] if attacked else [])))
    return rows


def _best_weight_arms(suite: str) -> list[str]:
    """Of the arms that change the weights, those that the report ranks first."""
    arms = Results.read(read(suite)).arms
    return [name for name in ranked_arms(arms) if arms[name].kind == "weights"][:_BEST_WEIGHT_ARMS]


def _judged(verdict: AimVerdict) -> str:
    measured = verdict.measured.split(" of the ")[0].removeprefix("AUROC ")
    return f"**{measured}**" if verdict.short == 0 else measured


def _attacked(arm: ArmResult) -> str:
    """Leaks under attack, the mean over families."""
    rates = [family["leak"] for family in arm.slices(ATTACKS.key).values()]
    return _percent(fmean(rates)) if rates else NONE


def _share(value: float | None) -> str:
    return NONE if value is None else _percent(value)


def _percent(share: float) -> str:
    return f"{share:.1%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every table, for docs/results.md")
    show(table() if parser.parse_args().all else headline())
