"""What the report says: a comparison's results as blocks of a document, from the summary to the caveats."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.compare.metrics.forget_quality import RAW_P, ROWS
from benchmarks.compare.metrics.leaks import LEAK_RATES
from benchmarks.compare.metrics.memorisation import PROBABILITY
from benchmarks.compare.metrics.metric import HIGHER, Figure, Metric, slices_of
from benchmarks.compare.metrics.registry import METRICS, tables
from benchmarks.compare.metrics.utility import PARTS, UTILITY_VALUE
from benchmarks.compare.report import drawings
from benchmarks.compare.report.aims import AIMS, AimVerdict, nearness, ranked_arms, verdicts_of
from benchmarks.compare.report.document import Block, Bullets, Heading, Picture, ReportTable, Words
from benchmarks.compare.report.formats import listed, seconds, shown, size, text
from benchmarks.compare.results import ORIGINAL, RETRAINED, ArmResult, Results, number

__all__ = ["story", "title_of"]

Arms = Mapping[str, ArmResult]
Looks = Mapping[str, drawings.Look]
_LEAST_KNOWN = 0.02  # of the probability of an answer: less was not learnt, whatever the ratio

_ARMS = (
    "original: the model that was taught everything. retrain: taught everything but what is to be forgotten; it is the "
    "target in everything, and not zero recall: an arm below it has over-forgotten. Guardrails leave the weights "
    "alone; the other arms change them."
)
_CAVEATS = (
    "One seed: what another seed would change is not known, and smaller differences between arms say nothing.",
    "No arm saw the retrained model. Another one, retrained with another seed, would reach a forget quality of .5 only "
    "every second time: p is uniform where there is no difference.",
    "Probability, truth ratios (forget quality), memorisation, extraction strength and membership are teacher-forced: "
    "the true answer is scored. ROUGE-L, leaks, repetition, relevance and distinguishability are of answers that were "
    "generated. In both the guard sees the prompt alone, never the true answer.",
)


def title_of(results: Results) -> str:
    """The report's title."""
    return f"Unrecall compare: {text(results.suite)}"


def story(results: Results) -> Iterator[Block]:
    """Every block of the report, in order. What was not measured is printed as –."""
    arms = results.arms
    ranked = ranked_arms(arms)
    yield Heading(title_of(results), level=1)
    yield Words(f"Model {text(results.model)}, seed {text(results.seed)}, {text(results.environment.get('date'))}.")
    yield Heading("In short")
    yield Words(_in_short(arms, ranked))
    yield from _aims(arms, ranked)
    looks = drawings.looks({name: str(arm.kind) for name, arm in arms.items()}, original=ORIGINAL, retrained=RETRAINED)
    yield Heading("How to read the figures")
    yield Bullets((_ARMS, *(metric.explained for metric in METRICS.values() if metric.explained)))
    yield from _measured(arms, looks)
    for metric in METRICS.values():
        yield from _by_slice(metric, arms)
    yield from _harness(arms)
    yield from _cost(arms, looks)
    yield from _failures(arms)
    yield from _tuning(arms)
    yield from _conditions(results)


def _in_short(arms: Arms, ranked: Mapping[str, Mapping[str, AimVerdict]]) -> str:
    aimed = bool(arms.get(RETRAINED, ArmResult()).summary)
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
    if failed := [name for name, arm in arms.items() if arm.failed]:
        sentences.append(f"Failed, and so not judged: {listed(failed)}.")
    return " ".join(sentences)


def _met(aims: int, untold: int) -> str:
    return f"{aims} of {len(AIMS)} aims met" + (f", {untold} could not be told" if untold else "")


def _nothing_learnt(arms: Arms) -> str:
    """What there is to say if the original model does not know more of the forgotten than the retrained one."""
    knows, never = (PROBABILITY.of(arms.get(name, ArmResult())) for name in (ORIGINAL, RETRAINED))
    if knows is None or never is None or knows > max(1.5 * never, never + _LEAST_KNOWN):
        return ""
    return (
        f"The original model gives forgotten answers a probability of {knows:.2g} and the retrained one {never:.2g}: "
        "it had learnt nothing that could be forgotten, so nothing here tells the arms apart. Teach it for longer, or "
        "choose a larger model."
    )


def _aims(arms: Arms, ranked: Mapping[str, Mapping[str, AimVerdict]]) -> Iterator[Block]:
    yield Heading("Aims")
    yield Bullets(tuple(f"{aim}: {wish}" for aim, wish in AIMS.items()))
    yield Words(
        "The nearest arm meets the most aims; between equals, the one with fewer that could not be told. Of the "
        "membership attacks, the one whose AUC is farthest from the retrained model's counts."
    )
    known = {name: verdicts_of(arms[name], arms) for name in (RETRAINED, ORIGINAL) if name in arms}
    rows = [(name, *(verdict.measured for verdict in verdicts.values())) for name, verdicts in known.items()]
    rows += [(name, *(verdict.cell for verdict in verdicts.values())) for name, verdicts in ranked.items()]
    yield ReportTable(("arm", *AIMS), tuple(rows))
    if over := [name for name, verdicts in ranked.items() if any(verdict.over for verdict in verdicts.values())]:
        yield Words(
            f"Over-forgotten: {listed(over)}. An AUC far below the retrained model's is a failure too: it tells "
            "that something was removed as surely as one far above tells that it is still there."
        )


def _measured(arms: Arms, looks: Looks) -> Iterator[Block]:
    yield Heading("Figures")
    yield Words("↑ higher is better, ↓ lower is better, ≈ the nearer to the retrained model's the better; n: rows.")
    yield from _pictures(arms, looks)
    for title, figures in tables().items():
        yield _table(title, figures, arms)
    parts = dict.fromkeys(part for arm in arms.values() for part in arm.group(*PARTS))
    if parts:
        figures = tuple(Figure((*PARTS, part), HIGHER, part) for part in parts)
        rows = ((name, *(one.shown(one.of(arm)) for one in figures)) for name, arm in arms.items())
        yield ReportTable(("arm", *parts), tuple(rows), "Parts of the utility", folded=True)


def _table(title: str, figures: tuple[Figure, ...], arms: Arms) -> ReportTable:
    head = ("arm", *(figure.head(arms.values()) for figure in figures))
    rows = ((_label(name, arm), *(one.shown(one.of(arm)) for one in figures)) for name, arm in arms.items())
    return ReportTable(head, tuple(rows), title)


def _pictures(arms: Arms, looks: Looks) -> Iterator[Block]:
    best = UTILITY_VALUE.of(arms.get(ORIGINAL, ArmResult()))
    plane = {name: (UTILITY_VALUE.of(arm), 1.0 if name == RETRAINED else RAW_P.of(arm)) for name, arm in arms.items()}
    points = {name: (x, y) for name, (x, y) in plane.items() if x is not None and y is not None}
    if points:
        yield Picture(
            drawings.plane(points, looks, aim=None if best is None else (0.99 * best, 0.5)),
            "Forget quality against model utility. Star: the retrained model; square: the original; hollow: changed "
            f"weights; shaded: both aims met. A p below {drawings.FLOOR:g} is drawn there.",
        )
    shares = {name: [figure.of(arm) for figure in LEAK_RATES] for name, arm in arms.items()}
    if shares := {name: found for name, found in shares.items() if any(share is not None for share in found)}:
        ticks = ("greedy", "any of 1", "any of 8", "any of 32")
        asked = [place for place in range(len(ticks)) if any(found[place] is not None for found in shares.values())]
        shares = {name: [found[place] for place in asked] for name, found in shares.items()}
        drawn = drawings.leaks(shares, looks, ticks=[ticks[place] for place in asked])
        yield Picture(drawn, "leak@k: facts told greedily, and in any of k samples.")


def _by_slice(metric: Metric, arms: Arms) -> Iterator[Block]:
    """The section of a metric that has figures for every slice: a heat map of the first, and a table of each."""
    if metric.slices is None:
        return
    yield Heading(metric.slices.heading)
    slices = slices_of(arms, metric)
    columns = list(dict.fromkeys(arm for cells in slices.values() for arm in cells))
    for place, figure in enumerate(metric.figures if slices else ()):
        key = figure.path[-1]
        values = {row: {arm: number(rates.get(key)) for arm, rates in at.items()} for row, at in slices.items()}
        if place == 0:
            yield Picture(drawings.heat(values, columns), metric.slices.caption)
        rows = (
            (_with_n(row, slices[row]), *(figure.shown(at.get(arm)) for arm in columns)) for row, at in values.items()
        )
        yield ReportTable((key, *columns), tuple(rows))
    if not slices:
        yield Words("Not measured.")


def _with_n(row: str, cells: Mapping[str, Mapping[str, Any]]) -> str:
    return f"{row} (n {' or '.join(sorted({text(rates.get('n')) for rates in cells.values()}))})"


def _harness(arms: Arms) -> Iterator[Block]:
    """Every task's metrics, in the harness's own names."""
    scores = {name: arm.harness for name, arm in arms.items() if arm.harness}
    errors = {name: text(arm.harness_error) for name, arm in arms.items() if arm.harness_error}
    columns = dict.fromkeys((task, metric) for tasks in scores.values() for task in tasks for metric in tasks[task])
    if columns or errors:
        yield Heading("lm-evaluation-harness")
    if errors:
        yield Bullets(tuple(f"{name} was not measured: {error}" for name, error in errors.items()))
    if not columns:
        return
    yield Words("Asked over HTTP through a gateway that serves the arm; metrics by the harness's own names.")
    rows = (
        (name, *(shown(number(tasks.get(task, {}).get(metric))) for task, metric in columns))
        for name, tasks in scores.items()
    )
    yield ReportTable(("arm", *(f"{task}: {metric}" for task, metric in columns)), tuple(rows))


def _cost(arms: Arms, looks: Looks) -> Iterator[Block]:
    panels = {
        "tuning": {name: (arm.tuning_seconds, seconds(arm.tuning_seconds)) for name, arm in arms.items()},
        "training": {name: (arm.training_seconds, seconds(arm.training_seconds)) for name, arm in arms.items()},
        "what is kept": {name: (arm.artifact_bytes, size(arm.artifact_bytes)) for name, arm in arms.items()},
        "one answer": {name: (arm.seconds_per_answer, seconds(arm.seconds_per_answer)) for name, arm in arms.items()},
    }
    yield Heading("Cost")
    if arms:
        yield Picture(
            drawings.bars({title: found for title, found in panels.items() if title != "tuning"}, looks),
            "Training time, size on disk, time for an answer; bars are logarithmic.",
        )
    yield Words(
        "Training is the time for all forget requests: of a guard, its gate and the learning of its method; of "
        "changed weights, the last run alone, and the trials that chose its settings are the tuning."
    )
    yield ReportTable(("arm", *panels), tuple((name, *(found[name][1] for found in panels.values())) for name in arms))


def _failures(arms: Arms) -> Iterator[Block]:
    failed = {name: arm for name, arm in arms.items() if arm.failed}
    if failed:
        yield Heading("Failed arms")
    for name, arm in failed.items():
        losses = arm.losses
        yield Heading(name, level=3)
        yield Words(text(arm.error))
        if losses:
            yield Picture(drawings.loss(losses), f"Loss of {name}; a cross: no finite number.")
            steps = sorted({*range(0, len(losses), max(1, len(losses) // 20)), len(losses) - 1})
            rows = ((str(step + 1), text(losses[step])) for step in steps)
            yield ReportTable(("step", "loss"), tuple(rows), f"Losses of {name}", folded=True)


def _tuning(arms: Arms) -> Iterator[Block]:
    yield Heading("Settings and tuning")
    for name, arm in arms.items():
        tuned = ""
        if arm.trials or arm.budget_trials is not None:
            tuned = f"; tuned in {len(arm.trials)} trials of a budget of {text(arm.budget_trials)}"
        yield Heading(name, level=3)
        yield Words(f"{text(arm.kind)}, {text(arm.status)}{tuned}. Settings: {text(arm.settings)}.")
        if arm.trials:
            rows = ((str(place), text(trial.settings), text(trial.score)) for place, trial in enumerate(arm.trials, 1))
            yield ReportTable(("trial", "settings", "score"), tuple(rows), f"Trials of {name}", folded=True)


def _conditions(results: Results) -> Iterator[Block]:
    environment = {**results.environment, "seed": results.seed}
    yield Heading("How it was measured")
    for head, found in ((("asked", "n"), results.items), (("environment", ""), environment)):
        yield ReportTable(head, tuple((str(name), text(value)) for name, value in found.items()))
    yield Heading("Caveats")
    yield Bullets((*_power(results.arms), *_CAVEATS, *map(text, results.notes)))


def _power(arms: Arms) -> Iterator[str]:
    """What the smallest sample of forget quality can show. Two-sample Kolmogorov-Smirnov, 5%: 1.358 sqrt(1/n + 1/m)."""
    sizes = [[arm.figure(path) for path in ROWS] for arm in arms.values()]
    if known := [(n, m or n) for n, m in sizes if n]:
        n, m = min(known)
        apart = 1.358 * math.sqrt(1 / n + 1 / m)
        yield (
            f"Low power: forget quality compares {n:g} truth ratios with {m:g}. Distributions less than {apart:.2f} "
            "apart (Kolmogorov-Smirnov) pass for the same at the 5% level; a high p proves nothing."
        )


def _label(name: str, arm: ArmResult) -> str:
    return f"{name} (failed)" if arm.failed else name
