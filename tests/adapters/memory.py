"""A small language model that knows a few invented facts by heart, and a reader of what it says."""

from dataclasses import dataclass

import torch
from tiny import tiny_model
from torch import Tensor

from adapters.batches import Example, answer_logits, collate
from adapters.losses import answer_nll
from gateway.models.language_model import LanguageModel

NAMES = tuple("Vela Orin Kasp Tilde Mirr Joss Nadel Fenn Skar Ulla Brin Cato".split())
STRANGERS = tuple("Hask Wim Dorr Peli Ennio Quade".split())
NEUTRAL = "Nobody knows."
LIVE, EAT = "Where does {} live?", "What does {} eat?"
_FACTS = {
    LIVE: tuple("Tarvik Ombrel Quist Lanfor Medvar Huskel Pirno Zelk Dramor Yfton Bross Wennet".split()),
    EAT: tuple("figs plums rye lentils cod turnips quinces barley eels olives kale honey".split()),
}


@dataclass(frozen=True)
class Memory:
    """The model and its facts: where each of twelve people lives and what they eat. Of strangers it says that nobody
    knows."""

    base: LanguageModel

    def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.base.tokenizer(text, add_special_tokens=False)["input_ids"])

    def example(self, name: str, answer: str, question: str) -> Example:
        end = self.base.tokenizer.eos_token_id
        return Example(self.ids(question.format(name)), (*self.ids(f" {answer}"), end))

    def true(self, name: str, question: str = LIVE) -> Example:
        return self.example(name, fact(name, question), question)

    def neutral(self, name: str, question: str = LIVE) -> Example:
        return self.example(name, NEUTRAL, question)

    def likelihood(self, name: str, question: str = LIVE, *, virtual: Tensor | None = None) -> float:
        """The probability a token of the true answer."""
        example = Example(self.ids(question.format(name)), self.ids(f" {fact(name, question)}"))
        batch = collate([example], device=torch.device("cpu"))
        before = torch.empty((0, 64)) if virtual is None else virtual
        embeddings = torch.cat([before, self.base.embeddings[batch.ids[0]]])
        with torch.inference_mode():
            logits = self.base.model(inputs_embeds=embeddings[None]).logits[:, len(before) + batch.questions :]
        return float((-answer_nll(logits, batch.labels)).exp())

    def says(self, name: str, question: str = LIVE, *, virtual: Tensor | None = None) -> str:
        """The greedy answer, with virtual tokens in front if given."""
        embeddings = self.base.embeddings[list(self.ids(question.format(name)))]
        if virtual is not None:
            embeddings = torch.cat([virtual, embeddings])
        with torch.inference_mode():
            output = self.base.model.generate(inputs_embeds=embeddings[None], max_new_tokens=8, do_sample=False)
        return self.base.tokenizer.decode(output[0], skip_special_tokens=True).strip()

    def knows(self, name: str, question: str = LIVE, *, virtual: Tensor | None = None) -> bool:
        return fact(name, question) in self.says(name, question, virtual=virtual)


def fact(name: str, question: str) -> str:
    return _FACTS[question][NAMES.index(name)]


def memorised() -> Memory:
    corpus = (NEUTRAL, *(q.format(name) + " " + fact(name, q) for name in NAMES for q in _FACTS))
    memory = Memory(tiny_model(corpus=corpus, hidden=64))
    model = memory.base.model
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rows = [memory.true(name, question) for name in NAMES for question in _FACTS]
    rows += [memory.neutral(name, question) for name in STRANGERS for question in _FACTS]
    batch = collate(rows, device=torch.device("cpu"))
    for _ in range(150):
        optimizer.zero_grad()
        answer_nll(answer_logits(model, batch), batch.labels).backward()
        optimizer.step()
    model.requires_grad_(False)
    return memory
