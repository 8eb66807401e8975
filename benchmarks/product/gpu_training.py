"""Seconds and memory of training by model size. Random weights learn nonsense, and cost what others cost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from adapters.batches import Example, TargetLikelihood
from adapters.lora.training import LoraTraining, train_lora
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.training import SoftPromptTraining, train_soft_prompt
from benchmarks.product.memory import llama_of
from gateway.evaluation.generation import Rollout
from gateway.training.memory import PUBLIC_SHAPES, ModelShape, TrainingStep, memory_of

__all__ = ["SHAPES", "TINY", "measure_training", "random_model"]

SHAPES = {
    "1B": ModelShape(16, 2048, 8192, 32, 8, 64, 128256, True),  # of Llama 3.2 1B
    "8B": PUBLIC_SHAPES["Llama 3.1 8B"],
}
TINY = {"tiny": ModelShape(2, 64, 128, 4, 2, 16, 49152, True)}
_PROMPT, _ANSWER, _BATCH, _EPOCHS = 32, 64, 4, 2
_SEARCH_ROWS, _SEARCH_TOKENS = 12, 24  # of one evaluation of a corruption
_EVALUATIONS = 12


def measure_training(shape: ModelShape, tokenizer: Any, device: torch.device, *, steps: int = 12) -> dict[str, Any]:
    """Of one model size: seconds to make the model, and seconds and peak bytes of each method.

    Args:
        shape: of the model.
        tokenizer: its vocabulary is not larger than the shape's.
        device: where the model is.
        steps: of each training by gradients, the first two of which are not counted.
    """
    begun = time.perf_counter()
    model = random_model(shape, device)
    made_s = time.perf_counter() - begun
    found: dict[str, Any] = {"weights": shape.parameters, "made_s": round(made_s, 1)}
    for method in ("corruption", "soft-prompt", "lora"):
        try:
            found[method] = _measured(model, tokenizer, method, shape, device, steps)
        except torch.OutOfMemoryError as error:
            found[method] = {"out_of_memory": str(error).splitlines()[0]}
            torch.cuda.empty_cache()
    return found


def random_model(shape: ModelShape, device: torch.device) -> Any:
    """A random Llama of that shape, in bfloat16, made on the device itself."""
    from transformers import LlamaForCausalLM

    config = llama_of(shape, pad_token_id=0, eos_token_id=None)  # no answer ends early, so that each costs the same
    torch.manual_seed(0)
    with device, _default(torch.bfloat16):
        model = LlamaForCausalLM(config)
    model.requires_grad_(False)
    return model.eval()


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _measured(
    model: Any, tokenizer: Any, method: str, shape: ModelShape, device: torch.device, steps: int
) -> dict[str, Any]:
    step = TrainingStep(method, rows=_BATCH, prompt=_PROMPT, answer=_ANSWER, passes=3 if method == "soft-prompt" else 2)
    computed = memory_of(shape, step).total
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = _evaluation_s(model, tokenizer) if method == "corruption" else _step_s(model, method, steps)
    peak = {"peak_bytes": torch.cuda.max_memory_allocated(device)} if on_gpu else {}
    if method == "corruption":
        return {
            "evaluation_s": seconds,
            "search_s": round(2 * _EVALUATIONS * seconds, 1),
            "computed_bytes": computed,
        } | peak
    return {"step_s": seconds, "computed_bytes": computed} | peak


def _evaluation_s(model: Any, tokenizer: Any) -> float:
    """Of one evaluation of a search: answers, and the likelihoods of the true answers and of those given. The first one
    warms up."""
    rollout = Rollout(model, tokenizer)
    table = model.get_input_embeddings().weight
    prompts = [table[list(_tokens(_PROMPT, row))].cpu() for row in range(_SEARCH_ROWS)]
    responses = ["one two three four five six seven eight"] * _SEARCH_ROWS
    for _ in range(2):
        begun = time.perf_counter()
        answers = rollout.answers(prompts, max_new_tokens=_SEARCH_TOKENS)
        rollout.mean_nll(prompts, responses)
        rollout.mean_nll(prompts, answers)
    return round(time.perf_counter() - begun, 3)


def _step_s(model: Any, method: str, steps: int) -> float:
    """Of one step of a training, over all steps but the first two."""
    rows = [Example(_tokens(_PROMPT, row), _tokens(_ANSWER, row)) for row in range(_BATCH * steps // _EPOCHS)]
    true = [TargetLikelihood(row, (-1.0,) * _ANSWER) for row in rows]
    ends: list[float] = []

    def progress(done: int, steps: int, loss: float) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.append(time.perf_counter())

    optimisation = OptimisationConfig(lr=1e-4, epochs=_EPOCHS, batch=_BATCH)
    if method == "lora":
        lora = LoraTraining(optimisation=optimisation)
        train_lora(model, forget=rows, earlier=[], training=lora, likelihoods=true, progress=progress)
    else:
        prompt = SoftPromptTraining(optimisation=optimisation)
        train_soft_prompt(model, forget=rows, retain=rows, training=prompt, likelihoods=true, progress=progress)
    return round((ends[-1] - ends[1]) / (len(ends) - 2), 3)


def _tokens(count: int, seed: int) -> tuple[int, ...]:
    return tuple(torch.randint(10, 250, (count,), generator=torch.Generator().manual_seed(seed)).tolist())
