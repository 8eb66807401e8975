"""The memory of a training step, measured, beside what `gateway.training.memory` computes from shapes.

python -m benchmarks.product.memory

SmolLM2-135M as it is, and a random model of SmolLM2-360M's shape. A measured figure is the peak of what torch's
allocator gave out during two steps of the real training, above the weights; on a GPU the allocator counts by itself.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from adapters.batches import Example, TargetLikelihood
from adapters.lora.training import LoraTraining, train_lora
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.training import SoftPromptTraining, train_soft_prompt
from benchmarks.record import write
from gateway.models.folders import resolve
from gateway.models.language_model import load_language_model
from gateway.models.loading import Loading
from gateway.training.memory import PUBLIC_SHAPES, ModelShape, TrainingStep, memory_of

__all__ = ["SHAPE", "llama_of", "main", "measured_step", "peak_bytes", "save_random"]

SHAPE = TrainingStep("lora", rows=4, prompt=24, answer=40)
"""The rows of each measurement: all of one length."""
_CASES = (
    ("lora", Loading("bfloat16")),
    ("lora", Loading("bfloat16", gradient_checkpointing=True)),
    ("lora", Loading("float32")),
    ("soft-prompt", Loading("bfloat16")),
    ("soft-prompt", Loading("bfloat16", gradient_checkpointing=True)),
    ("soft-prompt", Loading("float32")),
)


def peak_bytes(work: Callable[[], Any]) -> int:
    """The peak of what `work` holds at once of the memory that torch gives out, above what was held before."""
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    results: Any = seen.profiler.kineto_results
    changes = [event for event in results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def measured_step(folder: Path, method: str, loading: Loading, shape: ModelShape) -> dict[str, Any]:
    """Peak bytes of two steps of the method's own training, with every term of its loss, and the computed ones.

    Args:
        folder: of the model.
        method: 'lora' or 'soft-prompt'.
        loading: how the model is held.
        shape: of the model.
    """
    model = load_language_model(folder, loading=loading).model
    measured = peak_bytes(lambda: _train(model, method))
    step = TrainingStep(
        method,
        rows=SHAPE.rows,
        prompt=SHAPE.prompt,
        answer=SHAPE.answer,
        number_bytes=4 if loading.dtype == "float32" else 2,
        passes=2 if method == "lora" else 3,
        checkpointing=loading.gradient_checkpointing,
    )
    memory = memory_of(shape, step)
    return {
        "method": method,
        "dtype": loading.dtype,
        "gradient_checkpointing": loading.gradient_checkpointing,
        "measured_bytes": measured,
        "computed_bytes": memory.step,
        "ratio": round(memory.step / measured, 3),
        "weights_bytes": memory.weights,
        "parts": asdict(memory),
    }


def llama_of(shape: ModelShape, **others: Any) -> Any:
    """The configuration of a Llama of that shape."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied,
        **others,
    )


def save_random(shape: ModelShape, folder: Path, tokenizer_of: Path) -> Path:
    """Writes a random Llama of that shape, in bfloat16, with the tokenizer of another folder."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(llama_of(shape)).to(torch.bfloat16).save_pretrained(folder)
    for file in (*tokenizer_of.glob("*token*"), *tokenizer_of.glob("*.jinja")):
        shutil.copy(file, folder / file.name)
    return folder


def main() -> int:
    """Measures both sizes and writes benchmarks/results/memory.json."""
    smollm2 = resolve("smollm2")
    with tempfile.TemporaryDirectory() as made:
        random = save_random(PUBLIC_SHAPES["SmolLM2 360M"], Path(made), smollm2)
        found = {
            name: list(_measured(folder, PUBLIC_SHAPES[name]))
            for name, folder in (("SmolLM2 135M", smollm2), ("SmolLM2 360M", random))
        }
    content = {"step": {"rows": SHAPE.rows, "prompt": SHAPE.prompt, "answer": SHAPE.answer}, "sizes": found}
    print(write("memory", 0, content))
    return 0


def _measured(folder: Path, shape: ModelShape) -> Iterator[dict[str, Any]]:
    for method, loading in _CASES:
        found = measured_step(folder, method, loading, shape)
        print(shape.parameters, method, loading.dtype, loading.gradient_checkpointing, found["ratio"], flush=True)
        yield found


def _train(model: Any, method: str) -> None:
    rows = [Example(_tokens(SHAPE.prompt, row), _tokens(SHAPE.answer, row)) for row in range(SHAPE.rows)]
    true = [TargetLikelihood(row, (-1.0,) * SHAPE.answer) for row in rows]
    optimisation = OptimisationConfig(lr=1e-3, epochs=2, batch=SHAPE.rows)
    if method == "lora":
        lora = LoraTraining(optimisation=optimisation)
        train_lora(model, forget=rows, earlier=[], training=lora, likelihoods=true)
    else:
        prompt = SoftPromptTraining(optimisation=optimisation)
        train_soft_prompt(model, forget=rows, retain=rows, training=prompt, likelihoods=true)


def _tokens(count: int, seed: int) -> tuple[int, ...]:
    return tuple(torch.randint(10, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


if __name__ == "__main__":
    raise SystemExit(main())
