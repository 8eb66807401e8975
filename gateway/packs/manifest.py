"""What a pack is, from what it was made, and its figures on held-out rows.

Only types live here: a manifest is read, listed and checked without torch, transformers or scikit-learn.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, StringConstraints, model_validator

from classifiers.names.measure import AliasAlarms, TrafficKind

__all__ = ["Calibration", "Figures", "Forgetting", "GateRates", "HeldOut", "Languages", "Manifest"]

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
_Rate = Annotated[FiniteFloat, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]
_Some = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GateRates(_Strict):
    """Error rates of the gate, each beside its number of held-out rows. None: it was not measured.

    `fnr` is the share of forget rows that the gate misses; `near_fpr` the share of retain rows that it flags. The
    classifier has `classifier_fnr`, its misses without the aliases; the out-of-distribution detector has `general_fpr`,
    the share of shipped general prompts that it flags.
    """

    fnr: _Rate | None
    forget_rows: _Count
    near_fpr: _Rate | None
    retain_rows: _Count
    classifier_fnr: _Rate | None = None
    general_fpr: _Rate | None = None
    general_rows: _Count | None = None


class Figures(_Strict):
    """Means over `rows` held-out questions; see `corruption.objective.Outcome`, whose fields these are."""

    probability: _Rate
    leak_rate: _Rate
    relevance: FiniteFloat
    repetition: _Rate
    surprise: FiniteFloat
    rows: _Some


class Forgetting(_Strict):
    """The model on the held-out forget rows: `plain`; `guarded` by an artifact of the other rows; and on the
    counterfactual prompts (`counterfactual`). `extras` are the method's own."""

    rows: _Some
    plain: Figures
    guarded: Figures
    counterfactual: Figures
    extras: dict[_Name, JsonValue] = {}


class HeldOut(_Strict):
    """Figures on rows that neither the gate nor the method was fitted on."""

    gate: GateRates
    forgetting: Forgetting


class Calibration(_Strict):
    """How the detector's threshold was set, on how many rows. The classifier has `alpha`, the false-positive rate that
    the operator asked for; the out-of-distribution detector has `missed`, the share of in-scope texts that it may
    miss."""

    method: str
    rows: _Count
    threshold: FiniteFloat
    alpha: _Rate | None = None
    threshold_by_traffic_alone: FiniteFloat | None = None
    threshold_by_forget_rows: FiniteFloat | None = None
    traffic_rows_left_out_as_in_scope: _Count | None = None
    missed: _Rate | None = None


class Languages(_Strict):
    """What reads other languages than English. Its threshold stands for the rate `alpha`, on `rows` shipped prompts; of
    `held_out_rows` others in these languages it flags `alarms`."""

    encoder_fingerprint: _Sha256
    alpha: _Rate
    rows: _Count
    alarms: _Count
    held_out_rows: _Count


class Manifest(_Strict):
    """What a pack is, from what it was made, and its figures.

    The loader must know the names in `method` and `detector`. `alias_alarms` counts the prompts outside the scope that
    the names alone flag: of the shipped ones ('general') and of the operator's own ('traffic'). `languages` is None if
    nothing but names guards the scope in other languages than English. `chat_template` is the hash of the chat template
    that the operator gave for the training; None: it was the model's own. A manifest of schema 2, the one before, is
    read as one of today.
    """

    schema_version: Literal[3] = 3
    scope: _Name
    description: str
    method: _Name
    detector: _Name
    version: _Name
    created: str
    base_model: str
    base_fingerprint: _Sha256
    encoder_fingerprint: _Sha256
    training_fingerprint: _Sha256
    chat_template: _Sha256 | None = None
    files: dict[_Name, _Sha256]
    calibration: Calibration
    heldout: HeldOut
    alias_alarms: dict[TrafficKind, AliasAlarms] = {}
    languages: Languages | None = None
    seed: int
    tools: dict[str, str]

    @model_validator(mode="before")
    @classmethod
    def _of_schema_2(cls, content: Any) -> Any:
        if not isinstance(content, dict) or content.get("schema_version") != 2:
            return content
        fields = dict(content) | {"schema_version": 3}
        if "recipe_sha256" in fields:
            fields["training_fingerprint"] = fields.pop("recipe_sha256")
        if isinstance(heldout := fields.get("heldout"), dict):
            fields["heldout"] = {key: _CHANGED.get(key, _same)(value) for key, value in heldout.items()}
        return fields


def _same(content: Any) -> Any:
    return content


def _gate_of_schema_2(content: Any) -> Any:
    """In schema 2 a rate of no rows was 0."""
    if not isinstance(content, dict) or content.get("retain_rows") != 0:
        return content
    return content | {"near_fpr": None}


def _forgetting_of_schema_2(content: Any) -> Any:
    """In schema 2 the method's own figures stood beside the others, and some names were different."""
    if not isinstance(content, dict):
        return content
    names = {"twin": "counterfactual", "telling_words_beside_names": "salient_words_beside_names"}
    renamed = {names.get(key, key): value for key, value in content.items()}
    extras = ("salient_words_beside_names", "virtual_tokens", "served", "orthogonal_to", "overlap")
    found = {key: renamed.pop(key) for key in extras if key in renamed}
    return renamed | {"extras": found}


_CHANGED = {"gate": _gate_of_schema_2, "forgetting": _forgetting_of_schema_2}
