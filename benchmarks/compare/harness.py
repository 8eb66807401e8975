"""Utility by somebody else's code: lm-evaluation-harness asks an arm through the gateway's own endpoint."""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic_settings import PydanticBaseSettingsSource

from benchmarks.serving import served
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.errors import SetupError
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint
from gateway.models.language_model import LanguageModel
from gateway.screening.gate import Gate
from gateway.screening.reload import PackReloader
from gateway.server.app import create_app
from gateway.settings import Settings

__all__ = ["ServedArm", "Tasks", "checked", "harness_scores"]

_MODEL = "compared"
_SAMPLING = frozenset({"until", "do_sample", "temperature", "top_p", "max_gen_toks", "max_tokens"})


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks of lm-evaluation-harness by name; of each the first `limit` rows. `folder`: task files of one's own."""

    names: tuple[str, ...]
    limit: int
    folder: Path | None = None

    def identity(self) -> dict[str, Any]:
        """All that two runs must share for their scores to be comparable."""
        files = sorted(self.folder.rglob("*.yaml")) if self.folder else []
        content = b"".join(file.read_bytes() for file in files)
        return {
            "names": list(self.names),
            "limit": self.limit,
            "files_sha256": hashlib.sha256(content).hexdigest() if files else None,
            "lm_eval": version("lm-eval"),
        }


@dataclass(frozen=True, slots=True)
class ServedArm:
    """How the gateway serves an arm: a model, the model's folder, and a gate with the folder of its packs if the arm
    has one."""

    base: LanguageModel
    model: Path
    gate: Gate | None = None
    packs: Path | None = None


def checked(names: str, limit: int, folder: Path | None) -> Tasks:
    """The tasks of a comma-separated list. It fetches their data now, before any training. Raises SetupError for a task
    that no chat endpoint can serve."""
    if importlib.util.find_spec("lm_eval") is None:
        raise SetupError(
            "the tasks need lm-evaluation-harness: pip install 'unrecall[lm-eval]' (in a checkout: -e '.[lm-eval]')"
        )
    if limit < 1:
        raise SetupError(f"--limit must be at least 1, got {limit}")
    if folder is not None and not folder.is_dir():
        raise SetupError(f"--task-files {folder} is no folder")
    wanted = tuple(sorted({name.strip() for name in names.split(",")} - {""}))
    if not wanted:
        raise SetupError("--tasks names no task")
    for name, task in _loaded(wanted, folder).items():
        if why := _unfit(task):
            raise SetupError(f"task {name} {why}")
    return Tasks(wanted, limit, folder)


def _loaded(names: tuple[str, ...], folder: Path | None) -> dict[str, Any]:
    """The harness's tasks, a group's one by one."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder) if folder else None)
    if unknown := sorted(set(names) - set(manager.all_tasks)):
        hint = f"nor has {folder} a readable file of it; " if folder else ""
        raise SetupError(f"lm-evaluation-harness has no task {unknown[0]!r}; {hint}`lm-eval ls tasks` lists its own")
    try:
        return dict(manager.load(list(names))["tasks"])
    except Exception as error:  # whatever a data set's loading may raise
        raise SetupError(f"the tasks {', '.join(names)} cannot be loaded: {type(error).__name__}: {error}") from error


def _unfit(task: Any) -> str:
    """Why a task cannot be asked through a chat endpoint; empty if it can."""
    kind = task.get_config("output_type")
    if kind != "generate_until":
        return (
            f"scores given texts ({kind}); a chat endpoint only generates. Choose the generating variant of the task "
            "(gsm8k, triviaqa, mmlu_generative, ...)"
        )
    if getattr(task, "UNSAFE_CODE", False):
        return "runs code that the model wrote; ask it with lm-eval itself, in a sandbox"
    if foreign := sorted((task.get_config("generation_kwargs") or {}).keys() - _SAMPLING):
        return f"asks for {', '.join(foreign)}, which OpenAI's protocol does not have"
    return ""


def harness_scores(arm: ServedArm, tasks: Tasks, log: Path, *, seed: int) -> dict[str, dict[str, float]]:
    """By task, the harness's own metrics and its n. Its output goes to `log`. Raises RuntimeError if it fails."""
    with _endpoint(arm) as url, tempfile.TemporaryDirectory() as out:
        command = _command(url, tasks, out, seed)
        with log.open("w", encoding="utf-8") as said:
            ended = subprocess.run(command, stdout=said, stderr=subprocess.STDOUT, check=False)
        found = sorted(Path(out).rglob("results_*.json"))
        if ended.returncode or not found:
            raise RuntimeError(f"lm-eval ended with {ended.returncode}; {log} says why")
        return _read(json.loads(found[-1].read_text(encoding="utf-8")))


def _command(url: str, tasks: Tasks, out: str, seed: int) -> list[str]:
    asked = {"base_url": f"{url}/v1/chat/completions", "model": _MODEL, "tokenizer_backend": None, "num_concurrent": 2}
    return [
        *(sys.executable, "-m", "lm_eval", "run", "--model", "local-chat-completions"),
        *("--model_args", ",".join(f"{key}={value}" for key, value in asked.items())),
        *("--tasks", ",".join(tasks.names), "--limit", str(tasks.limit), "--seed", str(seed)),
        *("--apply_chat_template", "--output_path", out),
        *(("--include_path", str(tasks.folder)) if tasks.folder else ()),
    ]


def _read(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Metrics by their names ("exact_match,strict-match"), without the standard errors."""
    found: dict[str, dict[str, float]] = {}
    for task, metrics in results["results"].items():
        values = {key: float(value) for key, value in metrics.items() if isinstance(value, int | float)}
        n = results.get("n-samples", {}).get(task, {}).get("effective")
        kept = {key: value for key, value in values.items() if "stderr" not in key and key != "sample_len"}
        found[task] = {**kept, **({"n": n} if n is not None else {})}
    return found


class _Defaults(Settings):
    """The gateway's own defaults, whatever the operator's environment says."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: Any, init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@contextmanager
def _endpoint(arm: ServedArm) -> Iterator[str]:
    """A gateway that serves the arm; its URL."""
    with tempfile.TemporaryDirectory() as nothing:
        folder, encoder = arm.packs or Path(nothing), find_encoder("minilm")
        reloader = PackReloader(
            folder,
            encoder=encoder.load(),
            base_fingerprint=fingerprint(arm.model),
            encoder_fingerprint=encoder.fingerprint,
        )
        if arm.gate is not None:
            reloader.gate = arm.gate  # the packs as this arm lets them act
        backend = EmbeddedBackend(arm.base, name=_MODEL)
        with served(create_app(_Defaults.model_validate({"packs": folder}), backend, reloader), 0) as url:
            yield url
