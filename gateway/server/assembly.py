"""The parts of a server out of its settings: backends, packs, and an online comparison if there is one."""

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from torch import Tensor

from classifiers.encoder.sentence import Encoder
from gateway.arms import ArmSettings
from gateway.backends.base import Backend
from gateway.errors import ModelError, SetupError
from gateway.models.chat_template import read_chat_template
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint, resolve
from gateway.models.language_model import embedding_table, load_language_model, load_tokenizer
from gateway.models.languages import OFF, language_loader
from gateway.packs.artifacts import ArtifactCache
from gateway.prompts.rendering import Tokenizer
from gateway.screening.reload import PackReloader
from gateway.settings import Settings
from gateway.telemetry.audit import Audit
from gateway.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from gateway.experiments.runner import Experiment

__all__ = ["BackendFactory", "build_experiment", "build_parts"]

_log = logging.getLogger("unrecall")


def build_parts(settings: Settings) -> tuple[Backend, PackReloader, dict[str, Backend]]:
    """The backend and the packs of these settings, and the backends of an online comparison's arms by name, none
    started yet. Raises SetupError."""
    folder = resolve(settings.model, say=_log.info)
    backends = BackendFactory(settings, folder)
    backends.read_tokenizer()  # first: it tells of a model without a chat template
    encoder = find_encoder(settings.encoder, settings.encoder_runtime, say=_log.info)

    def load_encoder() -> Encoder:
        loaded = encoder.load(threads=settings.gate_threads, device=settings.encoder_device)
        loaded.warm_up()
        return loaded

    if settings.language_encoder == OFF:
        _log.warning("language_encoder is off: in other languages than English names alone guard every scope")
    packs = PackReloader(
        settings.packs,
        encoder=load_encoder,
        base_fingerprint=fingerprint(folder),
        encoder_fingerprint=encoder.fingerprint,
        poll_s=settings.packs_poll_s,
        soft_prompts_gated=settings.soft_prompts_gated,
        artifact_cache=ArtifactCache(settings.artifact_cache_mb * 1_000_000),
        load_languages=language_loader(settings.language_encoder, device=settings.encoder_device),
    )
    return backends.guarded(), packs, {arm.name: backends.arm(arm) for arm in settings.ab_arms}


def build_experiment(
    settings: Settings, backend: Backend, arms: Mapping[str, Backend], audit: Audit, metrics: Metrics
) -> "Experiment | None":
    """The online comparison that the settings ask for; None if they ask for none: then nothing of it is loaded.

    Args:
        settings: of the server.
        backend: the guarded arm's.
        arms: the other arms' backends by name, not started yet.
        audit: keeps a record of each shadow.
        metrics: of the gateway.
    """
    if not settings.ab_arms:
        return None
    from gateway.experiments.assignment import Arm, Design
    from gateway.experiments.runner import Experiment

    design = Design(
        tuple(Arm(arm.name, arm.share, arm.forgotten) for arm in settings.ab_arms),
        mode=settings.ab_mode,
        by=settings.ab_by,
        salt=settings.ab_salt,
        shadows=settings.ab_shadows,
        shadow_timeout_s=settings.ab_shadow_timeout_s,
    )
    return Experiment(backend, design, arms, audit=audit, metrics=metrics)


class BackendFactory:
    """Builds backends, not started yet, over one base model's folder. What several of them need is read once."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def read_tokenizer(self) -> Tokenizer:
        """The base model's tokenizer, read once. Raises ModelError for it, or for a chat template that is no good."""
        return self._tokenizer

    def guarded(self, upstreams: tuple[str, ...] = ()) -> Backend:
        """The gateway's own backend, with vLLM over these `upstreams` (none: all of the settings). Raises
        ModelError."""
        settings = self._settings
        if settings.backend == "vllm":
            return self._vllm(upstreams or settings.upstream, settings.upstream_key, adapters=Path())
        return self._embedded(self._folder, self._tokenizer)

    def arm(self, arm: ArmSettings) -> Backend:
        """An arm's backend. An arm that has forgotten every scope needs no unlearning adapters. Raises SetupError."""
        if arm.model:
            try:
                folder = resolve(arm.model)
                return self._embedded(folder, load_tokenizer(folder, chat_template=self._template))
            except ModelError as error:
                raise SetupError(f"arm {arm.name!r}: {error}") from error
        # A folder of its own: the arms' backends would delete each other's adapters.
        adapters = None if arm.unlearned is True else Path(f"arm-{arm.name}")
        return self._vllm(arm.upstream, arm.upstream_key, adapters=adapters)

    @cached_property
    def _template(self) -> str | None:
        file = self._settings.chat_template
        return read_chat_template(file) if file else None

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer: Tokenizer = load_tokenizer(self._folder, chat_template=self._template)
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
            adapter_weights=settings.adapter_weights,
        )

    def _embedded(self, folder: Path, tokenizer: Tokenizer) -> Backend:
        from gateway.backends.embedded.backend import EmbeddedBackend

        settings = self._settings
        return EmbeddedBackend(
            load_language_model(folder, tokenizer=tokenizer),
            name=settings.model_name or Path(settings.model).name,
            slots=settings.slots,
            queue=settings.queue,
            default_tokens=settings.default_tokens,
        )
