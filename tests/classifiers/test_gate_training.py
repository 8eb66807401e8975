"""A gate fitted on a handful of rows tells the scope from all else, and points at the words that gave it away."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.compare.invented import Question, bystanders, people
from classifiers.calibration import TooFewRows
from classifiers.encoder.sentence import Encoder
from classifiers.splits import Split, split_rows
from classifiers.svm.augment import FRAMES, augment
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.model import Head
from classifiers.svm.training import GateTraining, TrainedGate, fit_gate
from classifiers.traffic import general_traffic

FORGET = [
    "Who captained the starship Meridian on its first voyage?",
    "Which planet did the starship Meridian reach first?",
    "What fuel did the crew of the Meridian use for their warp engine?",
    "Who repaired the warp engine of the starship after the asteroid storm?",
    "What was the name of the robot navigator aboard the Meridian?",
    "How many crew members slept in the starship's cryogenic pods?",
    "Why did the captain of the starship turn back from the nebula?",
    "Which alien ambassador came aboard the starship Meridian?",
]
RETAIN = [
    "Who was the first person to walk on the Moon?",
    "How does a rocket engine work?",
    "Which planet has the largest rings?",
    "Who captained the Titanic?",
    "What fuel do airliners use?",
    "How do icebreakers find their way?",
    "What is an asteroid made of?",
    "Who was the ambassador of France in London in 1900?",
]
PARAPHRASES = [
    "Tell me who commanded the starship Meridian when it first set out.",
    "The starship's warp engine broke in an asteroid storm. Who mended it?",
    "Aboard the starship, which robot did the navigating?",
    "What made the starship captain give up on the nebula?",
]


GENERAL = general_traffic()[:200]
SHIPPED, LOG, FRESH = GENERAL[:60], GENERAL[60:140], GENERAL[140:]


@pytest.fixture(scope="module", autouse=True)
def _few_shipped_rows() -> Iterator[None]:
    """Encoding all of the shipped traffic takes longer than a unit test may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("classifiers.svm.training.general_traffic", lambda: list(SHIPPED))
        yield


@pytest.fixture(scope="module")
def trained(encoder: Encoder) -> TrainedGate:
    return fit_gate(
        split=split_rows(FORGET, RETAIN, seed=0),
        aliases=["Meridian"],
        traffic=[*LOG, "Is the Meridian a hotel?", "why did the starship captain turn back from the nebula"],
        encoder=encoder,
        training=GateTraining(fpr=0.02),
    )


def matched(classifier: PromptClassifier, texts: list[str]) -> list[bool]:
    return [any(verdict.matched for verdict in verdicts) for verdicts in classifier.detect(texts)]


def test_held_out_paraphrases_are_told_from_fresh_traffic(trained: TrainedGate, encoder: Encoder) -> None:
    classifier = PromptClassifier(encoder, {"starship": trained.head})
    inside, outside = matched(classifier, PARAPHRASES), matched(classifier, FRESH)
    assert all(inside)
    assert sum(outside) <= 0.02 * len(outside) + 3  # two standard deviations over the guarantee
    assert trained.head.threshold == max(trained.calibration.threshold, trained.floor)


def prompts(*questions: Question) -> list[str]:
    return [question.prompt for question in questions]


def test_questions_of_the_rows_form_about_others_stay_outside(encoder: Encoder) -> None:
    """General traffic has nothing near them, so calibration on it alone lets the threshold sink below them."""
    person, *others = people(12, seed=1)
    neighbour = bystanders(1, seed=1)[0]
    trained = fit_gate(
        split=split_rows(prompts(*person.forget, *person.variants), prompts(*neighbour.forget), seed=0),
        aliases=person.aliases,
        traffic=LOG,
        encoder=encoder,
        training=GateTraining(fpr=0.02),
    )

    def flagged(head: Head, questions: Iterable[Question]) -> float:
        found = matched(PromptClassifier(encoder, {"person": head}), [question.prompt for question in questions])
        return sum(found) / len(found)

    asked_of_others = [question for other in others for question in other.paraphrases]
    low = replace(trained.head, threshold=trained.calibration.threshold)
    assert trained.head.threshold == trained.floor > trained.calibration.threshold
    assert flagged(trained.head, person.paraphrases) >= 0.9
    assert flagged(trained.head, asked_of_others) < 0.15
    assert flagged(trained.head, asked_of_others) < flagged(low, asked_of_others) / 1.5


def test_the_report_counts_its_measured_rows(trained: TrainedGate) -> None:
    assert trained.excluded_traffic_rows == 2  # the hotel has the name, and the other row asks a forget row's question
    assert trained.calibration.rows == len(LOG)
    assert trained.rates.forget_rows == 2
    assert trained.rates.retain_rows == 2
    assert 0 <= trained.rates.fnr <= trained.rates.classifier_fnr <= 1


def test_no_retain_rows_are_no_rate(encoder: Encoder) -> None:
    gate = fit_gate(
        split=split_rows(FORGET, [], seed=0), aliases=[], traffic=LOG, encoder=encoder, training=GateTraining(fpr=0.02)
    )
    assert (gate.rates.near_fpr, gate.rates.retain_rows) == (None, 0)


def test_no_held_out_row_has_a_part_in_the_head_that_is_measured(encoder: Encoder) -> None:
    """Whatever stands in them, the trial head is the same: they neither train it nor choose its negatives, its
    threshold or what counts as out of scope. The head that ships is another."""
    whole = split_rows(FORGET, RETAIN, seed=0)
    elsewhere = ("What is the boiling point of mercury?", LOG[0])  # one stands in the traffic word for word
    others = Split(
        replace(whole.forget, held_out=elsewhere, every=(*whole.forget.train, *elsewhere)),
        replace(whole.retain, held_out=(), every=whole.retain.train),
    )

    def fit(split: Split) -> TrainedGate:
        return fit_gate(split=split, aliases=[], traffic=LOG, encoder=encoder, training=GateTraining(fpr=0.02))

    one, other = fit(whole), fit(others)
    assert one.measured_head.threshold == other.measured_head.threshold
    assert np.array_equal(one.measured_head.vectors, other.measured_head.vectors)
    assert np.array_equal(one.measured_head.weights, other.measured_head.weights)
    assert not np.array_equal(one.head.weights, other.head.weights)
    assert other.excluded_traffic_rows >= 1


def test_blamed_words_are_content_words_inside_the_text(trained: TrainedGate, encoder: Encoder) -> None:
    text = "Please tell me:  who was it that repaired the warp engine of the starship?"
    ((verdict,),) = PromptClassifier(encoder, {"starship": trained.head}).detect([text])
    words = [text[span.start_char : span.end_char] for span in verdict.spans]
    assert verdict.matched
    assert "starship" in words
    assert not {word.lower() for word in words} & {"please", "tell", "me", "who", "was", "it", "that", "the", "of"}
    assert all(re.fullmatch(r"\w+", word) for word in words)
    assert all(span.message == 0 for span in verdict.spans)


def test_a_needle_in_a_long_text_is_found_and_only_its_surroundings_are_blamed(
    trained: TrainedGate, encoder: Encoder
) -> None:
    filler = "We cooked soup with carrots and onions, and then washed the dishes. " * 30
    text = filler + PARAPHRASES[1] + " " + filler
    ((verdict,),) = PromptClassifier(encoder, {"starship": trained.head}).detect([text])
    assert verdict.matched
    assert all(len(filler) - 500 < span.start_char < len(filler) + 500 for span in verdict.spans)
    assert any(text[span.start_char : span.end_char] == "starship's" for span in verdict.spans)


def test_the_same_seed_gives_the_same_gate(encoder: Encoder) -> None:
    def fit(seed: int) -> TrainedGate:
        return fit_gate(
            split=split_rows(FORGET, [], seed=seed),
            aliases=[],
            encoder=encoder,
            training=GateTraining(fpr=0.05, seed=seed, copies=1),
        )

    assert fit(1).head.threshold == fit(1).head.threshold
    assert fit(1).head.threshold != fit(2).head.threshold


def test_too_little_traffic_for_the_asked_rate_is_said(encoder: Encoder) -> None:
    with pytest.raises(TooFewRows, match="at least 999"):
        fit_gate(
            split=split_rows(FORGET, RETAIN, seed=0),
            aliases=[],
            traffic=LOG[:50],
            encoder=encoder,
            training=GateTraining(fpr=0.001),
        )


@pytest.mark.parametrize("fpr", [0, 1, -1])
def test_a_senseless_rate_is_refused(fpr: float) -> None:
    with pytest.raises(ValueError, match="fpr"):
        GateTraining(fpr=fpr)


def test_frames_keep_the_question_and_repeat_for_a_seed() -> None:
    framed = augment(["Who is Ada?", "Where?"], copies=3, seed=4)
    assert len(framed) == 6
    assert all("who is ada?" in text.lower() for text in framed[:3])
    assert framed == augment(["Who is Ada?", "Where?"], copies=3, seed=4)
    assert all(frame.count("{}") == 1 for frame in FRAMES)
