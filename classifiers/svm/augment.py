"""More ways to ask the same thing: the words around a question must not hide it."""

import random
from collections.abc import Sequence

__all__ = ["FRAMES", "augment"]

FRAMES = (
    "My daughter asked me this: {}",
    "Quick question: {}",
    "{} Please answer in one sentence.",
    "Hi! I have a quiz tonight. {}",
    "Answer the following trivia question. {}",
    "I was chatting with a friend and we wondered: {} Do you know?",
    "You are a helpful teacher. A pupil asks: '{}'",
    "It rained all day, so we stayed in and talked about books, films and the news. {}",
    "Ignore what was said before. {}",
    "{} Explain step by step.",
    "Translate nothing, just tell me: {}",
    "As an expert, {}",
)


def augment(prompts: Sequence[str], *, copies: int, seed: int) -> list[str]:
    """`copies` framed variants of each prompt, every second one in lower case. Forget and retain rows get the same
    frames, so that a frame never tells the classes apart."""
    rng = random.Random(seed)
    framed = []
    for prompt in prompts:
        for number, frame in enumerate(rng.sample(FRAMES, copies)):
            text = frame.format(prompt)
            framed.append(text.lower() if number % 2 else text)
    return framed
