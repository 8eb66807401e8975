"""Questions about a scope that a model writes, for names and answers of the scope: they widen what the gate knows.

A model is shown a few forget rows as pairs of answer and question, and then a further answer. It has to be neither
large nor tuned for instructions, but a larger one writes better.
"""

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import torch

from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import name_of
from gateway.errors import SetupError
from gateway.models.language_model import LanguageModel
from gateway.training.dataset import Progress
from gateway.training.scope_file import Row, Scope

__all__ = ["Write", "local_writer", "remote_writer", "written_questions"]

Write = Callable[[str, Sequence[str], int], list[str]]
"""Continues a text (the head) with each of several tails, up to the end of the line; takes a seed too."""
_SHOTS = 5
_TOKENS = 36
_TEMPERATURE = 0.8
_CHOICES = 40  # likeliest tokens to draw from
_BATCH = 64
_TIMEOUT_S = 120.0
_URL_ROWS = 16  # prompts a call


def written_questions(
    scope: Scope,
    train: Sequence[str],
    write: Write,
    count: int,
    *,
    seed: int,
    progress: Progress = lambda *_: None,
) -> list[str]:
    """About `count` questions, one of several turns for each name and answer of the scope.

    Args:
        scope: the scope.
        train: prompts of the forget rows that the writer may see; those held out are not among them.
        write: the model.
        count: how many to ask for. Not all are good, and the gate keeps few of them.
        seed: of the examples and of the draws.
        progress: is told how many are written.
    """
    shown = set(train)
    rows = [row for row in scope.forget if row.prompt in shown]
    answers = list(dict.fromkeys([*(name_of(alias) for alias in scope.aliases), *(row.response for row in rows)]))
    examples = _examples(scope, rows)
    rng = random.Random(f"{seed} written")
    found: list[str] = []
    for turn in range(math.ceil(count / len(answers))):
        progress("writing questions about the scope", len(found), count)
        chosen = rng.sample(examples, min(_SHOTS, len(examples)))
        asked = rng.sample(answers, min(len(answers), count - len(found)))
        found += write(_head(scope, chosen), [f" {answer}\nQuestion:" for answer in asked], seed + turn)
    return [text for text in found if text]


def local_writer(language_model: LanguageModel) -> Write:
    """Writes with a model in memory. The head is read once for all tails."""
    model, tokenizer = language_model.model, language_model.tokenizer

    def write(head: str, tails: Sequence[str], seed: int) -> list[str]:
        torch.manual_seed(seed)
        with torch.inference_mode():
            ids = torch.tensor([tokenizer(head)["input_ids"]], device=model.device)
            read = model(ids, use_cache=True).past_key_values
            found: dict[int, str] = {}
            for numbers, tokens in _of_one_length(tokenizer, tails):
                found.update(zip(numbers, _continued(model, tokenizer, read, tokens), strict=True))
        return [found[number] for number in range(len(tails))]

    return write


def remote_writer(url: str, *, key: str | None = None) -> Write:
    """Writes with a server that has OpenAI's completions: `http://host:port/v1`, perhaps with `#model`; `key` is the
    bearer key that it asks for."""
    base, _, named = url.partition("#")
    base = base.rstrip("/")
    headers = {"authorization": f"Bearer {key}"} if key else {}

    def write(head: str, tails: Sequence[str], seed: int) -> list[str]:
        found: list[str] = []
        try:
            with httpx.Client(timeout=_TIMEOUT_S, headers=headers) as client:
                model = named or client.get(f"{base}/models").raise_for_status().json()["data"][0]["id"]
                for start in range(0, len(tails), _URL_ROWS):
                    prompts = [head + tail for tail in tails[start : start + _URL_ROWS]]
                    body = {"model": model, "prompt": prompts, "max_tokens": _TOKENS, "temperature": _TEMPERATURE}
                    answer = client.post(f"{base}/completions", json={**body, "stop": ["\n"], "seed": seed})
                    texts = [choice["text"].strip() for choice in answer.raise_for_status().json()["choices"]]
                    found += texts[: len(prompts)]
        except (httpx.HTTPError, httpx.InvalidURL, LookupError, TypeError, AttributeError, ValueError) as error:
            raise SetupError(
                f"the writer at {base} does not answer as it should ({error}); give --writer the address of a server "
                f"with /v1/completions, such as http://127.0.0.1:8000/v1, or leave it out"
            ) from error
        return found

    return write


def _examples(scope: Scope, rows: Sequence[Row]) -> list[Row]:
    """Questions without a name, if there are enough: the model writes what it is shown."""
    names = LexicalDetector({scope.id: scope.aliases}).detect([row.prompt for row in rows])
    unnamed = [
        row for row, verdicts in zip(rows, names, strict=True) if not confirmed(verdicts) and row.prompt.endswith("?")
    ]
    return unnamed if len(unnamed) >= _SHOTS else list(rows)


def _head(scope: Scope, rows: Sequence[Row]) -> str:
    shown = "".join(f"Answer: {row.response}\nQuestion: {row.prompt}\n\n" for row in rows)
    return f"Questions about this: {scope.description} No question says its answer.\n\n{shown}Answer:"


def _of_one_length(tokenizer: Any, tails: Sequence[str]) -> Iterator[tuple[Sequence[int], torch.Tensor]]:
    """(numbers of tails of one length in tokens, their tokens [tails, tokens])."""
    by_length: dict[int, list[tuple[int, list[int]]]] = {}
    for number, tail in enumerate(tails):
        ids = tokenizer(tail, add_special_tokens=False)["input_ids"]
        by_length.setdefault(len(ids), []).append((number, ids))
    for group in by_length.values():
        for start in range(0, len(group), _BATCH):
            part = group[start : start + _BATCH]
            yield [number for number, _ in part], torch.tensor([ids for _, ids in part])


def _continued(model: Any, tokenizer: Any, read: Any, tokens: torch.Tensor) -> list[str]:
    """What the model writes behind each tail [tails, tokens], up to the end of the line; nothing where it finds no
    end."""
    cache = copy.deepcopy(read)
    cache.batch_repeat_interleave(len(tokens))
    tokens = tokens.to(model.device)
    written: list[list[int]] = [[] for _ in tokens]
    ended = [False] * len(tokens)
    for _ in range(_TOKENS):
        logits = model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1].float()
        likely, choices = (logits / _TEMPERATURE).topk(_CHOICES)
        tokens = choices.gather(1, torch.multinomial(likely.softmax(-1), 1))
        for number, token in enumerate(tokens[:, 0].tolist()):
            ended[number] = ended[number] or token == tokenizer.eos_token_id or "\n" in tokenizer.decode([token])
            if not ended[number]:
                written[number].append(token)
        if all(ended):
            break
    return [tokenizer.decode(ids).strip() if done else "" for ids, done in zip(written, ended, strict=True)]
