"""What the detector of names finds in a text, in words."""

from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.types import Verdict

__all__ = ["found_by"]


def found_by(detector: LexicalDetector, text: str, *others: Verdict) -> list[str]:
    """The parts of a text that are names and count, with what other detectors say as second signs."""
    verdicts = confirmed([*detector.detect([text])[0], *others])
    return [
        text[span.start_char : span.end_char] for one in verdicts if one.detector == "lexical" for span in one.spans
    ]
