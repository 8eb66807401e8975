"""Out-of-scope prompts in other languages that the project ships."""

from functools import lru_cache
from importlib import resources

__all__ = ["held_out_prompts", "training_prompts"]


def training_prompts(language: str) -> tuple[str, ...]:
    """Every second prompt of a language of `LANGUAGES`, beginning with the first: trainings learn from these."""
    return _prompts(language)[0::2]


def held_out_prompts(language: str) -> tuple[str, ...]:
    """The others: no training sees them, and false alarms are counted on them."""
    return _prompts(language)[1::2]


@lru_cache(maxsize=64)
def _prompts(language: str) -> tuple[str, ...]:
    text = (resources.files("classifiers") / "data" / f"general-{language}.txt").read_text(encoding="utf-8")
    return tuple(line for line in (line.strip() for line in text.splitlines()) if line)
