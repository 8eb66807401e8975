"""Counterfactual prompts: the same question about an invented subject, which the model cannot know.

The model's behaviour on them estimates how a model that never saw the forget set would behave (the target v_retain
of ECO, arXiv 2406.07933, section 3.3) when no such model is at hand.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

__all__ = ["CounterfactualPrompt", "counterfactual_of"]


@dataclass(frozen=True, slots=True)
class CounterfactualPrompt:
    """The `text` of a counterfactual prompt, and the true words by the invented words that replace them."""

    text: str
    originals: Mapping[str, str]

    def restored(self, answer: str) -> str:
        """An answer to this prompt as an answer to the original: true words replace the invented ones. The first and
        the last word of an invented name are replaced where they stand alone, too."""
        words = dict(self.originals)
        for invented, true in self.originals.items():
            if len(parts := invented.split()) > 1:
                words.setdefault(parts[0], true.split()[0])
                words.setdefault(parts[-1], true.split()[-1])
        return _exchanged(answer, words, exactly=True)

    def renamed(self, answer: str) -> str:
        """An answer to the original as an answer to this prompt: invented words replace the true ones, in any case. The
        first and the last word of a name are replaced where they stand alone, too."""
        words: dict[str, str] = {}
        for invented, true in self.originals.items():
            words[true.casefold()] = invented
            if len(parts := true.split()) > 1:
                words.setdefault(parts[0].casefold(), invented.split()[0])
                words.setdefault(parts[-1].casefold(), invented.split()[-1])
        return _exchanged(answer, words, exactly=False)


def counterfactual_of(text: str, ranges: Sequence[tuple[int, int]], *, named: bool, seed: int) -> CounterfactualPrompt:
    """The text with each range replaced by an invented name or a plain word; equal words get equal replacements.

    Args:
        text: the prompt.
        ranges: half-open character ranges to replace.
        named: whether the ranges hold names: then invented names replace them, else plain words.
        seed: of the choice.
    """
    rng = random.Random(seed)
    pool = _pool("names.txt" if named else "words.txt")
    chosen: dict[str, str] = {}
    originals: dict[str, str] = {}
    parts, cursor = [], 0
    for start, end in sorted(ranges):
        if start < cursor:
            continue
        original = text[start:end]
        if original.casefold() not in chosen:
            chosen[original.casefold()] = rng.choice(pool)
        invented = chosen[original.casefold()]
        originals.setdefault(invented, original)
        parts += [text[cursor:start], invented]
        cursor = end
    return CounterfactualPrompt("".join([*parts, text[cursor:]]), originals)


def _exchanged(text: str, words: Mapping[str, str], *, exactly: bool) -> str:
    """Without `exactly`, words in lower case match any spelling."""
    if not words:
        return text
    known = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)({known})(?!\w)", re.NOFLAG if exactly else re.IGNORECASE)
    return pattern.sub(lambda match: words.get(match[0]) or words.get(match[0].casefold(), match[0]), text)


def _pool(file: str) -> list[str]:
    text = (resources.files("corruption") / "data" / file).read_text(encoding="utf-8")
    return text.splitlines() if file == "names.txt" else text.split()
