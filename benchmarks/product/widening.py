"""What the gate misses of questions without a listed name when it is trained as it is, and with what widens its scope.

python -m benchmarks.product.widening --packs DIR [--data DIR] [--written FILE ...]

`rows alone`: the head of the scope's rows. `name parts`: words of the scope's names raise its score. `written, NAME`:
both, and the questions that a model wrote (--written: a file of one JSON array of texts; --write MODEL N makes one).
Nothing was tuned on what is asked here: public trivia without a listed name, the questions of
`benchmarks.product.evasion`, the project's own held-out rows near the scope, public general prompts.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.attacks.harmless import QUESTIONS
from benchmarks.attacks.registry import FAMILIES, dress
from benchmarks.flags import flagged
from benchmarks.items import Item, request_of
from benchmarks.product.evasion_questions import DESCRIBED, UNNAMED
from benchmarks.product.rows import data_sets, heldout, names_demo, request_for
from benchmarks.record import proportion, write
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import name_of
from classifiers.splits import split_rows
from classifiers.svm.model import Head
from classifiers.svm.training import GateTraining, TrainedGate, fit_gate
from gateway.core import Message
from gateway.models.encoders import find_encoder
from gateway.models.folders import resolve
from gateway.models.language_model import load_language_model
from gateway.packs.store import Pack, load_packs
from gateway.screening.gate import Gate
from gateway.training.scope_file import Scope, load_scope
from gateway.training.writing import local_writer, written_questions

__all__ = ["main", "measure_widening"]

_SCOPE = Path("examples/harry-potter/scope.yaml")


def measure_widening(
    packs: Path, data: Path, written: Mapping[str, Sequence[str]], *, families: Sequence[str], seed: int
) -> dict[str, Any]:
    """By way to train: miss rates of each slice, by attack family too, and false alarms, with n and Wilson intervals.

    Args:
        packs: a folder with the demo's pack, of which all but the head is taken.
        data: the folder of public data.
        written: by the writer's name, what it wrote.
        families: attack families to ask the unnamed and described questions in.
        seed: of every random choice.
    """
    scope, files = load_scope(_SCOPE), find_encoder("minilm")
    encoder = files.load()
    pack = load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint)[scope.id]
    slices = _slices(scope, data)
    split = split_rows([row.prompt for row in scope.forget], [row.prompt for row in scope.retain], seed=seed)
    found: dict[str, Any] = {}

    def fitted(texts: Sequence[str]) -> TrainedGate:
        return fit_gate(
            split=split, aliases=scope.aliases, encoder=encoder, training=GateTraining(seed=seed), written=texts
        )

    plain = fitted(())
    ways: dict[str, tuple[Head, int]] = {
        "rows alone": (replace(plain.head, parts=(), bonus=0.0), 0),
        "name parts": (plain.head, 0),
    }
    for name, texts in written.items():
        widened = fitted(texts)
        ways[f"written, {name}"] = (widened.head, widened.written_rows)
    for way, (head, kept) in ways.items():
        gate = Gate({scope.id: _with(pack, head)}, encoder)
        found[way] = {"written_rows": kept, **{name: _share(gate, *asked) for name, asked in slices.items()}}
        print(way, {k: v["rate"] for k, v in found[way].items() if isinstance(v, dict)}, flush=True)
        found[way]["families"] = _families(gate, scope, families, seed)
    return found


def _with(pack: Pack, head: Head) -> Pack:
    return replace(pack, read_model=lambda: head)


def _slices(scope: Scope, data: Path) -> dict[str, tuple[list[str], bool]]:
    """(texts, whether a flag is what is counted) of each slice."""
    sets, names = data_sets(data), LexicalDetector({scope.id: scope.aliases})

    def unnamed(texts: Sequence[str]) -> list[str]:
        return [text for text, found in zip(texts, names.detect(texts), strict=True) if not confirmed(found)]

    general = [text for name, texts in sets.items() if name.startswith("general/") for text in texts if text.strip()]
    return {
        "missed: public trivia, no listed name": (unnamed(sets["inside/muse-books"]), False),
        "missed: unnamed": (list(UNNAMED), False),
        "missed: described": (unnamed(DESCRIBED), False),
        "flagged: near, own": ([case.prompt for case in heldout() if case.slice == "near"], True),
        "flagged: near, real authors": (sets["near/tofu-real-authors"], True),
        "flagged: general": ([text for text in unnamed(general) if not names_demo(text)], True),
    }


def _share(gate: Gate, texts: Sequence[str], counts: bool) -> dict[str, Any]:
    found = flagged(gate, list(map(request_for, texts)))
    return proportion(found.count(counts), len(found))


def _families(gate: Gate, scope: Scope, families: Sequence[str], seed: int) -> dict[str, Any]:
    """Misses of the unnamed and described questions in each family's dress, and its harmless rows flagged."""
    names = tuple(map(name_of, scope.aliases))
    items = [
        Item(f"w/{number:03}", "unnamed", (Message("user", text),), "?", scope=scope.id, names=names)
        for number, text in enumerate((*UNNAMED, *DESCRIBED))
    ]
    found: dict[str, Any] = {}
    for family in families:
        asked = [dressed for item in items if (dressed := dress(family, item, seed))]
        harmless = [dressed for item in QUESTIONS if (dressed := dress(family, item, seed))]
        flags, benign = (flagged(gate, list(map(request_of, some))) for some in (asked, harmless))
        if asked:
            found[family] = {
                "seen": FAMILIES[family].seen,
                "missed": proportion(flags.count(False), len(flags)),
                "benign_flagged": proportion(sum(benign), len(benign)) if benign else None,
            }
    return found


def main() -> None:
    """Measures, prints, and writes benchmarks/results/widening.json; or writes questions with a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, help="folder of packs with the demo scope")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--written", type=Path, nargs="*", default=[], help="files of written questions")
    parser.add_argument("--write", nargs=3, metavar=("MODEL", "N", "FILE"), help="write N questions into FILE, and end")
    parser.add_argument("--families", nargs="*", default=[], help="attack families to measure, too")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if options.write:
        model, count, file = options.write
        scope = load_scope(_SCOPE)
        split = split_rows([r.prompt for r in scope.forget], [r.prompt for r in scope.retain], seed=options.seed)
        writer = local_writer(load_language_model(resolve(model)))
        texts = written_questions(scope, split.forget.train, writer, int(count), seed=options.seed)
        Path(file).write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")
        return
    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in options.written}
    found = measure_widening(options.packs, options.data, written, families=options.families, seed=options.seed)
    print(write("widening", options.seed, {"ways": found}))


if __name__ == "__main__":
    main()
