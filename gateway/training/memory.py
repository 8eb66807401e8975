"""How much memory a training takes, from shapes alone: what is kept for the backward pass, operation by operation.

It holds for decoder layers like Llama's (Mistral, Qwen, SmolLM): two RMS norms, grouped attention, a gated MLP. The
weights are frozen, so that a linear layer keeps nothing for its backward pass, unless an adapter stands beside it: the
adapter keeps the layer's input, in float32. `benchmarks/product/memory.py` compares these figures with measured peaks.
"""

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["EVALUATED", "PUBLIC_SHAPES", "Memory", "ModelShape", "TrainingStep", "memory_of"]

_FLOAT32 = 4
_ADAM = 4 * _FLOAT32  # a trained number, its gradient, and two moments
EVALUATED = 16
"""Rows at a time when the method is measured; fewer where memory is short (`gateway.evaluation.batch_sizes`)."""
_GENERATED = 64  # tokens of an answer, see `gateway.training.sources`


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The numbers of a model's configuration that its memory depends on. `tied`: the head is the embedding table."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Any) -> Self:
        """Of a text configuration of transformers."""
        hidden, heads = int(config.hidden_size), int(config.num_attention_heads)
        return cls(
            layers=int(config.num_hidden_layers),
            hidden=hidden,
            intermediate=int(getattr(config, "intermediate_size", None) or 4 * hidden),
            heads=heads,
            kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_dim=int(getattr(config, "head_dim", None) or hidden // heads),
            vocabulary=int(config.vocab_size),
            tied=bool(config.tie_word_embeddings),
        )

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) features of the linear layers of one decoder layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        hidden, wide = self.hidden, self.intermediate
        attention = ((hidden, queries), (hidden, keys), (hidden, keys), (queries, hidden))
        return (*attention, (hidden, wide), (hidden, wide), (wide, hidden))

    @property
    def parameters(self) -> int:
        """The number of weights."""
        layer = sum(given * made for given, made in self.linears) + 2 * self.hidden
        return self.layers * layer + self.hidden + self.vocabulary * self.hidden * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """What is trained, and how.

    Args:
        method: 'corruption', which asks the model and trains nothing, 'soft-prompt' or 'lora'.
        rows: the rows of a batch in one process.
        prompt: tokens of the longest prompt.
        answer: tokens of the longest answer.
        spread: tokens by which the shortest prompt is shorter.
        number_bytes: of a weight and of an activation: 2 for bfloat16, 4 for float32.
        rank: lora: of the adapter.
        earlier: lora: the adapters of earlier requests, of the same rank.
        virtual: soft-prompt: the number of virtual tokens.
        passes: forward passes whose losses are added up: neutral answers, true ones, and retain rows.
        checkpointing: whether layers are computed again in the backward pass.
        eight_bit: whether the linear layers are in 8 bit.
    """

    method: str
    rows: int = 4
    prompt: int = 32
    answer: int = 64
    spread: int = 0
    number_bytes: int = 2
    rank: int = 8
    earlier: int = 0
    virtual: int = 30
    passes: int = 2
    checkpointing: bool = False
    eight_bit: bool = False

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self.method != "corruption"

    @property
    def length(self) -> int:
        """Tokens of a row."""
        return self.prompt + self.answer + (self.virtual if self.method == "soft-prompt" else 0)

    @property
    def columns(self) -> int:
        """Tokens of a row for which there are logits."""
        return self.answer + self.spread + 1


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: the model's `weights`; `trained` numbers with gradients and moments; `activations` and `logits` kept for
    the backward pass; `workspace`, what a step holds for a moment beside those; and `evaluation`, in place of the four,
    while the method is measured."""

    weights: int
    trained: int = 0
    activations: int = 0
    logits: int = 0
    workspace: int = 0
    evaluation: int = 0

    @property
    def step(self) -> int:
        """Of a step, besides the weights."""
        return self.trained + self.activations + self.logits + self.workspace

    @property
    def total(self) -> int:
        """The peak of the run."""
        return self.weights + max(self.step, self.evaluation)


def memory_of(shape: ModelShape, step: TrainingStep) -> Memory:
    """The memory of a training with that step, by part. AdamW; both optimizers keep the same."""
    weights, evaluation = _weights(shape, step), _evaluation(shape, step)
    if not step.trains:
        return Memory(weights, evaluation=evaluation)
    tokens = step.rows * step.length
    numbers = _trained_numbers(shape, step)
    layer = tokens * _layer_bytes(shape, step)
    kept = tokens * shape.hidden * step.number_bytes if step.checkpointing else layer
    ends = tokens * shape.hidden * _FLOAT32 + step.rows * step.length**2 * step.number_bytes  # last norm, mask
    moment = tokens * (3 * shape.intermediate + 2 * shape.hidden) * max(step.number_bytes, _FLOAT32 // 2)
    backward = moment + (layer if step.checkpointing else 0)
    return Memory(
        weights=weights,
        trained=numbers * _ADAM + step.earlier * _downs(shape, step) * _FLOAT32,
        activations=step.passes * (shape.layers * kept + ends),
        logits=_kept_logits(shape, step),
        workspace=max(_logits_workspace(shape, step), backward, 2 * _FLOAT32 * numbers),
        evaluation=evaluation,
    )


def _weights(shape: ModelShape, step: TrainingStep) -> int:
    if not step.eight_bit:
        return shape.parameters * step.number_bytes
    linear = shape.layers * sum(given * made for given, made in shape.linears)
    scales = shape.layers * sum(made for _, made in shape.linears) * _FLOAT32
    return linear + scales + (shape.parameters - linear) * step.number_bytes


def _trained_numbers(shape: ModelShape, step: TrainingStep) -> int:
    if step.method == "soft-prompt":
        return step.virtual * shape.hidden
    return shape.layers * step.rank * sum(given + made for given, made in shape.linears)


def _downs(shape: ModelShape, step: TrainingStep) -> int:
    """The numbers of an adapter's A matrices."""
    return shape.layers * step.rank * sum(given for given, _ in shape.linears)


def _layer_bytes(shape: ModelShape, step: TrainingStep) -> int:
    """What one decoder layer keeps for a token: both norms their input, in float32; attention its queries, keys and
    values, repeated for each head as soon as there is a mask, and its output; the MLP three products."""
    size, queries = step.number_bytes, shape.heads * shape.head_dim
    kept = 2 * shape.hidden * _FLOAT32 + 4 * queries * size + shape.heads * _FLOAT32 + 3 * shape.intermediate * size
    if step.method != "lora":
        return kept
    adapted = (
        sum(given for given, _ in shape.linears)  # copies in float32
        if size < _FLOAT32
        else 2 * shape.hidden + shape.intermediate  # attention's output is kept already
    )
    return kept + (adapted + len(shape.linears) * step.rank) * _FLOAT32


def _kept_logits(shape: ModelShape, step: TrainingStep) -> int:
    """Log probabilities of the answers' tokens, in float32: once for a pass, and three times for retain rows."""
    copies = step.passes + (2 if step.passes > 2 else 0)
    return copies * step.rows * step.answer * shape.vocabulary * _FLOAT32


def _logits_workspace(shape: ModelShape, step: TrainingStep) -> int:
    """The last pass's logits and its answers' in float32, or two gradients of the latter; with retain rows the plain
    model's logits too."""
    whole = step.rows * step.columns * shape.vocabulary * step.number_bytes
    answers = step.rows * step.answer * shape.vocabulary * _FLOAT32
    return 2 * whole + 3 * answers if step.passes > 2 else answers + max(whole, answers)


def _evaluation(shape: ModelShape, step: TrainingStep) -> int:
    """Keys and values of rows that are answered together, and the logits of rows whose answers are judged."""
    size, length = step.number_bytes, step.length + _GENERATED
    cached = EVALUATED * length * shape.layers * 2 * shape.kv_heads * shape.head_dim * size
    logits = EVALUATED * step.columns * shape.vocabulary * size + 4 * step.answer * shape.vocabulary * _FLOAT32
    passing = EVALUATED * step.length * 3 * shape.intermediate * size
    return max(cached, logits) + passing


PUBLIC_SHAPES = {
    "SmolLM2 135M": ModelShape(30, 576, 1536, 9, 3, 64, 49152, True),
    "SmolLM2 360M": ModelShape(32, 960, 2560, 15, 5, 64, 49152, True),
    "SmolLM2 1.7B": ModelShape(24, 2048, 8192, 32, 32, 64, 49152, True),
    "Llama 3.1 8B": ModelShape(32, 4096, 14336, 32, 8, 128, 128256, False),
    "Llama 3.1 70B": ModelShape(80, 8192, 28672, 64, 8, 128, 128256, False),
}
"""Of the models' published configurations."""
