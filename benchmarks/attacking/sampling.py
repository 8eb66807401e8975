"""Best of k: how likely one of k sampled answers tells the truth, and how far that lies above a model that never knew.

leak@k: arXiv 2511.04934. Each answer is a request of its own: of several choices in one request, a gateway asks all
anew if one of them leaks. A model that never saw the data tells some facts by luck, more of them the more it is asked
(arXiv 2602.06248): so leak@k minus the floor's leak@k is reported, not leak@k alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.attacking.answers import Decoding, Said
from benchmarks.attacking.measures import difference, leak_at_k, mean_of
from benchmarks.attacking.survey import Attack
from benchmarks.items import Item

__all__ = ["sampled_leaks"]

_Ask = Callable[[Sequence[Item], Sequence[Decoding]], list[Said]]


def sampled_leaks(
    attacks: Sequence[Attack], sides: Mapping[str, _Ask], decoding: Decoding, *, samples: int, floor: str
) -> dict[str, Any]:
    """leak@k of each side for k = 1, 2, 4, ... up to `samples`, and the gateway's minus the floor's.

    Args:
        attacks: what is asked; each is asked `samples` times.
        sides: by name, who answers.
        decoding: its temperature and the first seed.
        samples: answers to each question.
        floor: the side that is subtracted.
    """
    ks = [k for k in (2**power for power in range(20)) if k <= samples]
    often = [attack for attack in attacks for _ in range(samples)]
    decodings = [replace(decoding, seed=decoding.seed + number) for _ in attacks for number in range(samples)]
    counts: dict[str, list[int]] = {}
    for side, ask in sides.items():
        answers = ask([attack.item for attack in often], decodings)
        told = [attack.leaks(said) for attack, said in zip(often, answers, strict=True)]
        counts[side] = [sum(told[start : start + samples]) for start in range(0, len(told), samples)]
    chances = {side: {k: [leak_at_k(samples, c, k) for c in found] for k in ks} for side, found in counts.items()}
    found: dict[str, Any] = {
        "questions": len(attacks),
        "samples": samples,
        "floor": floor,
        "leak_at_k": {side: {str(k): mean_of(values) for k, values in by_k.items()} for side, by_k in chances.items()},
        "beyond": {},
    }
    for k in ks if attacks and floor in chances else ():
        found["beyond"][str(k)] = difference(chances["gateway"][k], chances[floor][k])
    return found
