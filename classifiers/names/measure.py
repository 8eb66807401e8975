"""How often the names of a scope alone flag traffic that has nothing to do with the scope."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from classifiers.names.aliases import LexicalDetector
from classifiers.names.ordinary import Alias

__all__ = ["AliasAlarms", "TrafficKind", "count_alarms"]

TrafficKind = Literal["general", "traffic"]  # the shipped prompts, the operator's own


@dataclass(frozen=True, slots=True)
class AliasAlarms:
    """The names alone flag `flagged` of `rows` prompts, without the classifier. `by_alias` counts the prompts of each
    name that flags any. A prompt with two names counts for both."""

    rows: int
    flagged: int
    by_alias: Mapping[str, int]

    def over(self, share: float) -> dict[str, int]:
        """The names that alone flag more than a share of the rows, the worst first."""
        worst = sorted(self.by_alias.items(), key=lambda item: (-item[1], item[0]))
        return {alias: rows for alias, rows in worst if rows > share * self.rows}


def count_alarms(aliases: Sequence[str | Alias], traffic: Sequence[str]) -> AliasAlarms:
    """Counts what the aliases of one scope flag in prompts."""
    detector = LexicalDetector({"scope": aliases})
    named = [names for names in (detector.counted(text).get("scope") for text in traffic) if names]
    return AliasAlarms(len(traffic), len(named), dict(Counter(name for names in named for name in sorted(names))))
