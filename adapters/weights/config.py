"""The configuration of a weight-based unlearning run: the method, what it trains, and the weights of its terms."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from adapters.optimizers.schedule import OptimisationConfig

__all__ = ["Target", "UnlearningConfig", "WeightMethod"]

WeightMethod = Literal["ga", "graddiff", "kl", "idk-dpo", "npo", "simnpo", "rmu", "undial", "flat", "whp"]
Target = Literal["full", "lora"]


@dataclass(frozen=True, slots=True)
class _Weights:
    """The weights in a method's paper, or in its authors' code. NaN: the method has no beta."""

    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = math.nan


_PUBLISHED: dict[WeightMethod, _Weights] = {
    "ga": _Weights(alpha=0.0),
    "graddiff": _Weights(),
    "kl": _Weights(),
    "idk-dpo": _Weights(beta=0.1),
    "npo": _Weights(beta=0.1),
    "simnpo": _Weights(gamma=0.125, beta=2.5),
    "rmu": _Weights(alpha=100.0, beta=5.0),
    "undial": _Weights(alpha=0.0, beta=10.0),
    "flat": _Weights(alpha=0.0),
    "whp": _Weights(alpha=0.0, beta=5.0),
}


@dataclass(frozen=True, slots=True)
class UnlearningConfig:
    """gamma * forget term + alpha * retain term, over all of a model's weights or a LoRA that is merged at the end.

    | method   | arXiv      | forget term                                       | retain term                |
    |----------|------------|---------------------------------------------------|----------------------------|
    | ga       | 2210.01504 | minus the NLL                                     | none                       |
    | graddiff | 2203.12817 | minus the NLL                                     | NLL                        |
    | kl       | 2401.06121 | minus the NLL                                     | KL(original, model)        |
    | idk-dpo  | 2401.06121 | DPO for "I do not know"; beta its temperature     | NLL                        |
    | npo      | 2404.05868 | DPO without a winner; beta its temperature        | NLL                        |
    | simnpo   | 2410.07163 | the same by length; beta, delta in nats a token   | NLL                        |
    | rmu      | 2403.03218 | a layer's activations to c * u                    | to what they were          |
    | undial   | 2402.10052 | the original, its answer logits lowered by beta   | NLL, by default 0 * it     |
    | flat     | 2410.11143 | a neutral answer rather, by total variation       | NLL, by default 0 * it     |
    | whp      | 2310.02238 | generic labels; beta weighs the reinforced model  | NLL, by default 0 * it     |

    Without gamma, alpha or beta the run takes the method's own. rmu's c is beta times the mean norm of the original
    activations on forget answers, so that a beta means the same in any model. Of the model's own weights rmu trains the
    last matrices of the MLPs of `layer` (from 0; without it, a third of the depth) and of the two layers before it. whp
    learns the forget rows harder in a LoRA, by `reinforcement`: if the model knows them by heart, there is little to
    learn, and so little to forget. A LoRA has the `rank` and is scaled by lora_alpha / rank. Raises ValueError for a
    value out of range, and for an option that the method does not have.
    """

    method: WeightMethod
    target: Target
    optimisation: OptimisationConfig
    gamma: float | None = None
    alpha: float | None = None
    beta: float | None = None
    delta: float = 0.0
    layer: int | None = None
    rank: int = 8
    lora_alpha: int = 16
    reinforcement: OptimisationConfig = field(default_factory=lambda: OptimisationConfig(lr=1e-3, epochs=5))

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_weights()
        if self.delta and self.method != "simnpo":
            raise ValueError(f"delta is simnpo's, {self.method} has none")
        if self.layer is not None and (self.method != "rmu" or self.layer < 0):
            raise ValueError(f"layer is rmu's and counts from 0, got {self.layer} for {self.method}")
        if self.rank < 1 or self.lora_alpha < 1:
            raise ValueError(f"rank and lora_alpha must be above 0, got {self.rank} and {self.lora_alpha}")

    @property
    def forget_weight(self) -> float:
        """gamma."""
        return _PUBLISHED[self.method].gamma if self.gamma is None else self.gamma

    @property
    def retain_weight(self) -> float:
        """alpha."""
        return _PUBLISHED[self.method].alpha if self.alpha is None else self.alpha

    @property
    def strength(self) -> float:
        """beta; NaN where the method has none."""
        return _PUBLISHED[self.method].beta if self.beta is None else self.beta

    def _check_choices(self) -> None:
        if self.method not in get_args(WeightMethod):
            raise ValueError(f"unknown method {self.method!r}; there are {', '.join(get_args(WeightMethod))}")
        if self.target not in get_args(Target):
            raise ValueError(f"unknown target {self.target!r}; there are {', '.join(get_args(Target))}")

    def _check_weights(self) -> None:
        if not (0 < self.forget_weight < math.inf and 0 <= self.retain_weight < math.inf):
            raise ValueError(
                f"gamma must be above 0 and alpha not below, got {self.forget_weight} and {self.retain_weight}"
            )
        if self.method == "ga" and self.retain_weight:
            raise ValueError("ga retains nothing: alpha must be 0; with a retain term it is graddiff")
        if self.beta is not None and math.isnan(_PUBLISHED[self.method].beta):
            raise ValueError(f"{self.method} has no beta")
        if self.beta is not None and not 0 < self.beta < math.inf:
            raise ValueError(f"beta must be above 0, got {self.beta}")
