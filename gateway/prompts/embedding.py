"""A request and a plan as prompt embeddings, the same for every backend."""

from collections.abc import Sequence
from importlib import resources

import torch
from torch import Tensor

from corruption.operators import Table, corrupt
from gateway.core import Corrupt, Instruct, Pass, Request, SoftPrompt, UseAdapter
from gateway.prompts.rendering import Tokenizer, Unlocatable, render

__all__ = ["PromptEmbedder", "decoy_table"]


class PromptEmbedder:
    """Renders, tokenises, embeds and corrupts. Holds the embedding table alone, not the model; thread-safe."""

    def __init__(self, tokenizer: Tokenizer, weight: Tensor) -> None:
        """`weight` [vocabulary, hidden] is the model's own input embedding table."""
        self._tokenizer = tokenizer
        self._weight = weight
        self.table = decoy_table(tokenizer, weight)

    def read(self, request: Request, plan: Pass | Instruct | Corrupt | SoftPrompt | UseAdapter) -> Tensor:
        """What the model is given under a plan: token ids [tokens] where they will do, else as `embed`."""
        if isinstance(plan, Corrupt | SoftPrompt):
            return self.embed(request, plan)
        instruction = plan.text if isinstance(plan, Instruct) else ""
        return torch.tensor(render(self._tokenizer, request, instruction=instruction).ids)

    def embed(self, request: Request, plan: Corrupt | SoftPrompt) -> Tensor:
        """[tokens, hidden] in the model's dtype: the whole templated prompt with the plan's edits applied, or with its
        virtual tokens in front.

        Raises Unlocatable if an edit meets no token or a soft prompt is not the model's: the caller must then refuse.
        """
        if isinstance(plan, SoftPrompt):
            return self._behind(plan, render(self._tokenizer, request).ids)
        prompt = render(self._tokenizer, request, locate=True)
        original = self._weight[torch.tensor(prompt.ids, dtype=torch.long)]
        embeddings = original.float().clone()
        for edit in plan.edits:
            tokens = prompt.tokens_of(edit)
            embeddings[tokens] = corrupt(embeddings[tokens], edit.recipe, self.table, edit.seed)
        return embeddings.to(original.dtype)

    def _behind(self, plan: SoftPrompt, ids: Sequence[int]) -> Tensor:
        if any(tokens.hidden != self._weight.shape[1] for tokens in plan.prompts):
            raise Unlocatable(f"a soft prompt is not {self._weight.shape[1]} wide, as this model's embeddings are")
        virtual = [tokens.embeddings.to(self._weight) for tokens in plan.prompts]
        return torch.cat([*virtual, self._weight[torch.tensor(ids, dtype=torch.long)]])


def decoy_table(tokenizer: Tokenizer, weight: Tensor) -> Table:
    """The corruption table of a model, its decoys being the tokens of the shipped invented names and plain words."""

    def tokens(file: str, first_only: bool) -> Tensor:
        words = (resources.files("corruption") / "data" / file).read_text(encoding="utf-8").split()
        ids = [tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
        return torch.tensor(sorted({token for of_word in ids for token in (of_word[:1] if first_only else of_word)}))

    return Table.of(weight, names=tokens("names.txt", False), words=tokens("words.txt", True))
