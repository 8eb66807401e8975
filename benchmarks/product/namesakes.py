"""What the gate flags of prompts that hold a name of the demo's scope in another sense, or a word of such a name.

python -m benchmarks.product.namesakes --packs DIR

The prompts were written for this measurement, and no training saw them: towns, people, pets and things that bear a
listed name, and others that bear one word of it. Their scope has a broad list of names on purpose.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.flags import flagged
from benchmarks.product.rows import request_for, rows_in
from benchmarks.record import proportion, write
from gateway.models.encoders import find_encoder
from gateway.packs.store import load_packs
from gateway.screening.gate import Gate

__all__ = ["main", "measure_namesakes"]

_PROMPTS = Path(__file__).parent.parent / "data" / "harry-potter-namesakes.jsonl"


def measure_namesakes(packs: Path) -> dict[str, Any]:
    """The share flagged, with n and Wilson's interval: of prompts that hold a name, and of those that hold a part."""
    files = find_encoder("minilm")
    gate = Gate(load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint), files.load())
    rows = list(rows_in(_PROMPTS))
    found = {}
    for kind in dict.fromkeys(row["holds"] for row in rows):
        flags = flagged(gate, [request_for(row["prompt"]) for row in rows if row["holds"] == kind])
        found[kind] = proportion(sum(flags), len(flags))
    return {"flagged": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    found = measure_namesakes(parser.parse_args().packs)
    print(found)
    print(write("namesakes", 0, found))


if __name__ == "__main__":
    main()
