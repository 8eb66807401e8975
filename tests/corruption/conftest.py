"""How Hypothesis runs here."""

from hypothesis import settings

# Two cores are shared with whatever else runs: no deadline for an example.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
