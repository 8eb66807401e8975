"""A comparison as a page a person can read: results.json → report.md and report.html, one story set down twice."""

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.compare import plots
from benchmarks.compare.aims import AIMS, Verdict, nearness, ranked_arms, verdicts_of
from benchmarks.compare.figures import (
    LEAKS,
    ORIGINAL,
    PROBABILITY,
    QUALITY,
    QUALITY_ROWS,
    RETRAINED,
    TABLES,
    UTILITY,
    UTILITY_PARTS,
    Arm,
    Metric,
    Slices,
    arms_of,
    figure,
    has_failed,
    mapping,
    part_of,
    slices_of,
)
from benchmarks.compare.plots import Block, Bullets, Heading, Picture, Table, Words, listed, number, shown, text

__all__ = ["write_report"]

Looks = Mapping[str, plots.Look]
Show = Callable[[float | None], str]


def write_report(results: Mapping[str, Any], folder: Path) -> None:
    """report.md and report.html in `folder`, from what results.json holds. What was not measured is printed as –."""
    folder.mkdir(parents=True, exist_ok=True)
    title = f"Unrecall compare: {text(results.get('suite'))}"
    blocks = list(_story(title, results))
    (folder / "report.md").write_text(plots.markdown(blocks), encoding="utf-8", errors="replace")
    (folder / "report.html").write_text(plots.page(title, blocks), encoding="utf-8", errors="replace")


_LEAST_KNOWN = 0.02  # of the probability of an answer: less was not learnt, whatever the ratio

GLOSSARY = (
    "original: the model that was taught everything. retrain: taught everything but what is to be forgotten; it is the "
    "target in everything, and not zero recall: an arm below it has over-forgotten. Guardrails leave the weights "
    "alone; the other arms change them.",
    "Forget quality: a p-value, near 1 if the truth ratios are distributed as the retrained model's; near 0 if the two "
    "can be told apart. ECO-compatible: of folded truth ratios, as ECO's code has it.",
    "Model utility: the harmonic mean of probability, ROUGE-L and truth ratio on what is to be kept and on the world.",
    "Membership (MIA): an AUC of telling forgotten rows from rows never taught, by the loss, by the least likely "
    "tokens (min-k) or those normalised (min-k++). With few rows the retrained model's own may be far from .5.",
    "Leak @k: at least one of k sampled answers gives half of the content words away.",
    "Repetition: the share of an answer's word pairs that stood in it before. Relevance: how near in meaning an answer "
    "is to its question.",
    "Distinguishability: how well a classifier on sentence embeddings tells the arm's answers from the retrained "
    "model's; .5 is chance.",
)
CAVEATS = (
    "One seed: what another seed would change is not known, and smaller differences between arms say nothing.",
    "No arm saw the retrained model. Another one, retrained with another seed, would reach a forget quality of .5 only "
    "every second time: p is uniform where there is no difference.",
    "Probability, truth ratios (forget quality), memorisation, extraction strength and membership are teacher-forced: "
    "the true answer is scored. ROUGE-L, leaks, repetition, relevance and distinguishability are of answers that were "
    "generated. In both the guard sees the prompt alone, never the true answer.",
)


def _story(title: str, results: Mapping[str, Any]) -> Iterator[Block]:
    arms = arms_of(results)
    ranked = ranked_arms(arms)
    date = text(mapping(results.get("environment")).get("date"))
    yield Heading(title, level=1)
    yield Words(f"Model {text(results.get('model'))}, seed {text(results.get('seed'))}, {date}.")
    yield Heading("In short")
    yield Words(_in_short(arms, ranked))
    yield from _aims(arms, ranked)
    kinds = {name: str(arm.get("kind")) for name, arm in arms.items()}
    looks = plots.looks(kinds, original=ORIGINAL, retrained=RETRAINED)
    yield Heading("How to read the figures")
    yield Bullets(GLOSSARY)
    yield from _measured(arms, looks)
    leaked: dict[str, Show] = {"leak": plots.percent, "probability": shown, "flagged": plots.percent}
    yield from _by_slice("Attacks", slices_of(arms, "attacks"), "Questions that leaked under attack, %.", leaked)
    yield from _by_slice(
        "Errors of the gate", slices_of(arms, "gate"), "Errors of the gate, %.", {"rate": plots.percent}
    )
    yield from _harness(arms)
    yield from _cost(arms, looks)
    yield from _failures(arms)
    yield from _tuning(arms)
    yield from _conditions(results, arms)


def _in_short(arms: Mapping[str, Arm], ranked: Mapping[str, Mapping[str, Verdict]]) -> str:
    aimed = bool(arms.get(RETRAINED, {}).get("summary"))
    sentences = [] if aimed else ["There is no retrained model here: what needs one is not judged."]
    if nothing := _nothing_learnt(arms):
        return nothing
    judged = {name: sum(one.short is not None for one in found.values()) for name, found in ranked.items()}
    best = min(map(nearness, ranked.values()), default=(0, 0, 0.0))
    if best[0]:
        first = [name for name, found in ranked.items() if nearness(found) == best]
        nearest = [f"{name} ({_met(-best[0], len(AIMS) - judged[name])})" for name in first]
        sentences.append(f"Nearest to {'the retrained model' if aimed else 'the aims'}: {listed(nearest)}.")
    else:
        sentences.append("No arm meets an aim.")
    for aim, wish in AIMS.items():
        if missed := [f"{name} ({found[aim].gap})" for name, found in ranked.items() if found[aim].short]:
            sentences.append(f"Short of {aim} ({wish}): {listed(missed)}.")
    if blank := [name for name, count in judged.items() if not count]:
        sentences.append(f"Not measured against any aim: {listed(blank)}.")
    if failed := [name for name, arm in arms.items() if has_failed(arm)]:
        sentences.append(f"Failed, and so not judged: {listed(failed)}.")
    return " ".join(sentences)


def _met(aims: int, untold: int) -> str:
    return f"{aims} of {len(AIMS)} aims met" + (f", {untold} could not be told" if untold else "")


def _nothing_learnt(arms: Mapping[str, Arm]) -> str:
    """What there is to say if the original model does not know more of the forgotten than the retrained one."""
    knows, never = (PROBABILITY.of(arms.get(name, {})) for name in (ORIGINAL, RETRAINED))
    if knows is None or never is None or knows > max(1.5 * never, never + _LEAST_KNOWN):
        return ""
    return (
        f"The original model gives forgotten answers a probability of {knows:.2g} and the retrained one {never:.2g}: "
        "it had learnt nothing that could be forgotten, so nothing here tells the arms apart. Teach it for longer, or "
        "choose a larger model."
    )


def _aims(arms: Mapping[str, Arm], ranked: Mapping[str, Mapping[str, Verdict]]) -> Iterator[Block]:
    yield Heading("Aims")
    yield Bullets(tuple(f"{aim}: {wish}" for aim, wish in AIMS.items()))
    yield Words(
        "The nearest arm meets the most aims; between equals, the one with fewer that could not be told. Of the "
        "membership attacks, the one whose AUC is farthest from the retrained model's counts."
    )
    known = {name: verdicts_of(arms[name], arms) for name in (RETRAINED, ORIGINAL) if name in arms}
    rows = [(name, *(verdict.measured for verdict in verdicts.values())) for name, verdicts in known.items()]
    rows += [(name, *(verdict.cell for verdict in verdicts.values())) for name, verdicts in ranked.items()]
    yield Table(("arm", *AIMS), tuple(rows))
    if over := [name for name, verdicts in ranked.items() if any(verdict.over for verdict in verdicts.values())]:
        yield Words(
            f"Over-forgotten: {listed(over)}. An AUC far below the retrained model's is a failure too: it tells "
            "that something was removed as surely as one far above tells that it is still there."
        )


def _measured(arms: Mapping[str, Arm], looks: Looks) -> Iterator[Block]:
    yield Heading("Figures")
    yield Words("↑ higher is better, ↓ lower is better, ≈ the nearer to the retrained model's the better; n: rows.")
    yield from _pictures(arms, looks)
    for title, metrics in TABLES.items():
        head = ("arm", *(metric.head(arms.values()) for metric in metrics))
        rows = ((_label(name, arm), *(shown(m.of(arm), m.form) for m in metrics)) for name, arm in arms.items())
        yield Table(head, tuple(rows), title)
    parts = dict.fromkeys(part for arm in arms.values() for part in mapping(part_of(arm, UTILITY_PARTS)))
    if parts:
        metrics = tuple(Metric(part, "↑", (*UTILITY_PARTS, part)) for part in parts)
        rows = ((name, *(shown(m.of(arm), m.form) for m in metrics)) for name, arm in arms.items())
        yield Table(("arm", *parts), tuple(rows), "Parts of the utility", folded=True)


def _pictures(arms: Mapping[str, Arm], looks: Looks) -> Iterator[Block]:
    best = UTILITY.of(arms.get(ORIGINAL, {}))
    plane = {name: (UTILITY.of(arm), 1.0 if name == RETRAINED else QUALITY.of(arm)) for name, arm in arms.items()}
    points = {name: (x, y) for name, (x, y) in plane.items() if x is not None and y is not None}
    if points:
        yield Picture(
            plots.plane(points, looks, aim=None if best is None else (0.99 * best, 0.5)),
            "Forget quality against model utility. Star: the retrained model; square: the original; hollow: changed "
            f"weights; shaded: both aims met. A p below {plots.FLOOR:g} is drawn there.",
        )
    shares = {name: [metric.of(arm) for metric in LEAKS] for name, arm in arms.items()}
    if shares := {name: found for name, found in shares.items() if any(share is not None for share in found)}:
        ticks = ("greedy", "any of 1", "any of 8", "any of 32")
        asked = [place for place in range(len(ticks)) if any(found[place] is not None for found in shares.values())]
        shares = {name: [found[place] for place in asked] for name, found in shares.items()}
        drawn = plots.leaks(shares, looks, ticks=[ticks[place] for place in asked])
        yield Picture(drawn, "leak@k: facts told greedily, and in any of k samples.")


def _by_slice(heading: str, slices: Slices, caption: str, shows: Mapping[str, Show]) -> Iterator[Block]:
    """A heat map of the first of `shows`, and a table of each."""
    yield Heading(heading)
    columns = list(dict.fromkeys(arm for cells in slices.values() for arm in cells))
    for place, (key, show) in enumerate(shows.items() if slices else ()):
        values = {row: {arm: number(rates.get(key)) for arm, rates in at.items()} for row, at in slices.items()}
        if place == 0:
            yield Picture(plots.heat(values, columns), caption)
        rows = ((_with_n(row, slices[row]), *(show(at.get(arm)) for arm in columns)) for row, at in values.items())
        yield Table((key, *columns), tuple(rows))
    if not slices:
        yield Words("Not measured.")


def _with_n(row: str, cells: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{row} (n {' or '.join(sorted({text(rates.get('n')) for rates in cells.values()}))})"


def _harness(arms: Mapping[str, Arm]) -> Iterator[Block]:
    """Every task's metrics, in the harness's own names."""
    scores = {name: mapping(arm.get("harness")) for name, arm in arms.items() if arm.get("harness")}
    errors = {name: text(arm["harness_error"]) for name, arm in arms.items() if arm.get("harness_error")}
    columns = dict.fromkeys((task, metric) for tasks in scores.values() for task in tasks for metric in tasks[task])
    if columns or errors:
        yield Heading("lm-evaluation-harness")
    if errors:
        yield Bullets(tuple(f"{name} was not measured: {error}" for name, error in errors.items()))
    if not columns:
        return
    yield Words("Asked over HTTP through a gateway that serves the arm; metrics by the harness's own names.")
    rows = (
        (name, *(shown(number(mapping(tasks.get(task)).get(metric))) for task, metric in columns))
        for name, tasks in scores.items()
    )
    yield Table(("arm", *(f"{task}: {metric}" for task, metric in columns)), tuple(rows))


def _cost(arms: Mapping[str, Arm], looks: Looks) -> Iterator[Block]:
    shows = {
        "tuning_seconds": plots.seconds,
        "training_seconds": plots.seconds,
        "artifact_bytes": plots.size,
        "seconds_per_answer": plots.seconds,
    }
    titles = ("tuning", "training", "what is kept", "one answer")
    panels = {
        title: {name: (value := number(arm.get(key)), show(value)) for name, arm in arms.items()}
        for title, (key, show) in zip(titles, shows.items(), strict=True)
    }
    yield Heading("Cost")
    if arms:
        yield Picture(
            plots.bars({title: found for title, found in panels.items() if title != "tuning"}, looks),
            "Training time, size on disk, time for an answer; bars are logarithmic.",
        )
    yield Words(
        "Training is what the takedowns took: of a guard, its gate and the search for a recipe or the learning; of "
        "changed weights, the last run alone, and the trials that chose its settings are the tuning."
    )
    yield Table(("arm", *titles), tuple((name, *(found[name][1] for found in panels.values())) for name in arms))


def _failures(arms: Mapping[str, Arm]) -> Iterator[Block]:
    failed = {name: arm for name, arm in arms.items() if has_failed(arm)}
    if failed:
        yield Heading("Failed arms")
    for name, arm in failed.items():
        losses = list(arm.get("losses") or [])
        yield Heading(name, level=3)
        yield Words(text(arm.get("error")))
        if losses:
            yield Picture(plots.loss(losses), f"Loss of {name}; a cross: no finite number.")
            steps = sorted({*range(0, len(losses), max(1, len(losses) // 20)), len(losses) - 1})
            rows = ((str(step + 1), text(losses[step])) for step in steps)
            yield Table(("step", "loss"), tuple(rows), f"Losses of {name}", folded=True)


def _tuning(arms: Mapping[str, Arm]) -> Iterator[Block]:
    yield Heading("Settings and tuning")
    for name, arm in arms.items():
        trials = [mapping(trial) for trial in arm.get("trials") or []]
        kind, status, budget = _texts(arm, "kind", "status", "budget_trials")
        tuned = f"; tuned in {len(trials)} trials of a budget of {budget}" if trials or budget != plots.NONE else ""
        yield Heading(name, level=3)
        yield Words(f"{kind}, {status}{tuned}. Settings: {text(arm.get('settings') or arm.get('arm'))}.")
        if trials:
            rows = ((str(place), *_texts(trial, "settings", "score")) for place, trial in enumerate(trials, 1))
            yield Table(("trial", "settings", "score"), tuple(rows), f"Trials of {name}", folded=True)


def _texts(found: Mapping[str, Any], *keys: str) -> list[str]:
    return [text(found.get(key)) for key in keys]


def _conditions(results: Mapping[str, Any], arms: Mapping[str, Arm]) -> Iterator[Block]:
    environment = {**mapping(results.get("environment")), "seed": results.get("seed")}
    yield Heading("How it was measured")
    for head, found in ((("asked", "n"), mapping(results.get("items"))), (("environment", ""), environment)):
        yield Table(head, tuple((str(name), text(value)) for name, value in found.items()))
    yield Heading("Caveats")
    yield Bullets((*_power(arms), *CAVEATS, *map(text, results.get("notes") or ())))


def _power(arms: Mapping[str, Arm]) -> Iterator[str]:
    """What the smallest sample of forget quality can show. Two-sample Kolmogorov-Smirnov, 5%: 1.358 sqrt(1/n + 1/m)."""
    sizes = [[figure(arm, path) for path in QUALITY_ROWS] for arm in arms.values()]
    if known := [(n, m or n) for n, m in sizes if n]:
        n, m = min(known)
        apart = 1.358 * math.sqrt(1 / n + 1 / m)
        yield (
            f"Low power: forget quality compares {n:g} truth ratios with {m:g}. Distributions less than {apart:.2f} "
            "apart (Kolmogorov-Smirnov) pass for the same at the 5% level; a high p proves nothing."
        )


def _label(name: str, arm: Arm) -> str:
    return f"{name} (failed)" if has_failed(arm) else name
