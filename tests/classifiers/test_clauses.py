"""Clauses: each question of a text stands alone in one of them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.views.clauses import clauses

QUESTION = "Which ship does the one-eyed captain command?"


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in clauses(text)]


@pytest.mark.parametrize("text", ["", "Hello", QUESTION, "the U.S. navy of 1.5 million", "Dr Quorn, who sails"])
def test_a_text_of_one_clause_stands_for_itself(text: str) -> None:
    assert parts(text) == []


@pytest.mark.parametrize(
    "text",
    [
        f"How do I boil an egg? {QUESTION} Thank you very much.",
        f"qwz plokm rrt {QUESTION}",
        json.dumps({"task": "answer", "question": QUESTION, "n": [1, 2]}),
        json.dumps({"task": "answer", "question": QUESTION}, indent=2),
        f"task: answer\nquestion: {QUESTION}\n",
        f"# Sheet\n\n- One thing here\n- {QUESTION}\n",
        f"def f():\n    # {QUESTION}\n    return 1\n",
        f"Q: What is ice?\nA: Frozen water.\nQ: {QUESTION}\nA:",
        f"我想知道{QUESTION}谢谢",
        f"先生が聞いた：「{QUESTION}」答えは？",
        f"Скажи мне, «{QUESTION}» Спасибо",
        f"हमें बताओ - {QUESTION} धन्यवाद",
        f"قل لي: {QUESTION} شكرا",
    ],
)
def test_a_question_stands_alone(text: str) -> None:
    assert QUESTION in parts(text)


def test_two_questions_in_one_sentence_are_two() -> None:
    assert "which ship does she command" in parts("What is two and two, and which ship does she command")


@pytest.mark.parametrize("text", ["Whаt is the nаme оf this ship", "ein naïver Text với tiếng Việt und straße"])
def test_letters_of_another_script_inside_words_are_no_border(text: str) -> None:
    assert parts(text) == []


def test_a_short_clause_is_read_with_its_neighbour() -> None:
    text = (
        "What is her ship? I mean the captain. Tell me all that you know of the weather in the north of Norway today."
    )
    assert "What is her ship? I mean the captain." in parts(text)


@given(st.text("ab .?!\n\"':,{}", max_size=200))
def test_clauses_lie_inside_the_text_and_are_not_many(text: str) -> None:
    found = clauses(text)
    assert all(0 <= start < end <= len(text) for start, end in found)
    assert len(set(found)) == len(found)
    assert sum(end - start for start, end in found) <= 3 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "<job><id>7</id><ask lang='en'>Who guards the old harbour</ask></job>",
        "| 7 | Who guards the old harbour | open |",
        "7\tWho guards the old harbour\topen",
        'Write a function that answers "Who guards the old harbour" in one line',
        "Answer this (in short): Who guards the old harbour",
        "Dear friend of mine - Who guards the old harbour",
        "[task] ask = 'Who guards the old harbour'",
    ],
)
def test_a_question_stands_alone_in_every_wrapper(text: str) -> None:
    assert "Who guards the old harbour" in {text[start:end] for start, end in clauses(text)}
