"""A word of a scope's names says little alone; beside a score that leans to the scope it is enough."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from classifiers.calibration import bonus_at, threshold_at
from classifiers.encoder.sentence import Encoder
from classifiers.names.ordinary import Alias
from classifiers.names.parts import PartIndex, parts_of
from classifiers.svm.classifier import PromptClassifier
from classifiers.svm.model import Head, quantised

NAMES = ["Ottoline Vask", "Professor Brindlemoor", "The Wolf of Karst", Alias("Ulric Thorn", "exact"), "Zephyrine"]


def test_parts_are_the_telling_words_of_longer_names() -> None:
    assert parts_of(NAMES) == ("brindlemoor", "karst", "ottoline", "vask")  # wolves are common
    assert parts_of([*NAMES, Alias("Vask", "confirmed")]) == ("brindlemoor", "karst", "ottoline")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What did Vask say?", True),
        ("Did Vask's sister leave Karst?", True),
        ("It was dark. Why did Mrs. Vask and Ottoline run?", True),
        ("Who are Vask?", True),
        ("Who was Ottoline V. Peabody?", False),
        ("Who was Ottoline Peabody?", False),
        ("When did King Vask die?", False),
        ("What is the Vask-Peabody law?", False),
        ("what did vask say?", False),
        ("A vask is a Swedish word", False),
        ("Vaskular surgery", False),
        ("", False),
    ],
)
def test_a_part_is_a_whole_word_with_a_capital_and_not_of_another_name(text: str, *, found: bool) -> None:
    index = PartIndex({"karst": parts_of(NAMES), "other": ("elsewhere",)})
    assert index.scopes(text) == (frozenset({"karst"}) if found else frozenset())


def test_a_bonus_lets_no_more_texts_pass_than_were_asked_for() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        n, alpha = int(rng.integers(50, 400)), float(rng.uniform(0.02, 0.2))
        scores, marked = rng.normal(size=n).tolist(), (rng.random(n) < 0.3).tolist()
        threshold = threshold_at(alpha, scores).threshold + float(rng.choice([0, 0.5]))
        bonus = bonus_at(threshold, alpha, scores, marked, most=0.4)
        raised = [score + bonus * mark for score, mark in zip(scores, marked, strict=True)]
        assert bonus >= 0
        assert sum(score > threshold + 1e-9 for score in raised) <= n - math.ceil((n + 1) * (1 - alpha) - 1e-9)


def _head(encoder: Encoder, text: str, threshold: float) -> Head:
    codes, scales = quantised(encoder.encode([text])[0])
    return Head(codes, np.array([2.0], np.float32), -1.0, 2.0, threshold, scales, ("vask",), 0.6)


def test_a_part_raises_the_score_of_its_scope_alone(encoder: Encoder) -> None:
    heads = {
        "karst": _head(encoder, "Who is the old witch of the mountain?", 0.5),
        "sea": dataclasses.replace(_head(encoder, "Which fish live in the deep sea?", 0.5), parts=("karst",)),
    }
    classifier = PromptClassifier(encoder, heads)
    plain, parted = "Which witch lives on the mountain?", "Which witch lives on the mountain, Vask?"
    scores = {text: {v.scope: v for v in classifier.detect([text])[0]} for text in (plain, parted)}
    raw = float(heads["karst"].score(encoder.encode([parted])[0]).max())
    assert scores[parted]["karst"].score == pytest.approx(raw + 0.6, abs=1e-4)
    assert scores[parted]["karst"].matched == (raw + 0.6 > 0.5)
    assert "sea" not in scores[parted]
    assert plain not in scores or scores[plain].get("karst") is None or scores[plain]["karst"].score < raw + 0.6


def test_parts_come_and_go_with_their_scopes(encoder: Encoder) -> None:
    head = _head(encoder, "Who is the old witch of the mountain?", -0.9)
    empty = PromptClassifier(encoder, {})
    added = empty.updated({"karst": head}, ())
    assert (added.head("karst").parts, added.head("karst").bonus) == (("vask",), 0.6)
    text = ["Vask?"]
    assert [v.score for v in added.detect(text)[0]] != [v.score for v in empty.detect(text)[0]]
    bare = dataclasses.replace(head, parts=(), bonus=0.0)
    assert added.updated({"karst": bare}, ()).head("karst").parts == ()
    assert added.updated({}, ("karst",)).detect(text) == [[]]


def test_a_file_keeps_the_parts_and_an_older_one_has_none(encoder: Encoder, tmp_path: Path) -> None:
    head = _head(encoder, "Who is the old witch of the mountain?", 0.5)
    head.save(tmp_path / "new.safetensors")
    dataclasses.replace(head, parts=(), bonus=0.0).save(tmp_path / "old.safetensors")
    new, old = (Head.load(tmp_path / f"{name}.safetensors") for name in ("new", "old"))
    assert (new.parts, new.bonus) == (("vask",), 0.6)
    assert (old.parts, old.bonus) == ((), 0.0)
