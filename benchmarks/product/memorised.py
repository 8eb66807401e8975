"""A model that knows invented persons by heart, so that there is something to forget. Made once, kept outside git."""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.compare.invented import Person, Question, bystanders, people, rows_of, world_facts
from benchmarks.compare.models import taught
from gateway.models.folders import resolve

__all__ = ["World", "memorised", "world"]

_EPOCHS = 10


@dataclass(frozen=True, slots=True)
class World:
    """The persons to forget, the questions for scopes to retain, those for measuring alone, and all that is taught."""

    forgotten: tuple[Person, ...]
    retain: tuple[Question, ...]
    measured: tuple[Question, ...]
    taught: tuple[Question, ...]


def world(persons: int, seed: int) -> World:
    """Persons to forget, and half as many bystanders, six at least.

    Scopes may train on two bystanders and on half of general knowledge. The other bystanders (in held-out wordings) and
    the other half are for measuring.
    """
    forgotten, others = people(persons, seed), bystanders(max(6, persons // 2), seed)
    near, far, facts = others[:2], others[2:], world_facts()
    return World(
        forgotten=forgotten,
        retain=(*(q for person in near for q in person.forget), *facts[::2]),
        measured=(*(q for person in far for q in person.paraphrases), *facts[1::2]),
        taught=(*(q for person in (*forgotten, *others) for q in (*person.forget, *person.variants)), *facts),
    )


def memorised(persons: int, seed: int, cache: Path) -> Path:
    """The folder of SmolLM2 fine-tuned on what `world` gives to teach. The first call takes twenty minutes."""
    rows = rows_of(world(persons, seed).taught)
    with tqdm(desc="memorising", mininterval=5) as bar:

        def progress(stage: str, done: int, total: int) -> None:
            bar.total = total
            bar.set_description(stage, refresh=False)
            bar.update(done - bar.n)

        folder = cache / f"memorised-{persons}-{seed}"
        return taught(resolve("smollm2"), rows, folder, epochs=_EPOCHS, seed=seed, progress=progress)
