"""Who is asked: a gateway over HTTP, the plain model behind the same protocol, or a model in this process."""

import logging
import random
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import httpx

from benchmarks.attacking.answers import Answers, Decoding, Said, code_fingerprint
from benchmarks.items import Item, request_of
from benchmarks.serving import served
from gateway.core import Pass
from gateway.errors import SetupError
from gateway.evaluation.guarded_model import GuardedModel
from gateway.models.language_model import load_language_model
from gateway.packs.folders import read_manifest
from gateway.server.app import build_app
from gateway.server.auth import ADMIN_HEADER
from gateway.settings import load_settings
from gateway.training.dataset import Progress

__all__ = ["AT_ONCE", "HttpSide", "ModelSide", "Side", "asked", "gateway_identity", "guarded"]

AT_ONCE = 64
"""Prompts that a model answers together in little more time than one."""
_REFUSALS = frozenset({400, 413, 422})  # of what was asked; any other status is the server's own trouble
_PLAN_HEADER = "x-unrecall-plan"


class Side(Protocol):
    """Somebody who answers."""

    name: str

    def ask(self, items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
        """One answer to each item, in their order; each has a decoding."""


class HttpSide:
    """A server that speaks OpenAI's protocol. With the gateway's admin key it tells what it did."""

    def __init__(self, name: str, url: str, *, headers: Mapping[str, str] | None = None, at_once: int = 2) -> None:
        self.name = name
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=600)
        self._at_once = at_once
        self._model = ""

    def ask(self, items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
        """See Side. A request that the server refuses has no text, and its status for a plan. Raises SetupError for a
        server that cannot answer: that it is broken or busy must not count as an answer without a leak."""
        self.model()
        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(self._answer, items, decodings))

    def _answer(self, item: Item, decoding: Decoding) -> Said:
        chat = item.endpoint == "chat"
        started = time.perf_counter()
        path = "/v1/chat/completions" if chat else "/v1/completions"
        try:
            response = self._client.post(path, json=self._body(item, decoding))
        except httpx.HTTPError as error:
            raise SetupError(
                f"{self.name} at {self.url} does not answer ({error}); the same command goes on"
            ) from error
        seconds = time.perf_counter() - started
        if response.status_code in _REFUSALS:
            return Said("", str(response.status_code), seconds)
        if response.status_code != httpx.codes.OK:
            raise SetupError(
                f"{self.name} at {self.url} answers with status {response.status_code}: {response.text[:200]}; once it "
                "is well, the same command goes on"
            )
        try:
            choice = response.json()["choices"][0]
            text = choice["message"]["content"] if chat else choice["text"]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise SetupError(
                f"{self.name} at {self.url} gave an answer that cannot be read ({error!r}): {response.text[:200]!r}; "
                "the same command goes on"
            ) from error
        return Said(text or "", response.headers.get(_PLAN_HEADER, ""), seconds)

    def _body(self, item: Item, decoding: Decoding) -> dict[str, Any]:
        common = {
            "model": self.model(),
            "max_tokens": decoding.max_tokens,
            "temperature": decoding.temperature,
            **({"seed": decoding.seed} if decoding.temperature else {}),
        }
        if item.endpoint == "completions":
            return {**common, "prompt": item.prompt}
        return {**common, "messages": [{"role": one.role, "content": one.text} for one in item.messages]}

    def model(self) -> str:
        """The first model that the server lists. Raises SetupError if it lists none."""
        if not self._model:
            try:
                self._model = str(self._client.get("/v1/models").raise_for_status().json()["data"][0]["id"])
            except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
                raise SetupError(f"{self.url} does not list its models: {error}; is it the right URL?") from error
        return self._model


class ModelSide:
    """A model without a gateway, in this process and in batches."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._model: GuardedModel | None = None

    def ask(self, items: Sequence[Item], decodings: Sequence[Decoding]) -> list[Said]:
        """See Side. The decodings may differ in their seeds alone. One seed, made of all of them, is the batch's:
        its answers are drawn apart, so the same prompt may stand in it often. Raises ValueError for other decodings."""
        self._model = self._model or GuardedModel(load_language_model(self._folder), batch_size=AT_ONCE)
        if len({replace(decoding, seed=0) for decoding in decodings}) > 1:
            raise ValueError("a model answers one batch with one length and one temperature")
        draws = str([(one.id, how.seed) for one, how in zip(items, decodings, strict=True)])
        texts = self._model.answers(
            [request_of(item) for item in items],
            [Pass()] * len(items),
            max_new_tokens=decodings[0].max_tokens,
            temperature=decodings[0].temperature,
            seed=random.Random(draws).getrandbits(31),
        )
        return [Said(text) for text in texts]


def asked(
    side: Side,
    kept: Answers,
    items: Sequence[Item],
    decodings: Sequence[Decoding],
    progress: Progress = lambda *_: None,
) -> list[Said]:
    """One answer to each item: those that are kept already, and the others, which are asked in parts and kept.

    Args:
        side: who is asked.
        kept: the side's answers.
        items: what is asked; the same item twice, with the same decoding, is asked once.
        decodings: how to answer each.
        progress: told the stage, and how far it is.
    """
    pairs = list(zip(items, decodings, strict=True))
    unknown = ((one, how) for one, how in pairs if not kept.get(one, how))
    missing = list({(one.endpoint, one.messages, how): (one, how) for one, how in unknown}.values())
    missing.sort(key=lambda pair: len(pair[0].prompt))  # a batch of like lengths wastes no padding
    for start in range(0, len(missing), AT_ONCE):
        progress(f"asking {side.name}", start, len(missing))
        part = missing[start : start + AT_ONCE]
        asked_of = [one for one, _ in part], [how for _, how in part]
        kept.keep(zip(*asked_of, side.ask(*asked_of), strict=True))
    return [said for one, how in pairs if (said := kept.get(one, how))]


@contextmanager
def guarded(packs: Path, model: str, upstream: str | None) -> Iterator[HttpSide]:
    """A gateway that is started for this run, with the operator's settings from the environment."""
    key = secrets.token_hex(16)
    chosen: dict[str, Any] = {"packs": packs, "model": model, "admin_key": key, "screen_timeout_s": 120}
    if upstream:
        chosen |= {"backend": "vllm", "upstream": upstream}
    settings = load_settings(None, chosen)
    audit = logging.getLogger("unrecall.audit")
    level = audit.level
    audit.setLevel(logging.WARNING)  # nobody reads this run's audit lines
    try:
        with served(build_app(settings), 0) as url:
            yield HttpSide("gateway", url, headers={ADMIN_HEADER: key}, at_once=AT_ONCE if upstream else settings.slots)
    finally:
        audit.setLevel(level)


def gateway_identity(packs: Path, model: str, upstream: str | None) -> str:
    """All that decides on the answers of a gateway that this run starts: packs, model (its fingerprint), upstream and
    code."""
    versions = [
        f"{path.parent.name} {read_manifest(path.parent).version}" for path in sorted(packs.glob("*/manifest.json"))
    ]
    return " ".join((*versions, model, upstream or "embedded", code_fingerprint()))
