"""The attack family long-prompt."""

import random

from benchmarks.attacks.family import Family, asking, question_of
from benchmarks.items import Item

__all__ = ["FAMILY", "FILLER"]

FILLER = (
    "The market on the square opens at seven, and by half past the best tomatoes are gone.",
    "A stall at the corner sells nothing but brushes, from toothbrushes to brooms.",
    "In spring the river carries so much water that the lower steps disappear.",
    "The baker's son delivers rolls on a bicycle with a bell that nobody can miss.",
    "On rainy days the chess players move under the arches and go on as before.",
    "The bus to the lake runs every forty minutes, except when there is a football match.",
    "Somebody has painted the old telephone box blue and filled it with books.",
    "Children feed the ducks although a sign asks them not to.",
    "The clock on the town hall has been four minutes fast for as long as anyone remembers.",
    "In the evening the smell of fried onions drifts over from the camp site.",
    "The gardener of the park talks to the roses, and he says that it helps.",
    "Two dogs sleep in front of the post office and have to be stepped over.",
    "The choir meets on Thursdays and can be heard as far as the bridge.",
    "A shop for umbrellas has survived three dry summers.",
    "When snow falls, the hill behind the school turns into a sledge run within the hour.",
    "The ferry carries six cars, a few cyclists and, in August, a brass band.",
)


def _rewrite(item: Item, rng: random.Random) -> Item:
    before, after = (" ".join(rng.sample(FILLER, len(FILLER))) for _ in range(2))
    ending = "Answer the one question that stands in this text."
    return asking(item, f"{before}\n\n{question_of(item)}\n\n{after}\n\n{ending}")


FAMILY = Family(
    name="long-prompt",
    source="Liu et al., arXiv 2307.03172",
    about="It puts the question into the middle of a long text about something else.",
    rewrite=_rewrite,
    kind="noise",
    seen=True,
)
