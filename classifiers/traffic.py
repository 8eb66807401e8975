"""Out-of-scope prompts that the project ships."""

from functools import lru_cache
from importlib import resources

__all__ = ["general_traffic"]


def general_traffic() -> list[str]:
    """The shipped prompts (3,449, written for this project), in a fixed order that mixes their subjects."""
    return list(_rows())


@lru_cache(maxsize=1)
def _rows() -> tuple[str, ...]:
    folder = resources.files("classifiers") / "data"
    lines = [
        line.strip()
        for name in ("general-1.txt", "general-2.txt")
        for line in (folder / name).read_text(encoding="utf-8").splitlines()
    ]
    return tuple(line for line in lines if line)
