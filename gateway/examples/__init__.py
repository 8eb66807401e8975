"""Scopes that come with the product, for the demo and to try things with; `examples/` in the checkout leads here."""

from pathlib import Path

__all__ = ["HARRY_POTTER"]

HARRY_POTTER = Path(__file__).parent / "harry-potter" / "scope.yaml"
