"""What is wrong with settings and can be told before anything is loaded."""

from gateway.errors import ModelError, SetupError
from gateway.models.folders import local_folder
from gateway.models.languages import OFF, PACKAGED
from gateway.packs.folders import list_packs
from gateway.settings import Settings

__all__ = ["check_folders"]


def check_folders(settings: Settings) -> None:
    """Raises SetupError if the folder of packs cannot be read, or if a model's folder is none. Loads and downloads
    nothing."""
    list_packs(settings.packs)
    languages = () if settings.language_encoder in (OFF, PACKAGED) else (settings.language_encoder,)
    for model in (settings.model, settings.encoder, *languages):
        local_folder(model)
    for arm in settings.ab_arms:
        try:
            _ = local_folder(arm.model) if arm.model else None
        except ModelError as error:
            raise SetupError(f"arm {arm.name!r}: {error}") from error
