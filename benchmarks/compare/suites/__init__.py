"""The suites. A module's `load` turns public data into a `Suite`; a new suite is a module and a line here."""

import difflib
import importlib
from pathlib import Path

from benchmarks.compare.core import Suite
from gateway.errors import SetupError

__all__ = ["SUITES", "load_suite"]

_MODULES = {
    "tofu-20": "tofu",
    "tofu-20-forget05": "tofu",
    "tofu-20-forget10": "tofu",
    "tofu-forget01": "tofu",
    "tofu-forget05": "tofu",
    "tofu-forget10": "tofu",
    "muse-news": "muse",
    "rwku": "rwku",
    "fictitious": "fictitious",
    "lm-eval": "fictitious",
}
SUITES = tuple(_MODULES)
"""The names that `load_suite` knows."""


def load_suite(name: str, data: Path | None, seed: int) -> Suite:
    """The suite of that name; every sample in it is drawn with the seed.

    Files are read below `data` ("tofu/full.json", say), else fetched from the Hugging Face hub. Raises SetupError that
    names the file, or the suite that was meant.
    """
    if name not in _MODULES:
        near = difflib.get_close_matches(name, SUITES, n=1, cutoff=0.4)
        hint = f" did you mean {near[0]!r}?" if near else ""
        raise SetupError(f"no suite {name!r};{hint} there are {', '.join(SUITES)}")
    if data is not None and not data.is_dir():
        raise SetupError(f"--data {data} is no folder")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    suite: Suite = module.load(name, data, seed)
    return suite
