"""What a model says by hand: each token computed anew from all before it, an adapter being merged into the weights."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from adapters.lora.model import Lora
from gateway.models.language_model import LanguageModel
from gateway.prompts.execution import ModelInput

__all__ = ["first_logits_and_answer", "merged"]


def merged(model: Any, lora: Lora, weight: float = 1.0) -> Any:
    """A copy of the model with the adapter, times its weight, in its own weights."""
    changed = copy.deepcopy(model)
    for name, (down, up) in lora.layers.items():
        layer = changed.get_submodule(name)
        delta = (weight * lora.scaling * up @ down).to(layer.weight.dtype)
        layer.weight.data += delta if isinstance(layer, nn.Linear) else delta.T
    return changed


@torch.no_grad()
def first_logits_and_answer(base: LanguageModel, given: ModelInput, *, tokens: int) -> tuple[Tensor, str]:
    """The logits of the first token [vocabulary], and the greedy answer of so many tokens at most."""
    model = base.model
    for adapter in given.adapters:
        model = merged(model, adapter.lora, adapter.weight)
    table = model.get_input_embeddings()
    embeddings = table(torch.tensor(given.ids)) if given.embeddings is None else given.embeddings
    answer: list[int] = []
    first = None
    while len(answer) < tokens and base.tokenizer.eos_token_id not in answer:
        whole = torch.cat([embeddings, table(torch.tensor(answer, dtype=torch.long))])
        logits = model(inputs_embeds=whole[None], use_cache=False).logits[0, -1]
        first = logits if first is None else first
        answer.append(int(logits.argmax()))
    assert first is not None
    return first, str(base.tokenizer.decode(answer, skip_special_tokens=True))
