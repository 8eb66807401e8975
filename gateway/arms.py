"""An arm of an online comparison, as the operator describes it in the settings."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from gateway.files.addresses import Upstreams
from gateway.files.keys import Key, refuse_empty

__all__ = ["OWN_ARM", "ArmSettings", "Share"]

OWN_ARM = "guarded"
"""As gateway.experiments.assignment calls the gateway's own arm, which settings need not load."""
Share = Annotated[float, Field(gt=0, le=1)]
"""A share above nothing."""


class ArmSettings(BaseModel):
    """One arm beside the guarded one, served by `upstream`, or by a `model` in this process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="The name of the arm in reports and audit lines."
    )
    share: Share = Field(
        description="split: the arm's share of the users. shadow: its share of the flagged requests. "
        "The shares of all arms are 1 together at most; the guarded arm has the rest."
    )
    unlearned: StrictBool | tuple[str, ...] = Field(
        False,
        description="DANGER. `true`: the operator says that this arm's WEIGHTS have forgotten every scope, so the arm "
        "gets every request UNGUARDED: no pack corrupts or refuses, now or later. A list of scopes: the same for these "
        "scopes alone. Nothing checks this; if it is wrong, the arm recalls. `false`: packs act here as everywhere.",
    )
    upstream: Upstreams = Field(
        (),
        description="vllm: base URLs of servers that serve the arm's model, with or without /v1. Separate several by "
        "commas.",
    )
    upstream_key: Key | None = Field(None, description="vllm: the bearer key that these servers ask for.")
    model: str | None = Field(
        None, description="embedded: the folder of the arm's model, which then runs in this process."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_empty(cls, given: Any) -> Any:
        return refuse_empty(given, ("upstream_key",))

    @model_validator(mode="after")
    def _one_place(self) -> "ArmSettings":
        if self.name == OWN_ARM:
            raise ValueError(f"{OWN_ARM!r} is the name of the gateway's own arm; choose another")
        if bool(self.upstream) == bool(self.model):
            raise ValueError(f"arm {self.name!r} needs either an upstream or a model, and not both")
        return self

    @property
    def forgotten(self) -> bool | frozenset[str]:
        """As gateway.experiments.assignment.Arm has it."""
        return self.unlearned if isinstance(self.unlearned, bool) else frozenset(self.unlearned)
