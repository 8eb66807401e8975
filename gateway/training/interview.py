"""Asks a model itself about a subject: names, questions with and without them, neighbours, and what it answers.

What the model says otherwise each time it does not know, so that such answers are left out: nothing can be forgotten
there (self-consistency, arXiv 2203.11171; SelfCheckGPT, arXiv 2303.08896).
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import httpx

from classifiers.leaks.words import FILLERS, is_rare
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.text import normalise
from gateway.errors import SetupError
from gateway.models.language_model import LanguageModel
from gateway.training.dataset import Progress
from gateway.training.draft import Draft, different, is_name
from gateway.training.scope_file import Row

__all__ = ["Ask", "interview", "local_asker", "remote_asker"]

Ask = Callable[[Sequence[str], float, int], list[str]]
"""Answers questions at a temperature, with a seed."""
_TOKENS = 256
_TIMEOUT_S = 300.0
_WRITING, _CHECKING = 0.6, 0.7  # temperatures
_TURNS, _AGREED = 3, 2  # how often names are asked for, and how often one must come
_A_TURN = 10  # questions asked for at once
_SAMPLES = 2
_ALIKE = 0.3  # F1 of the salient words of two answers
_NEIGHBOURS = 6
_ABOUT_A_NAME = ("Who or what is {}?", "What is {} known for?", "Tell me about {}.")
_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?\d{1,3}[.):])?\s*[\"'“*_]*(.*?)[\"'”*_]*\s*$")
_BETWEEN_NAMES = re.compile(r"[,;:()]|\s[-–—]\s|\.\s*$")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")


def interview(
    ask: Ask, subject: str, *, languages: Sequence[str] = (), count: int = 60, seed: int = 0, progress: Progress
) -> Draft:
    """A scope as the model itself knows it.

    Args:
        ask: the model.
        subject: a person, a book, a topic, in a few words.
        languages: in which, beside English, questions are wanted, as their English names: 'French'.
        count: how many questions are asked for in English, half of them without a name; half as many in each other one.
        seed: of the draws.
        progress: is told what is asked.
    """
    left_out: Counter[str] = Counter()
    progress("asking for names", 0, 0)
    aliases = _aliases(ask, subject, seed, left_out)
    asked = [form.format(alias) for alias in aliases for form in _ABOUT_A_NAME]
    for number, language in enumerate(["English", *languages]):
        progress(f"asking for questions in {language}", number, 1 + len(languages))
        asked += _questions(ask, subject, language, count if not number else count // 2, seed, left_out)
    progress("asking these questions", 0, len(asked))
    forget = _known(ask, asked, aliases, seed, left_out)
    progress("asking about neighbours", 0, 0)
    near = _near(ask, subject, aliases, seed, left_out)
    return Draft(subject, aliases, forget, different(near, left_out, than=forget), left_out=left_out)


def local_asker(language_model: LanguageModel) -> Ask:
    """Asks a model in memory. Raises SetupError if it has no chat template."""
    from gateway.training.sources import ReferenceModel

    if not language_model.tokenizer.chat_template:
        raise SetupError("this model has no chat template, so that nobody can ask it; take an instruction-tuned one")
    return partial(ReferenceModel(language_model).answers, max_new_tokens=_TOKENS)


def remote_asker(url: str, model: str | None, key: str | None) -> Ask:
    """Asks a server that has OpenAI's chat completions, such as vLLM: `http://host:port`. Its first model by default.
    Calls raise SetupError if it does not answer."""
    base = url.rstrip("/").removesuffix("/v1")
    headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(texts: Sequence[str], temperature: float, seed: int) -> list[str]:
        try:
            with httpx.Client(timeout=_TIMEOUT_S, headers=headers) as client:
                name = model or client.get(f"{base}/v1/models").raise_for_status().json()["data"][0]["id"]
                body = {"model": name, "max_tokens": _TOKENS, "temperature": temperature, "seed": seed}
                answers = [
                    client.post(f"{base}/v1/chat/completions", json={**body, "messages": [_user(text)]})
                    for text in texts
                ]
                return [str(one.raise_for_status().json()["choices"][0]["message"]["content"] or "") for one in answers]
        except (httpx.HTTPError, httpx.InvalidURL, LookupError, TypeError, ValueError) as error:
            raise SetupError(
                f"the model server at {base} does not answer as it should ({error}); give --upstream the address of a "
                "server with /v1/chat/completions, such as http://127.0.0.1:8000, and see that it is up"
            ) from error

    return ask


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _aliases(ask: Ask, subject: str, seed: int, left_out: Counter[str]) -> list[str]:
    """The subject, and the names that the model gives again and again."""
    question = (
        f"Make a list of names of persons, places and things in this, one a line, without explanations: {subject}."
    )
    given: Counter[str] = Counter()
    for turn in range(_TURNS):
        lines = _lines(ask([question], _WRITING, seed + turn)[0])
        given.update({name.strip() for line in lines for name in _BETWEEN_NAMES.split(line) if name.strip()})
    names = [name for name in given if is_name(name)]
    left_out["what the model listed is no name"] += len(given) - len(names)
    agreed = [name for name in names if given[name] >= _AGREED]
    left_out["the model gave the name once only"] += len(names) - len(agreed)
    return list(dict.fromkeys([*([subject] if is_name(subject) else []), *agreed]))


def _questions(ask: Ask, subject: str, language: str, count: int, seed: int, left_out: Counter[str]) -> list[str]:
    written = "" if language == "English" else f" The questions must be in {language}."
    kinds = (
        f"Write {_A_TURN} questions about {subject}.{written}",
        f"Write a quiz of {_A_TURN} questions about {subject}, without any answers and without its name.{written}",
    )
    found: list[str] = []
    for kind in kinds:
        for turn in range(max(1, count // len(kinds) // _A_TURN)):
            lines = _lines(ask([kind], _WRITING, seed + turn)[0])
            questions = [line for line in lines if line[-1:] in "?？؟;"]
            left_out["what the model wrote is no question"] += len(lines) - len(questions)
            found += questions
    return list(dict.fromkeys(found))


def _known(ask: Ask, questions: Sequence[str], aliases: Sequence[str], seed: int, left_out: Counter[str]) -> list[Row]:
    """The questions that the model answers alike each time, with its likeliest answer. One of the two must name the
    scope."""
    if not questions:
        return []
    answers = [_first(answer) for answer in ask(questions, 0.0, seed)]
    others = [[_first(one) for one in ask(questions, _CHECKING, seed + turn)] for turn in range(_SAMPLES)]
    rows = []
    names = LexicalDetector({"scope": aliases})
    for question, answer, *again in zip(questions, answers, *others, strict=True):
        if aliases and not any(confirmed(found) for found in names.detect([question, answer])):
            left_out["neither the question nor the model's answer names the scope"] += 1
        elif not (said := _salient(question, answer)):
            left_out["the model's answer says nothing"] += 1
        elif sum(_alike(said, _salient(question, one)) for one in again) / len(again) < _ALIKE:
            left_out["the model answers otherwise each time: it does not know"] += 1
        else:
            rows.append(Row(prompt=question, response=answer))
    return different(rows, left_out)


def _near(ask: Ask, subject: str, aliases: Sequence[str], seed: int, left_out: Counter[str]) -> list[Row]:
    """Questions about subjects of the same kind, with the model's answers."""
    question = (
        f"Name {_NEIGHBOURS} other subjects of the same kind as this one: {subject}. Answer with a list, one a line."
    )
    others = [line for line in _lines(ask([question], _WRITING, seed)[0]) if is_name(line)][:_NEIGHBOURS]
    texts = [f"Write five different short questions about {other}, one a line." for other in others]
    lines = [line for answer in (ask(texts, _WRITING, seed) if texts else []) for line in _lines(answer)]
    questions = list(dict.fromkeys(line for line in lines if line.endswith("?")))
    names = LexicalDetector({"scope": aliases})
    outside = [one for one in questions if not aliases or not confirmed(names.detect([one])[0])]
    left_out["a question about a neighbour names the scope"] += len(questions) - len(outside)
    answers = ask(outside, 0.0, seed) if outside else []
    rows = zip(outside, map(_first, answers), strict=True)
    return different((Row(prompt=asked, response=said) for asked, said in rows if said), left_out)


def _lines(text: str) -> list[str]:
    """The entries of a list, without bullets, numbers and quotation marks."""
    found = (match.group(1).strip() for line in text.splitlines() if (match := _BULLET.match(line)))
    return [line for line in found if line]


def _first(answer: str) -> str:
    return _SENTENCE.split(" ".join(answer.split()))[0].strip()


def _salient(question: str, answer: str) -> set[str]:
    """The words of an answer that the question has not and general traffic hardly has; if there are none, all but the
    fillers."""
    said = set(normalise(answer).text.split()) - set(normalise(question).text.split()) - FILLERS
    return {word for word in said if is_rare(word)} or said


def _alike(one: set[str], other: set[str]) -> float:
    """F1 of the words of two answers."""
    return 2 * len(one & other) / max(1, len(one) + len(other))
