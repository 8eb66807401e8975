"""Who is asked: a gateway over HTTP, the plain model behind the same protocol, or a model in this process."""

import logging
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from benchmarks.attacking.answers import Answers, Decoding, Said, code_fingerprint
from benchmarks.items import Item, request_of
from benchmarks.serving import served
from gateway.core import Pass
from gateway.errors import SetupError
from gateway.evaluation.guarded_model import GuardedModel
from gateway.models.folders import fingerprint, resolve
from gateway.models.language_model import load_language_model
from gateway.packs.folders import read_manifest
from gateway.server.app import build_app
from gateway.server.auth import ADMIN_HEADER
from gateway.settings import load_settings
from gateway.training.dataset import Progress

__all__ = ["AT_ONCE", "HttpSide", "ModelSide", "Side", "asked", "gateway_identity", "guarded"]

AT_ONCE = 64
"""Requests that a vLLM answers together in little more time than one."""
_PLAN_HEADER = "x-unrecall-plan"
_CHUNK = 64  # what is lost if a run is interrupted


class Side(Protocol):
    """Somebody who answers."""

    name: str

    def ask(self, items: Sequence[Item], decoding: Decoding) -> list[Said]:
        """One answer to each item, in their order."""


class HttpSide:
    """A server that speaks OpenAI's protocol. With the gateway's admin key it tells what it did."""

    def __init__(self, name: str, url: str, *, headers: Mapping[str, str] | None = None, at_once: int = 2) -> None:
        self.name = name
        self.url = url.rstrip("/").removesuffix("/v1")
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=600)
        self._at_once = at_once
        self._model = ""

    def ask(self, items: Sequence[Item], decoding: Decoding) -> list[Said]:
        """See Side. A request that the server refuses has no text, and its status for a plan."""
        self.model()
        with ThreadPoolExecutor(self._at_once) as pool:
            return list(pool.map(lambda item: self._answer(item, decoding), items))

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
        if response.status_code != httpx.codes.OK:
            return Said("", str(response.status_code), seconds)
        choice = response.json()["choices"][0]
        text = choice["message"]["content"] if chat else choice["text"]
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

    def ask(self, items: Sequence[Item], decoding: Decoding) -> list[Said]:
        """See Side."""
        self._model = self._model or GuardedModel(load_language_model(self._folder))
        texts = self._model.answers(
            [request_of(item) for item in items],
            [Pass()] * len(items),
            max_new_tokens=decoding.max_tokens,
            temperature=decoding.temperature,
            seed=decoding.seed,
        )
        return [Said(text) for text in texts]


def asked(
    side: Side, kept: Answers, items: Sequence[Item], decoding: Decoding, progress: Progress = lambda *_: None
) -> list[Said]:
    """One answer to each item: those that are kept already, and the others, which are asked in parts and kept.

    Args:
        side: who is asked.
        kept: the side's answers.
        items: what is asked; the same item twice is asked once.
        decoding: how to answer.
        progress: told the stage, and how far it is.
    """
    missing = list({(item.endpoint, item.messages): item for item in items if not kept.get(item, decoding)}.values())
    missing.sort(key=lambda item: len(item.prompt))  # a batch of like lengths wastes no padding
    for start in range(0, len(missing), _CHUNK):
        progress(f"asking {side.name}", start, len(missing))
        part = missing[start : start + _CHUNK]
        kept.keep(zip(part, side.ask(part, decoding), strict=True), decoding)
    return [said for item in items if (said := kept.get(item, decoding))]


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
    """All that decides on the answers of a gateway that this run starts: packs, model, upstream and code."""
    versions = [
        f"{path.parent.name} {read_manifest(path.parent).version}" for path in sorted(packs.glob("*/manifest.json"))
    ]
    return " ".join((*versions, fingerprint(resolve(model)), upstream or "embedded", code_fingerprint()))
