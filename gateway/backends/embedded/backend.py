"""The model in this process: no server, no GPU needed, the same plans as in production."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from torch import Tensor

from adapters.lora.model import Lora, LoraSwitch
from gateway.backends.base import ModelCard, Served
from gateway.backends.embedded.decoding import Decoder
from gateway.backends.embedded.sampling import unsupported
from gateway.backends.refusal import refusal
from gateway.core import (
    Chunk,
    Corrupt,
    Delta,
    Endpoint,
    Instruct,
    Pass,
    Plan,
    Refuse,
    Request,
    SoftPrompt,
    Usage,
    UseAdapter,
)
from gateway.errors import InvalidRequest, QueueFull, UpstreamError
from gateway.models.folders import LanguageModel
from gateway.openai_format.encoding import CHAT_SHAPE, COMPLETIONS_SHAPE, Shape
from gateway.policy import DEFAULT_REFUSAL
from gateway.prompts.embedding import PromptEmbedder
from gateway.prompts.rendering import Unlocatable, count_tokens

__all__ = ["EmbeddedBackend"]

_COMPLETIONS_TOKENS = 16  # OpenAI's default for /v1/completions
_NOT_EMBEDDED = "the embedded backend does not support {}; use the vllm backend"

_Item = tuple[Delta, int] | BaseException | None
_Loras = Sequence[tuple[Lora, float]]


class EmbeddedBackend:
    """Transformers in process. Each generation runs alone in one of `slots` threads, so none sees another's state."""

    def __init__(
        self,
        language_model: LanguageModel,
        *,
        name: str,
        slots: int = 2,
        queue: int = 64,
        default_tokens: int = 512,
    ) -> None:
        """At most `queue` requests wait for a slot; a chat that does not say ends after `default_tokens`."""
        model, tokenizer = language_model.model, language_model.tokenizer
        self._context = language_model.max_tokens
        self._decoder = Decoder(model, tokenizer, _end_tokens(language_model))
        self._embedder = PromptEmbedder(tokenizer, language_model.weight.cpu())
        self._model = model
        self._switch: LoraSwitch | None = None
        self._capacity = slots + queue
        self._slots = slots
        self._running = 0
        self._default_tokens = default_tokens
        self._threads: ThreadPoolExecutor | None = None
        self._stopping = threading.Event()
        features = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
        self._served = Served(
            models=(ModelCard(name, self._context),),
            tokenizer=tokenizer,
            vocabulary=len(language_model.weight),
            cannot={feature: _NOT_EMBEDDED.format(feature) for feature in features},
        )

    async def __aenter__(self) -> "EmbeddedBackend":
        self._stopping.clear()
        self._switch = LoraSwitch(self._model)
        self._threads = ThreadPoolExecutor(self._slots, thread_name_prefix="generate")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stopping.set()
        if self._threads:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
        if self._switch:
            self._switch.close()
            self._switch = None

    @property
    def served(self) -> Served:
        """One model, plain chat and completions."""
        return self._served

    @property
    def busy(self) -> int:
        """How many requests hold or wait for a slot."""
        return self._running

    def shape(self, endpoint: Endpoint) -> Shape:
        """OpenAI's own."""
        return CHAT_SHAPE if endpoint == "chat" else COMPLETIONS_SHAPE

    async def trouble(self) -> str | None:
        """None: the model is in memory."""
        return None if self._threads else "the model is not loaded yet"

    async def prepare(self, adapters: Mapping[str, Lora]) -> Mapping[str, str]:
        """See Backend: nothing is loaded, but what does not fit the model is known now."""
        faults = {scope: self._misfit(lora) for scope, lora in adapters.items()}
        return {scope: fault for scope, fault in faults.items() if fault}

    def _misfit(self, lora: Lora) -> str | None:
        return lora.misfit(self._switch.linears) if self._switch else "the model is not loaded yet"

    async def generate(self, request: Request, plan: Plan) -> AsyncIterator[Chunk]:
        """See Backend. Pass is the plain model on the plain prompt."""
        _refuse_unsupported(request, self._served.vocabulary)
        asked = await asyncio.to_thread(count_tokens, self._served.tokenizer, request)
        limit = self._limit(request, asked)  # whatever the plan: too long a request is told so
        async with aclosing(await self._answer(request, plan, asked, limit)) as answer:
            async for chunk in answer:
                yield chunk

    async def _answer(self, request: Request, plan: Plan, asked: int, limit: int) -> AsyncGenerator[Chunk, None]:
        if isinstance(plan, Refuse):
            return refusal(request, plan.text, self._served.tokenizer)
        try:
            prompt = await asyncio.to_thread(self._prompt, request, plan)
        except Unlocatable:  # a plan that does not act must not become a pass
            return refusal(request, DEFAULT_REFUSAL, self._served.tokenizer)
        room = self._context - len(prompt)  # an instruction or a soft prompt takes some
        if room < 1:
            return refusal(request, DEFAULT_REFUSAL, self._served.tokenizer)
        loras = [(dose.lora, dose.weight) for dose in plan.doses] if isinstance(plan, UseAdapter) else []
        return self._generate(request, prompt, loras, asked, min(limit, room))

    def _prompt(self, request: Request, plan: Pass | Instruct | Corrupt | SoftPrompt | UseAdapter) -> Tensor:
        doses = plan.doses if isinstance(plan, UseAdapter) else ()
        if fault := next((fault for dose in doses if (fault := self._misfit(dose.lora))), None):
            raise Unlocatable(fault)
        return self._embedder.read(request, plan)

    async def _generate(
        self, request: Request, prompt: Tensor, loras: _Loras, asked: int, limit: int
    ) -> AsyncGenerator[Chunk, None]:
        written = 0
        async with aclosing(self._in_slot(request, prompt, loras, limit)) as pieces:
            async for delta, tokens in pieces:
                written += tokens
                yield delta
        yield Usage(asked, written)

    def _limit(self, request: Request, prompt_tokens: int) -> int:
        room = self._context - prompt_tokens
        asked = request.sampling.max_tokens
        if room < 1 or (asked or 0) > room:
            raise InvalidRequest(
                f"the prompt has {prompt_tokens} tokens and {asked or 'no'} more were asked for, but the model's "
                f"context is {self._context} tokens; shorten the messages or max_tokens",
                param="messages" if request.endpoint == "chat" else "prompt",
                code="context_length_exceeded",
            )
        default = _COMPLETIONS_TOKENS if request.endpoint == "completions" else self._default_tokens
        return asked or min(default, room)

    async def _in_slot(
        self, request: Request, prompt: Tensor, loras: _Loras, limit: int
    ) -> AsyncGenerator[tuple[Delta, int], None]:
        """Runs the decoding in a thread; leaving this generator aborts it and waits until the slot is free."""
        if self._threads is None or self._switch is None:
            raise UpstreamError("the embedded model is not started")
        if self._running >= self._capacity:
            raise QueueFull("too many requests are waiting for the model; try again shortly")
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[_Item] = asyncio.Queue()
        abort = threading.Event()

        def put(item: _Item) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(items.put_nowait, item)

        self._running += 1
        job = loop.run_in_executor(self._threads, self._work, self._switch, request, prompt, loras, limit, put, abort)
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, BaseException):
                    raise UpstreamError("the model failed while generating") from item
                yield item
        finally:
            abort.set()
            job.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        self._running -= 1

    def _work(
        self,
        switch: LoraSwitch,
        request: Request,
        prompt: Tensor,
        loras: _Loras,
        limit: int,
        put: Callable[[_Item], None],
        abort: threading.Event,
    ) -> None:
        def aborted() -> bool:
            return abort.is_set() or self._stopping.is_set()

        try:
            with switch.applied(loras):
                for index in range(request.sampling.n):
                    if aborted():
                        break
                    for piece in self._decoder.deltas(
                        prompt, request.sampling, index=index, limit=limit, aborted=aborted
                    ):
                        put(piece)
            put(None)
        except Exception as error:  # whatever torch raises ends this request alone
            put(error)


def _end_tokens(language_model: LanguageModel) -> frozenset[int]:
    configured = getattr(language_model.model.generation_config, "eos_token_id", None)
    many = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*many, language_model.tokenizer.eos_token_id] if token is not None)


def _refuse_unsupported(request: Request, vocabulary: int) -> None:
    """Raises InvalidRequest, the same for every plan, for a way to choose tokens that this backend does not have."""
    if field := unsupported(request.sampling):
        raise InvalidRequest(_NOT_EMBEDDED.format(field), param=field, code="unsupported_parameter")
    bias = dict(request.sampling.extra).get("logit_bias", {})
    if wrong := next((token for token in bias if int(token) >= vocabulary), None):
        raise InvalidRequest(
            f"logit_bias: token id {wrong} is not in the model's vocabulary of {vocabulary}", param="logit_bias"
        )
