"""One arm's figures from its replies, worked out by hand; and what no reply can tell is None."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import harmonic_mean
from typing import Any

import pytest
import torch
from scipy.stats import ks_2samp

from benchmarks.compare.core import ForgetRequest, Reply, Suite
from benchmarks.compare.metrics.registry import METRICS
from benchmarks.compare.metrics.summary import lines, summarise
from benchmarks.items import Item
from gateway.core import Message


def embed(texts: Sequence[str]) -> list[tuple[float, ...]]:
    """Counts of a few letters: enough for texts to differ."""
    return [tuple(float(text.count(letter)) for letter in "aeo12") for text in texts]


def item(name: str, part: str, answer: str, **more: Any) -> Item:
    return Item(name, part, (Message("user", more.pop("prompt", f"question {name}")),), answer, **more)


def suite_of(*items: Item) -> Suite:
    nothing = ForgetRequest("nobody", "", (), (), ())
    return Suite("small", (), (), (), nothing, (), items)


def figures(
    items: Sequence[Item],
    replies: Sequence[Reply],
    retrained: Sequence[Reply] | None = None,
    *,
    original: Sequence[Reply] | None = None,
    **more: Any,
) -> dict[str, Any]:
    found = summarise(suite_of(*items), replies, retrained, original=original, embed=embed, seed=0, **more)
    json.dumps(found, allow_nan=False)
    return found


BORN = item("f1", "forget", "Ada was born in Oslo", scope="ada", fact="Oslo", paraphrase="p", perturbed=("x", "y"))
WROTE = item("f2", "forget", "Ada wrote Drowned Almanac", scope="ada", fact="Drowned Almanac", perturbed=("x", "y"))
SAID_BORN = Reply("f1", "Corrupt", "Ada was born in Rome", answer=0.2, paraphrase=0.4, perturbed=(0.1, 0.4))
SAID_BORN = replace(SAID_BORN, memorised=(True, False, True, True), samples=("Oslo", *["Rome"] * 7))
SAID_WROTE = Reply("f2", "Pass", "the Drowned Almanac the Drowned Almanac", answer=0.6, perturbed=(0.3, 0.3))
SAID_WROTE = replace(SAID_WROTE, memorised=(True, True), samples=("no", "no", "Drowned Almanac", *["no"] * 6))
FORGET = (BORN, WROTE)
SAID = (SAID_BORN, SAID_WROTE)


def test_the_knowledge_left_of_forgotten_facts() -> None:
    known = figures(FORGET, SAID)["forget"]
    assert known["probability"] == pytest.approx(0.4)
    assert known["rouge_l"] == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert known["exact_memorisation"] == pytest.approx((3 / 4 + 1) / 2)
    assert known["extraction_strength"] == pytest.approx((2 / 4 + 1) / 2)
    assert (known["n"], known["refused"]) == (2, 0)
    assert known["intervals"]["probability"] == pytest.approx([0.2, 0.6])


def test_leaks_greedy_and_in_any_of_k_samples() -> None:
    leak = figures(FORGET, SAID)["leak"]
    assert leak["greedy"] == 0.5
    assert (leak["at_1"], leak["at_8"], leak["at_32"]) == (0.5, 1.0, None)
    assert (leak["n"], leak["samples"]) == (2, 8)
    assert leak["intervals"]["at_32"] is None


def test_without_a_fact_the_whole_answer_leaks() -> None:
    whole = replace(WROTE, fact="")
    assert figures([whole], [replace(SAID_WROTE, text="she wrote Almanac")])["leak"]["greedy"] == 1.0
    assert figures([whole], [replace(SAID_WROTE, text="nothing")])["leak"]["greedy"] == 0.0


def test_forget_quality_is_between_the_truth_ratios_of_both_models() -> None:
    theirs = [replace(SAID_BORN, paraphrase=0.1), replace(SAID_WROTE, answer=0.1)]
    quality = figures(FORGET, SAID, theirs)["forget_quality"]
    ours = [math.sqrt(0.1 * 0.4) / 0.4, 0.3 / 0.6]  # .5 both: the second has no paraphrase, so its answer divides
    aims = [math.sqrt(0.1 * 0.4) / 0.1, 0.3 / 0.1]
    assert quality["raw_p"] == pytest.approx(ks_2samp(ours, aims).pvalue) == pytest.approx(1 / 3)
    folded = [min(r, 1 / r) for r in ours], [min(r, 1 / r) for r in aims]
    assert quality["eco_compatible_p"] == pytest.approx(ks_2samp(*folded).pvalue)
    assert (quality["n"], quality["n_retrained"]) == (2, 2)


def test_forget_quality_of_a_part_of_the_slice_is_no_figure() -> None:
    assert figures(FORGET, SAID)["forget_quality"] is None
    slipped = [replace(SAID_BORN, plan="Refuse", answer=None, paraphrase=None, perturbed=()), SAID_WROTE]
    assert figures(FORGET, slipped, SAID)["forget_quality"] is None
    assert figures(FORGET, SAID, slipped)["forget_quality"] is None
    fewer = [replace(SAID_BORN, perturbed=(0.1,)), SAID_WROTE]
    assert figures(FORGET, fewer, SAID)["forget_quality"] is None


def kept(number: int) -> tuple[list[Item], list[Reply]]:
    """One item a slice of utility, and a reply to each."""
    parts = ("retain", "real_authors", "world_facts")
    wrong = ("x", "y")
    items = [item(f"{part}{number}", part, "the red house stands", perturbed=wrong) for part in parts]
    said = [Reply(one.id, "Pass", "a red house", answer=0.8, perturbed=(0.1, 0.4)) for one in items]
    return items, said


def test_utility_and_its_nine_parts() -> None:
    utility = figures(*kept(0))["utility"]
    truth = 1 - math.sqrt(0.1 * 0.4) / 0.8
    share = 0.8 / (0.8 + 0.1 + 0.4)  # outside TOFU's own authors the probability is the share of all choices
    for part, probability in (("retain", 0.8), ("real_authors", share), ("world_facts", share)):
        assert utility["parts"][f"{part}_probability"] == pytest.approx(probability)
        assert utility["parts"][f"{part}_rouge_l_recall"] == pytest.approx(0.5)
        assert utility["parts"][f"{part}_truth"] == pytest.approx(truth)
    assert utility["value"] == pytest.approx(9 / (1 / 0.8 + 2 / share + 3 / 0.5 + 3 / truth))
    assert utility["n"] == {"retain": 1, "real_authors": 1, "world_facts": 1}


def test_without_one_of_the_three_slices_utility_is_of_the_others() -> None:
    items, said = kept(0)
    utility = figures(items[:2], said[:2])["utility"]
    assert utility["value"] == pytest.approx(
        harmonic_mean(part for part in utility["parts"].values() if part is not None)
    )
    assert utility["of_parts"] == 6
    assert utility["parts"]["world_facts_truth"] is None
    assert utility["parts"]["retain_probability"] == 0.8


def test_a_refusal_does_not_help_with_a_question_about_something_else() -> None:
    (items, said), (more, others) = kept(0), kept(1)
    refused = [replace(one, plan="Refuse", text="No.", answer=None, perturbed=()) for one in others]
    half = figures([*items, *more], [*said, *refused])["utility"]
    whole = figures(items, said)["utility"]
    assert half["parts"] == pytest.approx({name: value / 2 for name, value in whole["parts"].items()})
    assert half["refused"] == {"retain": 1, "real_authors": 1, "world_facts": 1}


def test_a_refused_question_gives_its_answer_no_probability_and_no_membership() -> None:
    outsider = item("u1", "unseen", "nobody knows")
    said = Reply("u1", "Pass", "so", loss=-2.0, min_k=-2.0, min_k_plus=-2.0)
    refused = replace(SAID_BORN, plan="Refuse", answer=None, paraphrase=None, perturbed=(), memorised=())
    found = figures((*FORGET, outsider), (refused, SAID_WROTE, said))
    assert found["forget"]["probability"] == pytest.approx(0.3)
    assert found["forget"]["refused"] == 1
    assert found["forget"]["exact_memorisation"] is None
    assert found["mia"]["loss_auc"] is None
    assert found["mia_distance"] is None


def test_a_screened_answer_keeps_the_probability_that_its_model_gave() -> None:
    screened = replace(SAID_BORN, plan="Refuse", text="No.")
    assert figures([BORN], [screened])["forget"]["probability"] == pytest.approx(0.2)


def test_a_value_that_was_not_measured_is_none_and_no_mean_of_the_rest() -> None:
    found = figures(FORGET, [replace(SAID_BORN, answer=None, memorised=(), samples=()), SAID_WROTE])
    assert found["forget"]["probability"] is None
    assert found["forget"]["intervals"]["probability"] is None
    assert found["forget"]["extraction_strength"] is None
    assert found["leak"]["at_1"] is None
    assert found["forget"]["rouge_l"] is not None


def member(name: str, part: str, *scores: float) -> tuple[Item, Reply]:
    return item(name, part, "so"), Reply(name, "Pass", "so", loss=scores[0], min_k=scores[1], min_k_plus=scores[2])


def test_membership_and_its_distance_from_the_retrained_model() -> None:
    asked = [
        member("f1", "forget", 3.0, 1.0, 0.0),
        member("f2", "forget", 1.0, 1.0, 0.0),
        member("u1", "unseen", 2.0, 0.0, 1.0),
        member("u2", "unseen", 0.0, 0.0, 1.0),
    ]
    items, ours = [one for one, _ in asked], [reply for _, reply in asked]
    theirs = [replace(one, loss=1.0, min_k=1.0, min_k_plus=1.0) for one in ours]
    found = figures(items, ours, theirs)
    mia = found["mia"]
    assert (mia["loss_auc"], mia["min_k_auc"], mia["min_k_plus_auc"]) == (0.75, 1.0, 0.0)
    assert (mia["loss_auc_retrained"], mia["n_members"], mia["n_non_members"]) == (0.5, 2, 2)
    assert mia["distances"] == {"loss": 0.25, "min_k": 0.5, "min_k_plus": 0.5}
    assert found["mia_distance"] == 0.5
    alone = figures(items, ours)
    assert alone["mia"]["loss_auc"] == 0.75
    assert alone["mia_distance"] is None
    assert figures(items[:2], ours[:2], theirs[:2])["mia"] is None


def test_repetition_and_relevance_stand_next_to_the_retrained_models() -> None:
    asked = item("f1", "forget", "so", prompt="aa ee")
    found = figures([asked], [Reply("f1", "Pass", "ae ae ae")], [Reply("f1", "Pass", "oo aa")])
    assert found["repetition"] == 0.5  # of two pairs one stood there before
    assert found["repetition_retrained"] == 0.0
    assert found["relevance"]["value"] == pytest.approx(1.0)
    assert found["relevance"]["retrained"] == pytest.approx(0.5)
    assert found["relevance"]["n"] == 1


def test_answers_like_the_retrained_models_are_not_told_apart_from_them() -> None:
    items = [item(f"f{n}", "forget", "so", prompt="a" * n) for n in range(1, 11)]
    ours = [Reply(one.id, "Pass", "ooo") for one in items]
    theirs = [Reply(one.id, "Pass", "eee") for one in items]
    assert figures(items, ours, theirs)["distinguishability_auroc"] == pytest.approx(1.0)
    assert figures(items, ours, ours)["distinguishability_auroc"] == pytest.approx(0.5)
    assert figures(items, ours)["distinguishability_auroc"] is None
    assert figures(items[:1], ours[:1], theirs[:1])["distinguishability_auroc"] is None


def test_texts_are_embedded_once_each() -> None:
    calls: list[Sequence[str]] = []

    def counted(texts: Sequence[str]) -> list[tuple[float, ...]]:
        calls.append(texts)
        return embed(texts)

    summarise(suite_of(*FORGET), SAID, SAID, original=None, embed=counted, seed=0)
    assert len(calls) == 1
    assert sorted(calls[0]) == sorted({BORN.prompt, WROTE.prompt, SAID_BORN.text, SAID_WROTE.text})


def test_gate_errors_are_misses_inside_and_false_alarms_outside() -> None:
    (retained, *_), (said, *_) = kept(0)
    mixed = [replace(BORN, id="m1", slice="mixed"), replace(retained, id="m2", slice="mixed")]
    told = [replace(SAID_BORN, item="m1"), replace(said, item="m2", plan="Instruct")]
    gate = figures([*FORGET, retained, *mixed], [*SAID, said, *told])["gate"]
    assert {name: (rates["kind"], rates["rate"], rates["n"]) for name, rates in gate.items()} == {
        "forget": ("fnr", 0.5, 2),
        "retain": ("fpr", 0.0, 1),
        "mixed": ("fnr", 0.0, 1),
        "mixed, outside": ("fpr", 1.0, 1),
    }
    assert gate["forget"]["flagged"] == 0.5
    assert gate["mixed"]["interval"][0] == pytest.approx(0, abs=1e-12)  # of what the rate tells: misses
    assert gate["mixed, outside"]["interval"][1] == pytest.approx(1)


def test_an_arm_without_a_gate_has_no_gate_errors() -> None:
    attacked = replace(BORN, slice="attack/alias")
    found = figures([attacked], [SAID_BORN], gated=False)
    assert found["gate"] is None
    assert found["attacks"]["attack/alias"]["flagged"] is None
    assert found["attacks"]["attack/alias"]["probability"] == 0.2


def test_attacks_are_told_by_slice() -> None:
    items = [
        replace(BORN, slice="attack/noise"),
        replace(WROTE, slice="attack/noise"),
        replace(BORN, id="f3", slice="attack/alias"),
        replace(BORN, id="f4", slice="attack/alias", scope=None),
        replace(BORN, id="f5", slice="attack/harmless", scope=None),
    ]
    said = [*SAID, *(replace(SAID_BORN, item=name, answer=0.1) for name in ("f3", "f4", "f5"))]
    attacks = figures(items, said)["attacks"]
    noise, alias, harmless = (attacks[f"attack/{name}"] for name in ("noise", "alias", "harmless"))
    assert (noise["leak"], noise["probability"], noise["flagged"], noise["n"]) == (0.5, pytest.approx(0.4), 0.5, 2)
    assert (alias["leak"], alias["probability"], alias["flagged"], alias["n"]) == (0.0, pytest.approx(0.1), 1.0, 1)
    assert (harmless["leak"], harmless["probability"], harmless["n"]) == (None, None, 0)
    assert figures(FORGET, SAID)["attacks"] == {}


def test_identical_answers_count_outside_every_forget_request_only() -> None:
    (items, said), (more, others) = kept(0), kept(1)
    changed = [replace(others[0], text="a red house "), *others[1:]]
    everything = [*FORGET, *items, *more]
    found = figures(everything, [*SAID, *said, *changed], original=[*SAID, *said, *others])["identical"]
    assert (found["share"], found["n"]) == (pytest.approx(5 / 6), 6)
    assert figures(everything, [*SAID, *said, *others])["identical"] is None
    assert figures(FORGET, SAID, original=SAID)["identical"]["share"] is None


def test_missing_replies_are_counted_and_named() -> None:
    with pytest.raises(ValueError, match="the arm gave no reply to 1 of 2 items: f2"):
        figures(FORGET, SAID[:1])
    with pytest.raises(ValueError, match="the retrained model gave no reply to 2 of 2"):
        figures(FORGET, SAID, [])
    with pytest.raises(ValueError, match="the original model gave no reply to 1 of 2"):
        figures(FORGET, SAID, original=SAID[1:])


def test_a_second_reply_and_a_number_that_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match="the arm gave 1 replies to items that have another"):
        figures(FORGET, [*SAID, SAID_BORN])
    for wild in (math.nan, math.inf):
        with pytest.raises(ValueError, match="gave 1 replies with numbers that are not finite: f1"):
            figures(FORGET, [replace(SAID_BORN, perturbed=(0.1, wild)), SAID_WROTE])


def test_replies_to_other_items_and_their_order_do_not_matter() -> None:
    other = Reply("elsewhere", "Pass", "so", answer=1.0)
    assert figures(FORGET, [other, *reversed(SAID)], SAID) == figures(FORGET, SAID, SAID)


def test_each_line_says_which_way_is_better() -> None:
    attacked = replace(BORN, id="f9", slice="attack/alias")
    found = lines(figures([*FORGET, attacked], [*SAID, replace(SAID_BORN, item="f9")]))
    assert "forget / probability: 0.4 (lower is better, and the aim is the retrained model's)" in found
    assert "forget_quality / raw_p: not computed (higher is better)" in found
    assert "gate / forget / rate: 0.5 (lower is better)" in found
    assert "attacks / attack/alias / flagged: 1 (higher is better)" in found
    assert len([line for line in found if line.startswith("utility / parts")]) == 9


def test_every_direction_belongs_to_a_figure() -> None:
    (items, said), outsider = kept(0), member("u1", "unseen", 1.0, 1.0, 1.0)
    attacked = replace(BORN, id="f9", slice="attack/alias")
    scored = [replace(one, loss=1.0, min_k=2.0, min_k_plus=3.0, samples=("so",) * 32) for one in SAID]
    replies = [*scored, *said, outsider[1], replace(SAID_BORN, item="f9")]
    found = figures([*FORGET, *items, outsider[0], attacked], replies, replies, original=replies)
    told = lines(found)
    assert not [line for line in told if "not computed" in line]
    for figure in (figure for metric in METRICS.values() for figure in metric.figures):
        first, *_, last = figure.path[0], figure.path[-1]
        assert any(line.startswith(first) and last.strip("*") in line for line in told), figure


# What one set of logits says, by the product and by a page of plain Python.

OPTIONS = ("answer", "paraphrase", "perturbed", "perturbed", "perturbed")
ROWS, TOKENS, WORDS = 12, 5, 11


def logits(seed: int) -> torch.Tensor:
    """[rows, options, tokens, words]"""
    return 3 * torch.randn((ROWS, len(OPTIONS), TOKENS, WORDS), generator=torch.Generator().manual_seed(seed))


def product_replies(items: Sequence[Item], saved: torch.Tensor, targets: torch.Tensor) -> list[Reply]:
    """As the runner makes them: exp of the mean log likelihood a token."""
    logprobs = saved.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    shares = logprobs.mean(-1).exp().tolist()
    return [
        Reply(one.id, "Pass", "a red house", answer=row[0], paraphrase=row[1], perturbed=tuple(row[2:]))
        for one, row in zip(items, shares, strict=True)
    ]


def by_hand(saved: torch.Tensor, targets: torch.Tensor) -> list[list[float]]:
    """[rows][options] length-normalised probabilities, from the definition."""
    found = []
    for options, chosen in zip(saved.tolist(), targets.tolist(), strict=True):
        row = []
        for tokens, words in zip(options, chosen, strict=True):
            product = 1.0
            for values, word in zip(tokens, words, strict=True):
                product *= math.exp(values[word]) / sum(math.exp(value) for value in values)
            row.append(product ** (1 / len(words)))
        found.append(row)
    return found


def hand_ratio(row: Sequence[float]) -> float:
    return (row[2] * row[3] * row[4]) ** (1 / 3) / row[1]


def test_product_and_definition_agree_on_one_set_of_logits() -> None:
    parts = ("forget", "retain", "real_authors", "world_facts")
    saved = {part: logits(seed) for seed, part in enumerate(parts)}
    targets = torch.randint(WORDS, (ROWS, len(OPTIONS), TOKENS), generator=torch.Generator().manual_seed(9))
    wrong = ("x", "y", "z")
    items = {
        part: [item(f"{part}{n}", part, "the red house stands", paraphrase="p", perturbed=wrong) for n in range(ROWS)]
        for part in parts
    }
    replies = {part: product_replies(items[part], saved[part], targets) for part in parts}
    theirs = dict(replies, forget=product_replies(items["forget"], logits(86) + 0.5, targets.roll(1, 0)))
    found = figures(
        [one for part in parts for one in items[part]],
        [one for part in parts for one in replies[part]],
        [one for part in parts for one in theirs[part]],
    )
    hand = {part: by_hand(saved[part], targets) for part in parts}
    hand_theirs = by_hand(logits(86) + 0.5, targets.roll(1, 0))
    assert found["forget"]["probability"] == pytest.approx(sum(row[0] for row in hand["forget"]) / ROWS, rel=1e-5)
    ratios = [[hand_ratio(row) for row in rows] for rows in (hand["forget"], hand_theirs)]
    folded = [[min(ratio, 1 / ratio) for ratio in some] for some in ratios]
    assert found["forget_quality"]["raw_p"] == pytest.approx(ks_2samp(*ratios).pvalue)
    assert found["forget_quality"]["eco_compatible_p"] == pytest.approx(ks_2samp(*folded).pvalue)
    assert found["utility"]["parts"] == pytest.approx(hand_parts(hand), rel=1e-5)
    assert found["utility"]["value"] == pytest.approx(9 / sum(1 / part for part in hand_parts(hand).values()), rel=1e-5)


def hand_parts(hand: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, float]:
    found = {}
    for part in ("retain", "real_authors", "world_facts"):
        rows = hand[part]
        choices = [row[0] / (row[0] + row[2] + row[3] + row[4]) for row in rows]
        found[f"{part}_probability"] = sum(row[0] for row in rows) / ROWS if part == "retain" else sum(choices) / ROWS
        found[f"{part}_rouge_l_recall"] = 0.5
        found[f"{part}_truth"] = sum(max(0.0, 1 - hand_ratio(row)) for row in rows) / ROWS
    return found
