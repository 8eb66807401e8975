"""The floor: how much of an answer known by heart the model still gives, whatever its question is turned into.

No corruption of the prompt can reach less. Measured on rows of the rehearsal, never on reported rows: the probability
of a token of the true answer, and the share of its tokens that are likeliest, each after the true tokens before it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.compare.suites import load_suite
from benchmarks.items import Item
from corruption.operators import CorruptionConfig
from corruption.selection import message_seed
from gateway.core import Pass, Plan
from gateway.errors import SetupError
from gateway.evaluation.guarded_model import GuardedModel, question
from gateway.methods.corruption import Corrupt, Edit
from gateway.models.language_model import load_language_model

__all__ = ["measure_floor"]

_DECOYS = CorruptionConfig("decoy_word", 1.0, 1.0)
_NOISE = CorruptionConfig("gaussian_random", 1.0, 10.0)
_INVENTED = "Orlan Vesk"


def measure_floor(suite: str, compared: Path, data: Path, *, seed: int) -> dict[str, Any]:
    """Asks the models of a finished comparison on `suite`.

    Args:
        suite: name of the suite.
        compared: folder of the comparison.
        data: folder of public data sets.
        seed: of the suite's samples.

    Raises SetupError if the folder has no such models.
    """
    loaded = load_suite(suite, data, seed)
    folders = {name: compared / "models" / name for name in ("all", "kept")}
    if missing := [str(folder) for folder in folders.values() if not folder.is_dir()]:
        raise SetupError(f"{missing[0]} is missing; run `unrecall compare --suite {suite} --out {compared}` first")
    items = [item for item in loaded.validation if item.scope is not None]
    others = [item for item in loaded.validation if item.scope is None]
    model = GuardedModel(load_language_model(folders["all"]))
    prompts = [item.prompt for item in items]
    aside = [others[place % len(others)].prompt for place in range(len(items))]
    texts = {
        "the question itself": prompts,
        "the question about an invented name": [_renamed(text, loaded.rehearsal.aliases) for text in prompts],
        "nothing (...)": ["..."] * len(items),
        "a retained question": aside,
        "a question about authors never taught": [
            loaded.calibration[place % len(loaded.calibration)].prompt for place in range(len(items))
        ],
    }
    found = {name: _known(model, of_one, items, [Pass()] * len(items)) for name, of_one in texts.items()}
    for name, config in {"every word a decoy": _DECOYS, "every word drowned in noise": _NOISE}.items():
        found[name] = _known(model, prompts, items, [_whole(item, config) for item in items])
    retrained = GuardedModel(load_language_model(folders["kept"]))
    for name, asked in {"never taught, this model": model, "never taught, the retrained model": retrained}.items():
        never = [item.prompt for item in loaded.calibration]
        found[name] = _known(asked, never, loaded.calibration, [Pass()] * len(never))
    return {"suite": suite, "rows": "rehearsal", "after": found}


def _renamed(text: str, names: Sequence[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, _INVENTED)
    return text


def _whole(item: Item, config: CorruptionConfig) -> Plan:
    return Corrupt((Edit(0, ((0, len(item.prompt)),), config, message_seed("floor", item.prompt)),))


def _known(
    model: GuardedModel, texts: Sequence[str], items: Sequence[Item], plans: Sequence[Plan]
) -> Mapping[str, float]:
    scores = model.scores([question(text) for text in texts], plans, [item.answer for item in items])
    known = [one for one in scores if one is not None]
    return {
        "probability": fmean(float(one.logprob.mean().exp()) for one in known),
        "exact_memorisation": fmean(float(one.likeliest.float().mean()) for one in known),
        "n": len(known),
    }
