"""The gate on other languages than English: what it misses, what it flags by mistake, and how long it takes.

python -m benchmarks.product.languages --packs DIR

Misses: questions about the demo's scope in seven languages, with a name in the local script and without any name,
written for this measurement and never used in a training. False alarms: the shipped prompts that no training sees.
Names: invented ones, which no scope has, as seven scripts write them. Latency: one screening on one core.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.flags import flagged
from benchmarks.product.rows import request_for, rows_in
from benchmarks.record import proportion, quantiles_ms, write
from classifiers.languages.groups import LANGUAGES
from classifiers.languages.prompts import held_out_prompts
from classifiers.names.foreign import ForeignNames
from classifiers.traffic import general_traffic
from gateway.models.encoders import find_encoder
from gateway.models.languages import PACKAGED, language_loader
from gateway.packs.store import Pack, load_packs
from gateway.screening.gate import Gate

__all__ = ["main", "measure_languages"]

_DATA = Path(__file__).parent.parent / "data"
_TIMED = 150
_FRENCH, _RUSSIAN = "Quelle est la capitale de l'Australie ?", "Объясни простыми словами, что такое инфляция."


def measure_languages(packs: Path) -> dict[str, Any]:
    """Miss rates and false alarms with n and Wilson intervals, and milliseconds."""
    files = find_encoder("minilm")
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint)
    encoder = files.load()
    encoder.warm_up()
    names_alone = Gate(loaded, encoder)
    load_languages = language_loader(PACKAGED)
    whole = Gate(loaded, encoder, load_languages=load_languages)
    return {
        "misses": {
            "english_gate_and_names": _misses(names_alone),
            "no_aliases_by_hand": _misses(Gate(_without_renderings(loaded), encoder, load_languages=load_languages)),
            "whole": _misses(whole),
        },
        "false_alarms": {"english_gate_and_names": _alarms(names_alone), "whole": _alarms(whole)},
        "english_false_alarms": {
            name: _counted(_flags(gate, general_traffic()[1::6]))
            for name, gate in (("english_gate_and_names", names_alone), ("whole", whole))
        },
        "invented_names": _names(),
        "latency_ms": {  # each with an encoder of its own, which has read nothing yet
            "english_gate_and_names": _latency(Gate(loaded, files.load())),
            "whole": _latency(Gate(loaded, files.load(), load_languages=load_languages)),
        },
    }


def _without_renderings(packs: Mapping[str, Pack]) -> dict[str, Pack]:
    """Packs without the list of renderings that ends the demo's aliases and begins with one that is not Latin."""
    return {
        scope: replace(pack, aliases=tuple(itertools.takewhile(lambda alias: str(alias).isascii(), pack.aliases)))
        for scope, pack in packs.items()
    }


def _misses(gate: Gate) -> dict[str, Any]:
    rows = list(rows_in(_DATA / "harry-potter-languages.jsonl"))
    found: dict[str, Any] = {}
    for language in dict.fromkeys(row["language"] for row in rows):
        for part in ("named", "unnamed"):
            asked = [row["prompt"] for row in rows if row["language"] == language and row["slice"] == part]
            flags = _flags(gate, asked)
            found.setdefault(language, {})[part] = _counted([not flag for flag in flags])
    return found


def _alarms(gate: Gate) -> dict[str, Any]:
    flags = {language: _flags(gate, held_out_prompts(language)) for language in LANGUAGES}
    every = [flag for of_language in flags.values() for flag in of_language]
    by_language = {language: _counted(found) for language, found in flags.items()}
    return by_language | {"all": _counted(every)}


def _names() -> dict[str, Any]:
    """How many renderings of an invented name are found: at once, or as one that needs a second sign; and how many
    shipped prompts hold a word that is taken for one of these names."""
    rows = list(rows_in(_DATA / "invented-names.jsonl"))
    detector = ForeignNames().updated({row["name"]: [row["name"]] for row in rows}, ())
    found: dict[str, Any] = {}
    for language in rows[0]["renderings"]:
        verdicts = detector.detect([row["renderings"][language] for row in rows])
        right = [
            [one for one in of_one if one.scope == row["name"]] for row, of_one in zip(rows, verdicts, strict=True)
        ]
        sure = sum(any(one.matched for one in of_one) for of_one in right)
        found[language] = {"sure": proportion(sure, len(rows)), "found": proportion(sum(map(bool, right)), len(rows))}
    prompts = [prompt for language in LANGUAGES for prompt in held_out_prompts(language)]
    alarms = detector.detect(prompts)
    return {
        "by_language": found,
        "names": len(rows),
        "prompts_with_a_sure_name": proportion(sum(any(v.matched for v in of_one) for of_one in alarms), len(prompts)),
        "prompts_with_a_doubtful_name": proportion(sum(bool(of_one) for of_one in alarms), len(prompts)),
    }


def _latency(gate: Gate) -> dict[str, Any]:
    english = general_traffic()[:_TIMED]
    foreign = held_out_prompts("ru") + held_out_prompts("es")
    return {
        "english_prompt": _timed(gate, english),
        "prompt_in_another_language": _timed(gate, foreign[:_TIMED]),
        "the_same_prompt_again": statistics.median(_seconds(gate, foreign[0]) for _ in range(20)) * 1000,
    }


def _timed(gate: Gate, prompts: Sequence[str]) -> dict[str, float]:
    for warming in (_FRENCH, _RUSSIAN, "What is the capital of Australia?"):
        _seconds(gate, warming)
    return quantiles_ms([_seconds(gate, f"{prompt} {place}") for place, prompt in enumerate(prompts)])


def _seconds(gate: Gate, prompt: str) -> float:
    begun = time.perf_counter()
    gate.screen([request_for(prompt)])
    return time.perf_counter() - begun


def _flags(gate: Gate, prompts: Sequence[str]) -> list[bool]:
    return flagged(gate, list(map(request_for, prompts)))


def _counted(flags: Sequence[bool]) -> dict[str, Any]:
    return proportion(sum(flags), len(flags))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    found = measure_languages(parser.parse_args().packs)
    for name, misses in found["misses"].items():
        rows = {language: {part: one["rate"] for part, one in parts.items()} for language, parts in misses.items()}
        print("misses", name, rows)
    print("false alarms", {name: alarms["all"] for name, alarms in found["false_alarms"].items()})
    print(found["invented_names"])
    print(found["latency_ms"])
    print(write("languages", 0, found))


if __name__ == "__main__":
    main()
