"""The arms of a comparison, one YAML file an arm. This module reads and checks the files.

A weights arm's name takes suffixes: `npo+lora` trains an adapter and merges it, `npo+mofo` uses MoFO for AdamW.
"""

import difflib
from collections.abc import Sequence
from importlib import resources
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.errors import SetupError

__all__ = ["KINDS", "Arm", "Baseline", "Guardrail", "Weights", "arm_names", "load_arms"]

KINDS = ("baseline", "guardrail", "weights")
"""The kinds of arms, in the order of lists and tables."""
_SUFFIXES = {"lora": {"target": "lora"}, "mofo": {"optimizer": "mofo"}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    cite: str = ""


class Baseline(_Strict):
    """A model as it is: it was taught everything ("all"), or everything but what is to be forgotten ("kept")."""

    kind: Literal["baseline"]
    taught: Literal["all", "kept"]


class Guardrail(_Strict):
    """Packs that `method` trains, and how they act. `plan` is as in a scope's policy; a pack that is not `gated` acts
    on every request. The gate `screens` the "prompt", as the gateway does, or the "answer", which it then refuses."""

    kind: Literal["guardrail"]
    method: Literal["corruption", "soft-prompt", "lora"]
    plan: Literal["forget", "refuse", "instruct"] = "forget"
    gated: bool = True
    screens: Literal["prompt", "answer"] = "prompt"


class Weights(_Strict):
    """Unlearning in the weights. `grid` gives the values to choose from for each setting; of all combinations, those
    that a seeded shuffle brings up first are tried, as many as the budget allows. An adapter learns at
    `lora_lr_factor` times the learning rate."""

    kind: Literal["weights"]
    method: str
    target: Literal["full", "lora"] = "full"
    optimizer: Literal["adamw", "mofo"] = "adamw"
    lora_lr_factor: float = 10.0
    grid: dict[str, list[float]] = Field(default_factory=dict)


Arm = Annotated[Baseline | Guardrail | Weights, Field(discriminator="kind")]
_READER: TypeAdapter[Any] = TypeAdapter(Arm)


def arm_names() -> list[str]:
    """Every arm that has a file, baselines first, then guardrails, then weights."""
    found = {name: _read(name).kind for name in _files()}
    return sorted(found, key=lambda name: (KINDS.index(found[name]), name))


def load_arms(wanted: str) -> list[Baseline | Guardrail | Weights]:
    """The arms of a comma-separated list, or all of them. Raises SetupError for a name that no file has."""
    names = arm_names() if wanted == "all" else [name.strip() for name in wanted.split(",") if name.strip()]
    if not names:
        raise SetupError(f"no arm was asked for; there are {', '.join(_files())}")
    return [_arm(name) for name in dict.fromkeys(names)]


def _arm(name: str) -> Baseline | Guardrail | Weights:
    base, *suffixes = name.split("+")
    if base not in _files():
        near = difflib.get_close_matches(base, _files(), n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SetupError(f"unknown arm {base!r}; {hint}there are {', '.join(_files())}")
    arm = _read(base)
    for suffix in suffixes:
        if not isinstance(arm, Weights) or suffix not in _SUFFIXES:
            raise SetupError(f"{name!r}: only arms that change weights take a suffix, and only +lora and +mofo")
        arm = arm.model_copy(update=_SUFFIXES[suffix])
    return arm.model_copy(update={"name": name})


def _files() -> Sequence[str]:
    return sorted(
        file.name.removesuffix(".yaml") for file in resources.files(__name__).iterdir() if file.name.endswith(".yaml")
    )


def _read(name: str) -> Baseline | Guardrail | Weights:
    text = (resources.files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    try:
        arm: Baseline | Guardrail | Weights = _READER.validate_python({**yaml.safe_load(text), "name": name})
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise SetupError(f"the arm file {name}.yaml is wrong: {error}") from error
    return arm
