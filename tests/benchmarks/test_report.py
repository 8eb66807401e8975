"""The report: every arm and figure is there, the right arms fall short, and nothing in it runs, loads or breaks out."""

import copy
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare.report import write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = '<script>alert(1)</script> | "q" & $x$ _y_ *z* [a](b) `c`'
AIMED = {
    "forget_quality": {"raw_p": 0.62, "eco_compatible_p": 0.71, "n": 40, "n_retrained": 40},
    "utility": {"value": 0.612, "parts": {"retain_probability": 0.981, "world_facts_truth": 0.433}},
    "forget": {
        "probability": 0.123,
        "rouge_l": 0.345,
        "exact_memorisation": 0.456,
        "extraction_strength": 0.067,
        "n": 40,
    },
    "mia": {"loss_auc": 0.51, "min_k_auc": 0.52, "min_k_plus_auc": 0.53, "n_members": 39, "n_non_members": 41},
    "mia_distance": 0.03,
    "leak": {"greedy": 0.011, "at_1": 0.022, "at_8": 0.055, "at_32": 0.099, "n": 38, "samples": 32},
    "repetition": 0.04,
    "relevance": {"value": 0.59, "retrained": 0.6, "n": 40},
    "distinguishability_auroc": 0.57,
    "gate": {
        "forget": {"kind": "fnr", "rate": 0.017, "flagged": 0.983, "n": 120, "interval": [0.005, 0.06]},
        "general": {"kind": "fpr", "rate": 0.0002, "flagged": 0.0002, "n": 4526},
    },
    "attacks": {
        "attack/noise-prefix": {"leak": 0.13, "probability": 0.141, "flagged": 0.875, "n": 32},
        "attack/composite": {"leak": 0.66, "probability": 0.777, "flagged": None, "n": 31},
    },
    "identical": {"share": 0.958, "n": 117},
}


def summary(**changes: Any) -> dict[str, Any]:
    """An arm that meets every aim, but for `changes`: forget__probability=.9 is ["forget"]["probability"]."""
    made = copy.deepcopy(AIMED)
    for path, value in changes.items():
        *above, last = path.split("__")
        inner: dict[str, Any] = made
        for key in above:
            inner = inner[key]
        inner[last] = value
    return made


def arm(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "status": "done",
        "error": None,
        "losses": None,
        "settings": {"lr": 0.0001, "epochs": 3},
        "trials": [{"settings": {"lr": 0.0001}, "score": 0.8123}, {"settings": {"lr": 0.003}, "score": 0.1987}],
        "budget_trials": 5,
        "training_seconds": 432.0,
        "artifact_bytes": 3_400_000,
        "seconds_per_answer": 0.217,
        "summary": summary(),
        **changes,
    }


def made_up() -> dict[str, Any]:
    """eco meets every aim; npo has not forgotten, ga has forgotten too much, refusal cannot be judged on most."""
    knows = summary(forget_quality__raw_p=0.0123, mia__loss_auc=0.91, distinguishability_auroc=0.88)
    broken = summary(mia__min_k_auc=0.17, utility__value=0.306, repetition=0.52, relevance__value=0.12)
    silent = {"utility": {"value": 0.61}, "forget": {"probability": 0.0, "n": 40}, "forget_quality": None, "mia": None}
    return {
        "suite": "fictitious",
        "model": "SmolLM2-135M-Instruct",
        "environment": {
            "date": "2031-02-03T04:05:06+00:00",
            "processor": "abacus",
            "cores": 2,
            "tools": {"torch": "9.8.7"},
        },
        "seed": 4711,
        "notes": ["The retain rows are near ones."],
        "items": {"forget": 40, "retain": 77},
        "arms": {
            "original": arm(
                "baseline", summary=summary(forget_quality__raw_p=1e-9, forget__probability=0.9), training_seconds=0.0
            ),
            "retrain": arm("baseline", summary=summary(forget_quality=None, relevance__value=0.6)),
            "eco": arm("guardrail"),
            "input-filter": arm("guardrail", summary=silent),
            "npo": arm("weights", summary=knows, tuning_seconds=1116.0),
            "ga": arm("weights", summary=broken),
            "rmu": arm(
                "weights",
                status="failed",
                error="loss became NaN at step 3",
                losses=[2.5, 7.25, float("nan")],
                summary={},
            ),
        },
    }


class Page(HTMLParser):
    """Holds a page to well-formedness, and keeps what it shows and what it names."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def attributes(self) -> list[tuple[str, str]]:
        return [(name, value or "") for _, attrs in self.seen for name, value in attrs.items()]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


def written(results: dict[str, Any], folder: Path) -> tuple[Page, str]:
    write_report(results, folder / "report")
    html, markdown = ((folder / "report" / f"report.{ending}").read_text("utf-8") for ending in ("html", "md"))
    return Page(html), markdown


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str]:
    return written(made_up(), tmp_path_factory.mktemp("report"))


def sentence(text: str, start: str) -> str:
    """The sentence of the summary that begins so, to the end of its list of arms."""
    found = re.search(rf"{re.escape(start)}.*?\)\.", text)
    assert found, f"no sentence begins with {start!r}"
    return found[0]


def test_every_arm_and_figure_appears_in_both(report: tuple[Page, str]) -> None:
    page, markdown = report
    figures = """0.62 0.71 0.57 0.51 0.52 0.53 0.03 0.123 0.345 0.456 0.067 1.1% 2.2% 5.5% 9.9% 0.612 95.8% 0.040
        0.590 0.981 0.433 1.7% 0.02% 13% 66% 0.141 0.777 87.5% 7.2 min 18.6 3.4 0.217 0.8123 0.1987 4711
        abacus 9.8.7 77""".split()
    for figure in [*figures, *made_up()["arms"], "noise-prefix", "composite", "retain_probability", "near ones"]:
        assert figure in page.text, figure
        assert figure in markdown.replace("\\_", "_"), figure


def test_headers_show_directions_and_rows(report: tuple[Page, str]) -> None:
    for head in ("forget quality, raw p ↑ (n 40)", "leak, @32 ↓ (n 38)", "loss MIA AUC ≈ (n 39)"):
        assert head in report[0].text


def test_pictures_are_drawn_into_the_page_and_described(report: tuple[Page, str]) -> None:
    drawn = [attrs for tag, attrs in report[0].seen if tag == "svg"]
    assert len(drawn) == 6  # plane, leaks, attacks, gate, cost, the failed arm's losses
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawn)
    assert "<svg" not in report[1]


def test_ids_are_unique_and_all_that_is_pointed_at_is_there(report: tuple[Page, str]) -> None:
    ids = [value for name, value in report[0].attributes if name == "id"]
    assert len(ids) == len(set(ids))
    pointed = [value for name, value in report[0].attributes if name in {"href", "xlink:href"}]
    pointed += [found for _, value in report[0].attributes for found in re.findall(r"url\((.*?)\)", value)]
    assert pointed
    assert {value.removeprefix("#") for value in pointed} <= set(ids)


def test_nothing_runs_and_nothing_is_loaded(report: tuple[Page, str]) -> None:
    page, markdown = report
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "link", "iframe", "object", "embed", "img", "image", "base", "form", "a"}
    for name, value in page.attributes:
        assert "://" not in value or name.startswith("xmlns"), (name, value)
        assert not name.startswith("on")
    assert "://" not in markdown
    assert "@import" not in page.rawdata


def test_the_summary_names_the_nearest_arm_and_the_arms_that_fall_short(report: tuple[Page, str]) -> None:
    text = report[0].text
    assert "Nearest to the retrained model: eco (6 of 6 aims met)." in text
    short = {
        "forget quality": "npo (by 0.49)",
        "utility": "ga (by 0.49)",
        "membership": "npo (by 0.35) and ga (by 0.3, over-forgotten)",
        "fluency": "ga (by 0.45)",
        "relevance": "ga (by 0.75)",
        "distinguishability": "npo (by 0.28)",
    }
    for aim, arms in short.items():
        assert sentence(text, f"Short of {aim} (").endswith(f": {arms}."), aim
    assert "Failed, and so not judged: rmu." in text


def test_arms_are_equally_near_if_they_meet_the_same(tmp_path: Path) -> None:
    results = made_up()
    results["arms"]["spul"] = arm("guardrail")
    assert "eco (6 of 6 aims met) and spul (6 of 6 aims met)." in written(results, tmp_path)[0].text


@pytest.mark.parametrize(
    ("changes", "aim", "short"),
    [
        ({"forget_quality__raw_p": 0.5}, "forget quality", False),
        ({"forget_quality__raw_p": 0.49}, "forget quality", True),
        ({"utility__value": 0.612 * 0.99}, "utility", False),
        ({"utility__value": 0.612 * 0.98}, "utility", True),
        ({"mia__min_k_plus_auc": 0.48}, "membership", False),
        ({"mia__min_k_plus_auc": 0.59}, "membership", True),
        ({"repetition": 0.08}, "fluency", False),
        ({"repetition": 0.1}, "fluency", True),
        ({"relevance__value": 0.63}, "relevance", False),
        ({"relevance__value": 0.64}, "relevance", True),
        ({"distinguishability_auroc": 0.6}, "distinguishability", False),
        ({"distinguishability_auroc": 0.61}, "distinguishability", True),
    ],
)
def test_an_aim_is_met_up_to_its_bound(changes: dict[str, float], aim: str, short: bool, tmp_path: Path) -> None:
    results = made_up()
    undrawn: dict[str, Any] = {"leak": None, "attacks": None, "gate": None}  # drawing takes the time
    known = arm("baseline", summary=summary(**undrawn, relevance__value=0.6))
    results["arms"] = {
        "original": arm("baseline", summary=summary(**undrawn, forget__probability=0.9)),
        "retrain": known,
        "eco": arm("guardrail", summary=summary(**undrawn, **changes)),
    }
    markdown = written(results, tmp_path)[1]
    assert (f"Short of {aim} (" in markdown) is short
    assert f"{5 if short else 6} of 6 aims met" in markdown


def test_over_forgetting_is_a_failure_too(report: tuple[Page, str]) -> None:
    assert "Over-forgotten: ga." in report[0].text
    assert "✗ min-k MIA AUC 0.17 against 0.52; misses by 0.3, over-forgotten" in report[0].text


def test_a_failed_arm_is_shown_with_its_error_and_curve(report: tuple[Page, str]) -> None:
    page, markdown = report
    assert "loss became NaN at step 3" in page.text
    assert any(attrs.get("aria-label", "").startswith("Loss of rmu") for tag, attrs in page.seen if tag == "svg")
    for row in ("| 1 | 2.5 |", "| 2 | 7.25 |", "| 3 | nan |", "| rmu (failed) | – |"):
        assert row in markdown


def test_the_power_of_few_rows_is_told(report: tuple[Page, str]) -> None:
    assert "compares 40 truth ratios with 40. Distributions less than 0.30 apart" in report[0].text


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    results = made_up()
    results["arms"][HOSTILE] = arm("weights", status="failed", error=HOSTILE, losses=[1.0, 2.0], settings={HOSTILE: 1})
    results["arms"][f"_{HOSTILE}"] = arm(HOSTILE)
    results["arms"]["--></svg><b>"] = arm("guardrail", summary=summary(attacks={HOSTILE: {"leak": 1.0, "n": 1}}))
    results["notes"] = [HOSTILE, "two\nlines", "half a letter: \ud83d"]
    results["suite"] = results["model"] = HOSTILE
    page, markdown = written(results, tmp_path)
    assert {tag for tag, _ in page.seen}.isdisjoint({"script", "b"})
    assert page.text.count(HOSTILE) > 8
    assert "<script" not in markdown.replace("\\<", "")
    assert not re.search(r"(?<!\\)[\[`]", markdown)
    assert "- two lines" in markdown


def test_markdown_tables_have_as_many_cells_as_their_heads(tmp_path: Path) -> None:
    results = made_up()
    results["arms"][HOSTILE] = arm("weights")
    width = 0
    for line in written(results, tmp_path)[1].splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert width in (0, bars) or bars == 0, line
        width = bars


@pytest.mark.parametrize("keep", [(), ("original",), ("retrain", "eco"), ("rmu", "npo")])
def test_a_missing_value_is_a_dash(keep: tuple[str, ...], tmp_path: Path) -> None:
    results = made_up()
    for name in results["arms"].keys() - set(keep):
        blank = {"attacks": {"x": None}} if name == "ga" else dict.fromkeys(AIMED)
        results["arms"][name] = {**dict.fromkeys(arm("weights")), "summary": blank}
    page, markdown = written(results, tmp_path)
    assert "None" not in page.text + markdown
    assert page.text.split().count("nan") == keep.count("rmu")  # a loss that was no number is told as it was
    assert "–" in page.text


@pytest.mark.parametrize(
    "results", [{}, {"arms": {}}, {"arms": {"eco": {}}}, {"arms": {"eco": {"summary": None}}, "notes": None}]
)
def test_next_to_nothing_is_a_page(results: dict[str, Any], tmp_path: Path) -> None:
    page, _ = written(results, tmp_path)
    assert "No arm meets an aim." in page.text
    assert "There is no retrained model here" in page.text


@pytest.mark.parametrize(("original", "retrained"), [(0.13, 0.123), (5e-5, 2e-5)])
def test_a_model_that_never_learnt_is_said_before_anything_else(
    original: float, retrained: float, tmp_path: Path
) -> None:
    results = made_up()
    for name, probability in (("original", original), ("retrain", retrained)):
        results["arms"][name]["summary"]["forget"]["probability"] = probability
    page, _ = written(results, tmp_path)
    assert "it had learnt nothing that could be forgotten" in page.text
    assert "Nearest to" not in page.text


def test_without_a_retrained_model_only_what_needs_none_is_judged(tmp_path: Path) -> None:
    results = made_up()
    del results["arms"]["retrain"]
    for found in results["arms"].values():
        found["summary"] = {**found["summary"], "forget_quality": None, "distinguishability_auroc": None}
    page, _ = written(results, tmp_path)
    assert "Nearest to the aims: " in page.text
    assert "eco (1 of 6 aims met, 5 could not be told)" in page.text
    assert "Short of utility" in page.text
    assert "Short of fluency" not in page.text


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    pages = [written(made_up(), tmp_path / name)[0].rawdata for name in ("one", "two")]
    assert pages[0] == pages[1]
