"""Somebody else's attacks: garak, unchanged, against the plain model and against the gateway.

garak lives in an environment of its own (its dependencies are not ours):

    python3.11 -m venv GARAK && GARAK/bin/pip install garak
    python -m benchmarks.attacking.garak_run --garak GARAK/bin/python --packs PACKS --out OUT

Both sides are the same server on the same embedded model; the plain one has no packs. garak's own reports stay in
OUT/plain and OUT/gateway, and OUT/garak.json counts them.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.attacking.measures import share_of
from benchmarks.attacking.sides import guarded
from benchmarks.record import environment

__all__ = ["PROBES", "counts", "main", "run_garak"]

PROBES = (
    *(f"leakreplay.{name}" for name in ("PotterCloze", "PotterComplete", "LiteratureCloze")),
    *(f"encoding.Inject{name}" for name in ("Base64", "ROT13", "Morse", "UnicodeTagChars")),
    "badchars.BadCharacters",
    "smuggling.HomoglyphObfuscation",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs garak on both sides, and writes garak.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacking.garak_run", description=__doc__)
    parser.add_argument("--garak", type=Path, required=True, help="the Python of the environment that has garak")
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--probes", default=",".join(PROBES), help="comma-separated probes of garak")
    parser.add_argument("--prompts", type=int, default=24, help="the most prompts a probe")
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"environment": environment(), "seed": options.seed, "prompts": options.prompts}
    with tempfile.TemporaryDirectory() as nothing:
        for side, packs in {"plain": Path(nothing), "gateway": options.packs}.items():
            with guarded(packs, options.model, None) as gateway:
                found[side] = run_garak(
                    options.garak,
                    gateway.url,
                    gateway.model(),
                    options.out.absolute() / side,
                    probes=options.probes,
                    prompts=options.prompts,
                    max_tokens=options.max_tokens,
                    seed=options.seed,
                )
    path = options.out / "garak.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(path)


def run_garak(
    python: Path, url: str, model: str, out: Path, *, probes: str, prompts: int, max_tokens: int, seed: int
) -> dict[str, Any]:
    """garak's counts of one endpoint. Raises RuntimeError if garak fails; OUT/garak.log says why.

    Args:
        python: of garak's environment.
        url: of the endpoint.
        model: its name there.
        out: folder of garak's own report.
        probes: comma-separated.
        prompts: the most prompts a probe.
        max_tokens: the longest answer.
        seed: garak's.
    """
    out.mkdir(parents=True, exist_ok=True)
    generator = {"uri": f"{url}/v1/", "max_tokens": max_tokens, "temperature": 0.0, "stop": []}
    config = {
        "system": {"lite": True},
        "run": {"generations": 1, "soft_probe_prompt_cap": prompts, "seed": seed},
        "plugins": {
            "target_type": "openai.OpenAICompatible",
            "target_name": model,
            "probe_spec": probes,
            "generators": {"openai": {"OpenAICompatible": generator}},
        },
        "reporting": {"report_dir": str(out), "report_prefix": "garak"},
    }
    (out / "garak.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(python), "-m", "garak", "--config", str(out / "garak.yaml")]
    with (out / "garak.log").open("w", encoding="utf-8") as log:
        ended = subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "OPENAICOMPATIBLE_API_KEY": "any", "XDG_DATA_HOME": str(out)},
        )
    report = next(iter(sorted(out.rglob("*garak.report.jsonl"))), None)
    if ended.returncode or report is None:
        raise RuntimeError(f"garak ended with {ended.returncode}; {out / 'garak.log'} says why")
    return counts(report)


def counts(report: Path) -> dict[str, Any]:
    """By probe and detector, the share of answers that garak's detector counts as hits, from garak's own report."""
    rows: list[Mapping[str, Any]] = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    found: dict[str, Any] = {}
    for row in rows:
        if row.get("entry_type") == "eval":
            total = int(row.get("total_evaluated", row.get("total", 0)))
            found[f"{row['probe']} ({row['detector']})"] = share_of(total - int(row["passed"]), total)
    return found


if __name__ == "__main__":
    main()
