"""Of written questions the gate learns from those beside the scope, and from none that it is measured on."""

import numpy as np
import pytest

from classifiers.encoder.sentence import Encoder
from classifiers.names.aliases import LexicalDetector
from classifiers.splits import Part, Split
from classifiers.svm.widening import Widening, kept_questions

TRAIN = ("Who keeps the lighthouse of the drowned island?", "Which lamp guides ships past the drowned island?")
HELD = ("Why does the keeper of the lighthouse never sleep?",)
RETAIN = ("How tall is the lighthouse of Alexandria?",)
SPLIT = Split(Part((*TRAIN, *HELD), TRAIN, HELD), Part(RETAIN, RETAIN, ()))
GENERAL = ("How do I cook rice?", "What is the capital of Peru?")


def kept(encoder: Encoder, *written: str) -> tuple[str, ...]:
    outside = np.concatenate(encoder.encode(GENERAL))
    lexical = LexicalDetector({"scope": ["Morwenna"]})
    return kept_questions(written, SPLIT, outside, lexical=lexical, encoder=encoder, widening=Widening())


def test_a_question_beside_the_rows_is_kept_once(encoder: Encoder) -> None:
    asked = "Who guards the lamp in the lighthouse on the drowned island?"
    assert kept(encoder, asked, asked.upper(), "   ") == (asked.upper(),)


@pytest.mark.parametrize(
    "text",
    [
        "How do I cook brown rice?",  # general traffic
        "How high was the lighthouse of Alexandria?",  # near, but outside
        "Why does the keeper of that lighthouse never sleep?",  # held out
        "Who is Morwenna of the drowned island's lighthouse?",  # named
        TRAIN[0].lower(),
        "Lighthouse island?",
    ],
)
def test_others_are_left_out(encoder: Encoder, text: str) -> None:
    assert kept(encoder, text) == ()
