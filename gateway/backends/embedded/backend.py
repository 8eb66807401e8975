"""The model in this process: no server, no GPU needed, the same plans as in production."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from adapters.lora.model import Lora, LoraSwitch
from gateway.backends.base import ModelCard, Served
from gateway.backends.embedded.decoding import Decoder
from gateway.backends.embedded.sampling import unsupported
from gateway.backends.refusal import counted_first, refusal, with_fallback
from gateway.backends.voice import Voice
from gateway.core import Delta, Endpoint, Event, Pass, Plan, Refuse, Request, Usage
from gateway.errors import InvalidRequest, PlanError, QueueFull, UpstreamError
from gateway.models.language_model import LanguageModel
from gateway.openai_format.messages.answer import counted
from gateway.openai_format.messages.shape import MESSAGE_SHAPE, MessageShape
from gateway.openai_format.shapes import CHAT_SHAPE, COMPLETIONS_SHAPE, Shape
from gateway.prompts.embedding import Prompts
from gateway.prompts.execution import ModelInput, model_input
from gateway.prompts.rendering import count_tokens

__all__ = ["EmbeddedBackend"]

_CHECKED_ADAPTERS = 8
_NOT_EMBEDDED = "the embedded backend does not support {}; use the vllm backend"

_Item = tuple[Delta, int] | BaseException | None


class EmbeddedBackend:
    """Transformers in process. Each generation runs alone in one of `slots` threads, so that none sees another's
    state."""

    def __init__(
        self,
        language_model: LanguageModel,
        *,
        name: str,
        slots: int = 2,
        queue: int = 64,
        default_tokens: int = 512,
    ) -> None:
        """
        Args:
            language_model: the model and its tokenizer.
            name: the model's name for clients.
            slots: how many answers are generated at once.
            queue: how many requests may wait for a slot. The next one gets a 429.
            default_tokens: the longest answer to a chat request that gives no limit.
        """
        model, tokenizer = language_model.model, language_model.tokenizer
        self._context = language_model.max_tokens
        self._decoder = Decoder(model, tokenizer, _end_tokens(language_model))
        self._prompts = Prompts(tokenizer, language_model.embeddings.cpu())
        self._model = model
        self._voice = Voice(self.generate, tokenizer, lambda: name)
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
            vocabulary=len(language_model.embeddings),
            unsupported_features={feature: _NOT_EMBEDDED.format(feature) for feature in features},
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
        """How many requests hold a slot or wait for one."""
        return self._running

    def shape(self, endpoint: Endpoint) -> Shape:
        """OpenAI's own."""
        return CHAT_SHAPE if endpoint == "chat" else COMPLETIONS_SHAPE

    @property
    def concerns(self) -> tuple[str, ...]:
        """See Backend: nobody else uses a model in this process."""
        return ()

    async def problem(self) -> str | None:
        """None: the model is in memory."""
        return None if self._threads else "the model is not loaded yet"

    @property
    def message_shape(self) -> MessageShape:
        """Anthropic's own."""
        return MESSAGE_SHAPE

    async def count_tokens(self, request: Request) -> bytes:
        """See Backend."""
        return counted(await asyncio.to_thread(count_tokens, self._served.tokenizer, request))

    @property
    def adapter_slots(self) -> int:
        """It keeps none ready, and checks some at the start."""
        return _CHECKED_ADAPTERS

    async def prepare(self, adapters: Mapping[str, Lora], in_force: frozenset[str] | None = None) -> Mapping[str, str]:
        """See Backend. It loads nothing, but finds adapters that do not fit the model."""
        faults = {scope: self._misfit(lora) for scope, lora in adapters.items()}
        return {scope: fault for scope, fault in faults.items() if fault}

    def _misfit(self, lora: Lora) -> str | None:
        return lora.misfit(self._switch.linears) if self._switch else "the model is not loaded yet"

    def check_length(self, request: Request) -> int:
        """See Backend."""
        prompt_tokens = len(self._prompts.render(request).ids)
        self._limit(request, prompt_tokens)
        return prompt_tokens

    async def generate(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """See Backend. Pass is the plain model on the plain prompt."""
        _refuse_unsupported(request, self._served.vocabulary)
        asked = await asyncio.to_thread(self.check_length, request)  # too long a request is refused, under every plan
        if isinstance(plan, Refuse):
            events = refusal(request, plan.text, self._voice, asked)
        else:
            events = with_fallback(self._planned(request, plan), request, plan, self._voice, asked)
        events = counted_first(events, request, asked)
        if isinstance(plan, Pass):
            events = self._voice.heard(request, events)
        async with aclosing(events):
            async for event in events:
                yield event

    async def _planned(self, request: Request, plan: Plan) -> AsyncGenerator[Event, None]:
        """Raises PlanError, before the first event, if this model cannot carry the plan out."""
        given = await asyncio.to_thread(model_input, request, plan, self._prompts)
        if fault := next((fault for one in given.adapters if (fault := self._misfit(one.lora))), None):
            raise PlanError(fault)
        room = self._context - len(given)  # an instruction or a soft prompt takes some
        if room < 1:
            raise PlanError("the plan leaves no room for an answer in the model's context")
        limit = min(self._limit(request, given.prompt_tokens), room)
        written = 0
        async with aclosing(self._in_slot(request, given, limit)) as pieces:
            async for delta, tokens in pieces:
                written += tokens
                yield Event.of(delta)
        yield Event.of(Usage(given.prompt_tokens, written))

    def _limit(self, request: Request, prompt_tokens: int) -> int:
        room = self._context - prompt_tokens
        asked = request.sampling.max_tokens
        if room < 1 or ((asked or 0) > room and not request.written):
            raise InvalidRequest(
                f"the prompt has {prompt_tokens} tokens and {asked or 'no'} more were asked for, but the model's "
                f"context is {self._context} tokens; shorten the messages or max_tokens",
                param="messages" if request.endpoint == "chat" else "prompt",
                code="context_length_exceeded",
            )
        written = len(self._prompts.answer_ids(request.written)) if request.written else 0
        return request.most_tokens or max(1, min(self._default_tokens - written, room))

    async def _in_slot(
        self, request: Request, given: ModelInput, limit: int
    ) -> AsyncGenerator[tuple[Delta, int], None]:
        """Runs the decoding in a thread. To leave this generator aborts it and waits until the slot is free."""
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
        job = loop.run_in_executor(self._threads, self._work, self._switch, request, given, limit, put, abort)
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
        given: ModelInput,
        limit: int,
        put: Callable[[_Item], None],
        abort: threading.Event,
    ) -> None:
        def aborted() -> bool:
            return abort.is_set() or self._stopping.is_set()

        try:
            with switch.applied([(one.lora, one.weight) for one in given.adapters]):
                for piece in self._decoded(request, given, limit, aborted):
                    put(piece)
            put(None)
        except Exception as error:  # an error of torch ends this request alone
            put(error)

    def _decoded(
        self, request: Request, given: ModelInput, limit: int, aborted: Callable[[], bool]
    ) -> Iterator[tuple[Delta, int]]:
        """The choices, one after the other."""
        for index in range(request.sampling.n):
            if aborted():
                return
            yield from self._decoder.deltas(given, request.sampling, index=index, limit=limit, aborted=aborted)


def _end_tokens(language_model: LanguageModel) -> frozenset[int]:
    configured = getattr(language_model.model.generation_config, "eos_token_id", None)
    many = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*many, language_model.tokenizer.eos_token_id] if token is not None)


def _refuse_unsupported(request: Request, vocabulary: int) -> None:
    """Raises InvalidRequest, the same for every plan, for a sampling setting that this backend does not have."""
    if field := unsupported(request.sampling):
        raise InvalidRequest(_NOT_EMBEDDED.format(field), param=field, code="unsupported_parameter")
    bias = dict(request.sampling.extra).get("logit_bias", {})
    if wrong := next((token for token in bias if int(token) >= vocabulary), None):
        raise InvalidRequest(
            f"logit_bias: token id {wrong} is not in the model's vocabulary of {vocabulary}", param="logit_bias"
        )
