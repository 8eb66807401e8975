"""What the gateway reads at its start: the model's folder, the encoders, and the packs. No model is loaded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core import Message, Request
from gateway.doctor.finding import Finding, failed, findings_of, ok, warning
from gateway.errors import InvalidRequest, ModelError, PackError
from gateway.methods.base import Method
from gateway.methods.registry import method
from gateway.models.encoders import find_encoder
from gateway.models.folders import fingerprint, resolve
from gateway.models.languages import OFF, language_fingerprint
from gateway.packs.folders import list_packs, read_manifest
from gateway.packs.manifest import Manifest
from gateway.packs.store import load_pack
from gateway.settings import Settings

__all__ = ["Parts"]


@dataclass(slots=True)
class Parts:
    """What was found so far: None where a check failed. `methods` are those of the packs that are switched on."""

    settings: Settings
    folder: Path | None = None
    base_fingerprint: str | None = None
    encoder_fingerprint: str | None = None
    methods: dict[str, Method] = field(default_factory=dict)

    def model(self) -> Iterator[Finding]:
        """The folder of the base model: its files, family and chat template."""
        from gateway.models.language_model import configuration
        from gateway.server.assembly import BackendFactory

        folder = resolve(self.settings.model, fetch=False)
        base = fingerprint(folder)
        family = configuration(folder).get_text_config().model_type
        tokenizer = BackendFactory(self.settings, folder).read_tokenizer()
        self.folder, self.base_fingerprint = folder, base
        yield ok("model", f"{folder}, of the family {family!r}")
        yield _chat_template(tokenizer)

    def encoder(self) -> Iterator[Finding]:
        """The sentence encoder that the detectors read with."""
        settings = self.settings
        found = find_encoder(settings.encoder, settings.encoder_runtime, fetch=False)
        self.encoder_fingerprint = found.fingerprint
        if found.compiled and not found.compiled.is_file():
            yield warning("encoder", f"{found.folder} is not compiled yet; the first start takes a minute longer")
        else:
            yield ok("encoder", f"{found.folder}, computed by {settings.encoder_runtime}")

    def packs(self) -> Iterator[Finding]:
        """Every pack: whole, made for this model and encoder, and switched on."""
        folders = list_packs(self.settings.packs)
        on: list[str] = []
        off: list[str] = []
        languages: dict[str, str] = {}
        for folder in folders:
            try:
                manifest, enabled = self._pack(folder)
            except PackError as error:
                yield failed(f"pack {folder.name}", str(error))
                continue
            (on if enabled else off).append(folder.name)
            if enabled:
                self.methods[manifest.method] = method(manifest.method)
            if enabled and manifest.languages:
                languages[folder.name] = manifest.languages.encoder_fingerprint
        for scope in off:
            yield warning(
                f"pack {scope}", f"it is switched off, so its scope is not guarded; `unrecall packs enable {scope}`"
            )
        if not folders:
            yield warning("packs", f"{self.settings.packs} holds none: nothing is guarded; `unrecall train SCOPE.yaml`")
        elif on:
            yield ok("packs", f"{len(on)} in force: {_some(on)}")
        by_names = [scope for scope in on if scope not in languages]
        yield from findings_of("other languages", lambda: self._languages(languages, by_names))

    def _pack(self, folder: Path) -> tuple[Manifest, bool]:
        pack = load_pack(folder, base_fingerprint=self.base_fingerprint, encoder_fingerprint=self.encoder_fingerprint)
        return read_manifest(folder), pack.enabled

    def _languages(self, wanted: dict[str, str], by_names: list[str]) -> Iterator[Finding]:
        """`wanted`: the fingerprint of the encoder that each pack's head for other languages reads with; `by_names`:
        packs without one."""
        name = self.settings.language_encoder
        if name == OFF:
            yield warning(
                "other languages", "language_encoder is off: names alone guard every scope in them; set it to e5"
            )
        elif wanted:
            found = language_fingerprint(name)
            strange = sorted(scope for scope, fingerprint in wanted.items() if fingerprint != found)
            if strange:
                raise ModelError(
                    f"{', '.join(strange)}: trained with another encoder of other languages than English; set "
                    "language_encoder as it was, or train these scopes again"
                )
            yield ok("other languages", f"{len(wanted)} guarded with {name}: {_some(list(wanted))}")
            if by_names:
                yield warning("other languages", f"names alone guard {_some(by_names)} in them; train these again")
        elif self.methods:
            yield warning(
                "other languages",
                "no pack has a head for them, so that names alone guard them; `pip install 'unrecall[languages]'` and "
                "train again",
            )


def _chat_template(tokenizer: object) -> Finding:
    from gateway.prompts.rendering import count_tokens
    from gateway.server.surfaces import has_chat_template

    if not has_chat_template(tokenizer):  # type: ignore[arg-type]
        return warning(
            "chat template",
            "none: chats get a 400, only /v1/completions is served; take an instruction-tuned model, or put a "
            "chat_template.jinja into the folder",
        )
    try:
        tokens = count_tokens(tokenizer, Request("doctor", "chat", "", (Message("user", "Hello"),)))  # type: ignore[arg-type]
    except InvalidRequest as error:
        return failed("chat template", f"it cannot render a plain chat ({error.message}); mend chat_template.jinja")
    return ok("chat template", f"renders a chat ({tokens} tokens for 'Hello')")


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
