"""`make bench`: runs the measurements and writes benchmarks/results/*.json.

python -m benchmarks.product.run [--only forgetting,latency,ttft,detectors,continual,plans] [--data DIR]
python -m benchmarks.product.run --only floor --compared RESULTS   (RESULTS: --out of unrecall compare --suite tofu-20)
"""

import argparse
import sys
from pathlib import Path

from benchmarks.compare.floor import measure_floor
from benchmarks.product.continual import measure_continual, steps_folder
from benchmarks.product.detectors import measure_detectors
from benchmarks.product.forgetting import measure
from benchmarks.product.latency import measure_stub, measure_ttft
from benchmarks.product.memorised import memorised
from benchmarks.product.plans import measure_plans
from benchmarks.product.upstream import vllm_server
from benchmarks.record import write
from gateway.errors import SetupError, reason_of
from gateway.models.folders import resolve

__all__ = ["main"]

_PARTS = ("forgetting", "latency", "ttft", "detectors", "continual", "plans")
_PERSONS = 10


def main(arguments: list[str] | None = None) -> int:
    """Measures the parts that are asked for. The exit status is 0 if it could measure all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(_PARTS), help="comma-separated parts")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--packs", type=Path, default=Path(".unrecall/packs"))
    parser.add_argument("--cache", type=Path, default=Path(".unrecall/bench"), help="models and packs made on the way")
    parser.add_argument("--compared", type=Path, default=Path(".unrecall/tofu-20"), help="floor: tofu-20's folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    failed = 0
    for part in options.only.split(","):
        try:
            print(f"{part}: {_run(part, options)}")
        except (OSError, RuntimeError, SetupError) as error:
            failed += 1
            print(f"{part}: not measured: {reason_of(error, with_file=True)}", file=sys.stderr)
    return 1 if failed else 0


def _run(part: str, options: argparse.Namespace) -> Path:
    seed = options.seed
    match part:
        case "forgetting":
            found = measure(options.data, options.packs, seed=seed)
        case "latency":
            found = measure_stub(options.packs)
        case "ttft":
            with vllm_server(Path(".venv-vllm"), resolve("smollm2"), Path(".unrecall/vllm-bench.log")) as url:
                found = measure_ttft(url, options.packs)
        case "detectors":
            found = measure_detectors(options.data, options.packs, seed=seed)
        case "continual":
            found = measure_continual(options.cache, persons=_PERSONS, seed=seed)
        case "plans":
            model, trained = memorised(_PERSONS, seed, options.cache), steps_folder(options.cache, _PERSONS, seed)
            with vllm_server(Path(".venv-vllm"), model, Path(".unrecall/vllm-plans.log")) as url:
                found = measure_plans(url, model, trained, seed=seed)
        case "floor":
            found = measure_floor("tofu-20", options.compared, options.data, seed=seed)
        case _:
            raise RuntimeError(f"unknown part {part!r}; there are {', '.join(_PARTS)} and floor")
    return write(part, seed, found)


if __name__ == "__main__":
    raise SystemExit(main())
