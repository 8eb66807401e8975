"""Every setting of the server: in a YAML file, in the environment (UNRECALL_...), or on the command line."""

import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.errors import SetupError
from gateway.experiments.assignment import GUARDED, By, Mode
from gateway.openai_format.cleaning import UnknownFields
from gateway.openai_format.requests import Limits

__all__ = ["ArmSettings", "Settings", "load_settings"]

_PREFIX = "UNRECALL_"
_Key = Annotated[SecretStr, Field(min_length=1)]  # an empty key would be everybody's
_Share = Annotated[float, Field(gt=0, le=1)]
_Urls = Annotated[tuple[str, ...], NoDecode]
_OTHER_VARIABLES = frozenset({"UNRECALL_CACHE"})


class ArmSettings(BaseModel):
    """One arm beside the guarded one, served by `upstream`, or by a `model` in this process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="what reports and audit lines call it")
    share: _Share = Field(description="its part of the users (split), or of the flagged requests (shadow)")
    unlearned: StrictBool | tuple[str, ...] = Field(
        False,
        description="DANGER. true: this arm's WEIGHTS have forgotten every scope, so that its requests reach the model "
        "UNGUARDED: no corruption, no refusal, whatever packs say now or later. A list: unguarded inside these scopes "
        "alone. Nothing checks it; if it is wrong, the arm recalls. Left out, the packs act here as everywhere",
    )
    upstream: tuple[str, ...] = Field((), description="vllm: base URLs of equal servers")
    upstream_key: SecretStr | None = Field(None, description="bearer key that they ask for")
    model: str | None = Field(None, description="embedded: the checkpoint's folder")

    @field_validator("upstream", mode="before")
    @classmethod
    def _separated(cls, given: Any) -> Any:
        return _separated(given)

    @field_validator("upstream")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(url) for url in urls)

    @model_validator(mode="after")
    def _one_place(self) -> "ArmSettings":
        if self.name == GUARDED:
            raise ValueError(f"{GUARDED!r} is the name of the gateway's own arm; choose another")
        if bool(self.upstream) == bool(self.model):
            raise ValueError(f"arm {self.name!r} needs either an upstream or a model, and not both")
        return self

    @property
    def forgotten(self) -> bool | frozenset[str]:
        """As gateway.experiments.assignment.Arm has it."""
        return self.unlearned if isinstance(self.unlearned, bool) else frozenset(self.unlearned)


class Settings(BaseSettings):
    """The server's settings. The command line wins over the environment, and that over the file."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    model: str = Field("smollm2", description="packaged name, local folder or hub id of the base model")
    encoder: str = Field("minilm", description="the sentence encoder that the packs were trained with")
    packs: Path = Field(Path(".unrecall/packs"), description="folder of packs")
    backend: Literal["embedded", "vllm"] = "embedded"
    upstream: _Urls = Field((), description="base URLs of equal vLLM servers; separate several by commas")
    upstream_key: SecretStr | None = Field(None, description="bearer key that the upstream asks for")
    upstream_read_timeout_s: float = Field(120.0, gt=0, description="longest silence of the upstream")
    model_name: str | None = Field(None, description="what clients call the embedded model; its given name if unset")
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    cors_origins: _Urls = Field(
        (), description="web sites whose pages may call the gateway, as https://HOST; '*' for all; none: no page may"
    )
    api_keys: list[_Key] = Field(default_factory=list, description="keys of clients; none: open to all")
    admin_key: _Key | None = Field(None, description="opens explanatory headers, /metrics and /readyz details")
    limits: Limits = Field(default_factory=Limits.model_construct)
    unknown_fields: UnknownFields = Field(
        "refuse",
        description="request fields that the gateway does not know. drop: they go no further, and the log names them",
    )
    screen_timeout_s: float = Field(10.0, gt=0, description="longest time in the gate")
    on_screen_error: Literal["refuse", "pass"] = Field("refuse", description="what a failed or late gate means")
    packs_poll_s: float = Field(1.0, gt=0, description="how often the packs folder is looked at")
    adapters_folder: Path = Field(
        Path(".unrecall/adapters"), description="vllm: where LoRAs are laid out for the upstreams to load"
    )
    upstream_adapters_folder: Path | None = Field(
        None, description="the same folder as the upstreams see it, if that is another path"
    )
    adapter_slots: int = Field(8, ge=1, description="vllm: LoRA copies kept loaded in each upstream")
    lora_strengths: tuple[_Share, ...] = Field(
        (0.25, 0.5, 0.75, 1.0),
        min_length=1,
        description="vllm: the soft weights that can be served; a request gets the nearest",
    )
    soft_prompts_gated: bool = Field(
        True, description="off: soft prompts stand before every prompt, as in SPUL's paper, and retained answers change"
    )
    slots: int = Field(2, ge=1, description="concurrent generations of the embedded backend")
    queue: int = Field(64, ge=0, description="requests that may wait for a slot; more get 429")
    default_tokens: int = Field(512, ge=1, description="embedded: length of a chat answer that names none")
    audit_file: Path | None = Field(None, description="where audit lines go; standard output if unset")
    audit_prompts: bool = Field(False, description="write prompt text into audit lines")

    ab_arms: tuple[ArmSettings, ...] = Field(
        (), description="arms that are compared with the guarded one, online; none: no comparison"
    )
    ab_mode: Mode = Field("split", description="split: each user meets one arm. shadow: arms answer beside, unseen")
    ab_by: By = Field("user", description="split by the request's `user` (else the key, else the address), or the key")
    ab_salt: str = Field("unrecall", min_length=1, description="another one deals the users anew")
    ab_shadows: int = Field(8, ge=1, description="requests that are shadowed at once; more are left out")
    ab_shadow_timeout_s: float = Field(60.0, gt=0, description="longest time of one shadow")

    @field_validator("upstream", "cors_origins", mode="before")
    @classmethod
    def _separated(cls, given: Any) -> Any:
        return _separated(given)

    @field_validator("upstream")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_address(url) for url in urls)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_origin(origin) for origin in origins)

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
            raise ValueError(f"two arms are called {doubled[0]!r}")
        if (total := math.fsum(arm.share for arm in arms)) > 1 + 1e-9:
            raise ValueError(f"the arms' shares are {total:g} together; they may be 1 at most")
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
    def _upstream_given(self) -> "Settings":
        if self.backend == "vllm" and not self.upstream:
            raise ValueError("the vllm backend needs the upstream's URL: --upstream http://HOST:PORT")
        return self


def _separated(given: Any) -> Any:
    """URLs in one text, with commas, one by one."""
    return [url for url in (part.strip() for part in given.split(",")) if url] if isinstance(given, str) else given


def _address(url: str) -> str:
    """An upstream's base URL without the /v1 at its end; http:// where it names no scheme. Raises ValueError."""
    if "@" in url:
        raise ValueError("an upstream's URL must not hold a user or a password; give its bearer key as upstream_key")
    try:
        parts = urlsplit(url if "://" in url or url.startswith(("http:", "https:")) else f"http://{url}")
        usable = parts.hostname and parts.port != 0 and parts.scheme in ("http", "https")
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL ({error}); give http://HOST:PORT") from error
    if not usable or parts.query or parts.fragment or any(letter.isspace() for letter in url):
        raise ValueError(f"{url!r} is no base URL of a server; give http://HOST:PORT")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _origin(origin: str) -> str:
    """As browsers write it. Raises ValueError."""
    parts = urlsplit(origin)
    if origin == "*":
        return origin
    if not parts.hostname or origin.rstrip("/") != f"{parts.scheme}://{parts.netloc}":
        raise ValueError(f"{origin!r} is no origin; give https://HOST, with its port if that is another")
    return origin.rstrip("/").lower()


def load_settings(file: Path | None, overrides: dict[str, Any]) -> Settings:
    """Settings from all three places; an override of None is none. Raises SetupError for an unknown key or a bad
    value, and says which."""
    _refuse_unknown_variables()
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
            return (init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=content))

    try:
        return Layered(**{key: value for key, value in overrides.items() if value is not None})
    except (ValidationError, SettingsError) as error:
        raise SetupError(f"settings: {_problems(error)}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read the settings file {file}: {error}") from error
    except yaml.YAMLError as error:
        raise SetupError(f"the settings file {file} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SetupError(f"the settings file {file} must hold a mapping of settings")
    return content


def _refuse_unknown_variables() -> None:
    known = {f"{_PREFIX}{name}".upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.startswith(_PREFIX) and variable not in _OTHER_VARIABLES:
            setting = variable.split("__")[0]
            if setting not in known:
                raise SetupError(f"the environment variable {variable} is no setting; remove or correct it")


def _problems(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return f'{error}; in an environment variable lists are JSON, as in {_PREFIX}AB_ARMS=\'[{{"name": "b"}}]\''
    return "; ".join(_problem(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors())


def _problem(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        return f"there is no setting {name!r}; remove or correct it"
    if kind == "tuple_type":
        return f"{name}: give a list"
    message = message.removeprefix("Value error, ")
    return f"{name}: {message}" if name else message
