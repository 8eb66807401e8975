"""Backends out of settings: the gateway's own, and those of an online comparison's arms."""

from functools import cached_property
from pathlib import Path

from pydantic import SecretStr
from torch import Tensor

from gateway.backends.base import Backend
from gateway.errors import ModelError, SetupError
from gateway.models.folders import resolve
from gateway.models.language_model import embedding_table, load_language_model, load_tokenizer
from gateway.prompts.rendering import Tokenizer
from gateway.settings import ArmSettings, Settings

__all__ = ["Factory"]


class Factory:
    """Builds backends, not started yet, over one base model's folder. What several of them need is read once."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def guarded(self) -> Backend:
        """The gateway's own backend. Raises ModelError."""
        settings = self._settings
        if settings.backend == "vllm":
            return self._vllm(settings.upstream, settings.upstream_key, adapters=Path())
        return self._embedded(self._folder)

    def arm(self, arm: ArmSettings) -> Backend:
        """An arm's. One that has forgotten every scope needs no unlearning adapters. Raises SetupError."""
        if arm.model:
            try:
                return self._embedded(resolve(arm.model))
            except ModelError as error:
                raise SetupError(f"arm {arm.name!r}: {error}") from error
        # A folder of its own: the arms' backends would delete each other's adapters.
        adapters = None if arm.unlearned is True else Path(f"arm-{arm.name}")
        return self._vllm(arm.upstream, arm.upstream_key, adapters=adapters)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer: Tokenizer = load_tokenizer(self._folder)
        return tokenizer

    @cached_property
    def _weight(self) -> Tensor:
        return embedding_table(self._folder)

    def _vllm(self, upstreams: tuple[str, ...], key: SecretStr | None, *, adapters: Path | None) -> Backend:
        """`adapters` is where, within the adapters' folder, this backend's are; None: it gets none."""
        from gateway.backends.vllm.backend import VllmBackend

        settings = self._settings
        seen_as = settings.upstream_adapters_folder
        return VllmBackend(
            upstreams=upstreams,
            tokenizer=self._tokenizer,
            weight=self._weight,
            api_key=key.get_secret_value() if key else None,
            read_timeout_s=settings.upstream_read_timeout_s,
            adapters_folder=settings.adapters_folder.absolute() / adapters if adapters is not None else None,
            upstream_adapters_folder=seen_as / adapters if adapters is not None and seen_as else None,
            adapter_slots=settings.adapter_slots,
            strengths=settings.lora_strengths,
        )

    def _embedded(self, folder: Path) -> Backend:
        from gateway.backends.embedded.backend import EmbeddedBackend

        settings = self._settings
        return EmbeddedBackend(
            load_language_model(folder),
            name=settings.model_name or Path(settings.model).name,
            slots=settings.slots,
            queue=settings.queue,
            default_tokens=settings.default_tokens,
        )
