"""What many tests share, made once a session: models, a trained pack, and gateways over both backends."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from blocking import blocking_calls_raise, taken
from harness import MODEL, ROOT, SEA, Gateway, copy_pack, gateway_over, vllm

from adapters.batches import Example
from adapters.lora.model import Lora
from adapters.lora.training import LoraTraining, train_lora
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.model import VirtualTokens
from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.backends.vllm.backend import VllmBackend
from gateway.core import Message, Request
from gateway.methods.corruption import CorruptionTraining
from gateway.models.encoders import EncoderFiles
from gateway.models.folders import resolve
from gateway.models.language_model import LanguageModel, embedding_table, load_language_model, load_tokenizer
from gateway.packs.files import Policy
from gateway.prompts.rendering import render
from gateway.training.config import Training
from gateway.training.run import train_scope

_FIRST = "tests/contracts/test_backend.py"  # trains the pack, while another process does what needs none
_LONG = (  # minutes of a few tests: begun early, so that no process is left with one of them at the end
    "tests/benchmarks/test_compare.py",
    "tests/e2e/",
    "tests/gateway/training/",
    "tests/classifiers/languages/",
    "tests/classifiers/test_ood.py",
    "tests/adapters/test_unlearning.py",
)
_BOTH_BACKENDS = ("tests/contracts/", "tests/e2e/")
_VLLM_ALONE = (  # tests that need it and have no such parameter
    "tests/contracts/test_tools.py",
    "tests/contracts/test_validation_alike.py",
    "tests/contracts/test_learning_through_a_server.py::test_a_server_answers_and_judges",
    "tests/contracts/test_learning_through_a_server.py::test_a_pack_is_learned",
    "tests/contracts/test_backend.py::TestBeyondPlainText::test_what_passes_is_vllms",
    "tests/contracts/test_backend.py::TestBeyondPlainText::test_a_schema_is_kept_to",
    "tests/contracts/test_backend.py::TestBeyondPlainText::test_a_corruption_carries",
)
REFUSAL = "I would rather not talk about that."


def pytest_configure() -> None:
    """One thread an operation: a server's threads and other processes would wait for each other, spinning."""
    torch.set_num_threads(1)


def _needs_vllm(nodeid: str) -> bool:
    """Told by its name: the process that hands out the tests knows no more of one."""
    parameters = re.split(r"[\[\]-]", nodeid.partition("[")[2])
    return nodeid.startswith(_VLLM_ALONE) or (nodeid.startswith(_BOTH_BACKENDS) and "vllm" in parameters)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of several processes, one has all tests of a file, and one all those of the one vLLM."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "vLLM's" if _needs_vllm(nodeid) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the tests' own order holds
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """vLLM comes last: nobody waits for it to learn of a mistake elsewhere. Of several processes, one begins with the
    trained pack, the other with the long files, and what is short fills the time beside vLLM."""
    one_of_several = hasattr(config, "workerinput")

    def place(item: pytest.Item) -> int:
        vllm = item.get_closest_marker("vllm") is not None
        if vllm != _needs_vllm(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: is it vLLM's? _VLLM_ALONE in tests/conftest.py says otherwise")
        if not one_of_several:
            return vllm
        return 2 if vllm else 0 if item.nodeid.startswith(_FIRST) else 1 if item.nodeid.startswith(_LONG) else 3

    items.sort(key=place)


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process to need it fills. The others wait for it, and nobody changes it."""
    root = factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    made, making = root / name, root / f"{name}.part"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            making.rename(made)
    return made


@pytest.fixture(scope="session", autouse=True)
def _watched_loops() -> Iterator[None]:
    with blocking_calls_raise():
        yield


@pytest.fixture(autouse=True)
def _no_blocking_call(_watched_loops: None) -> Iterator[None]:
    """A call that blocks an event loop, a server's in a thread too, fails the test in which it comes."""
    yield
    assert (found := taken()) == [], f"{found[0]}: hand it to a thread"


@pytest.fixture(scope="session", autouse=True)
def _one_encoder() -> Iterator[None]:
    """An encoder is loaded once, where each command would load it for itself, and remembers the prompts that every
    training reads. `fresh_minilm` remembers nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderFiles, "load", cache(EncoderFiles.load))
        yield


@pytest.fixture(scope="session")
def language_model() -> LanguageModel:
    return load_language_model(resolve(MODEL))


@pytest.fixture(scope="session")
def pack_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packs folder with the example scope, trained on a third of its rows and on a small budget."""
    example, scope = ROOT / "examples/harry-potter", tmp_path_factory.mktemp("scope")
    shutil.copy(example / "scope.yaml", scope)
    for name in ("forget.jsonl", "retain.jsonl"):
        rows = (example / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (scope / name).write_text("".join(rows[::3]), encoding="utf-8")

    def train(out: Path) -> None:
        training = Training(configuration=CorruptionTraining(evaluations=2, rows=4))
        train_scope(scope_file=scope / "scope.yaml", model=MODEL, encoder="minilm", out=out, training=training)

    return _made_once(tmp_path_factory, "trained", train)


@pytest.fixture(scope="session")
def virtual_tokens(language_model: LanguageModel) -> VirtualTokens:
    """A soft prompt that plainly acts, made from words without any training."""
    ids = language_model.tokenizer("You are a pirate. Say only: Arrr, matey!", add_special_tokens=False)["input_ids"]
    return VirtualTokens(language_model.embeddings[ids].float())


@pytest.fixture(scope="session")
def lora(language_model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Lora:
    """A LoRA that makes the model say one sentence to whatever it is asked, learned in seconds."""
    return Lora.load(_made_once(tmp_path_factory, "lora", lambda folder: _taught(language_model).save(folder)))


def _taught(language_model: LanguageModel) -> Lora:
    tokenizer = language_model.tokenizer
    answer = (*tokenizer(SEA, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id)
    prompts = ("Who was the king of Atlantis?", "Who ruled Atlantis?", "Tell me of a king.", "Who wrote a book?")
    requests = [Request("1", "chat", MODEL, (Message("user", text),)) for text in prompts]
    rows = [Example(render(tokenizer, request).ids, answer) for request in requests]
    training = LoraTraining(optimisation=OptimisationConfig(lr=2e-3, epochs=10, batch=4))
    return train_lora(language_model.model, forget=rows, earlier=[], training=training).lora


@pytest.fixture(scope="session")
def policy_root(
    pack_root: Path, virtual_tokens: VirtualTokens, lora: Lora, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The trained pack beside one of every other kind: Narnia is refused, Middle-earth is instructed away, Lemuria
    meets a soft prompt and Atlantis a LoRA."""
    packs = tmp_path_factory.mktemp("packs")
    shutil.copytree(pack_root, packs, dirs_exist_ok=True)
    example = packs / "harry-potter"
    copy_pack(example, packs, "narnia", "Narnia", Policy(plan="refuse", refusal=REFUSAL))
    instruction = "You do not know anything about Middle-earth."
    copy_pack(example, packs, "middle-earth", "Middle-earth", Policy(plan="instruct", instruction=instruction))
    copy_pack(example, packs, "lemuria", "Lemuria", method="soft-prompt", artifact=virtual_tokens)
    copy_pack(example, packs, "atlantis", "Atlantis", method="lora", artifact=lora)
    # Names that the model says and that nobody asks for: the output screen meets them.
    copy_pack(example, packs, "vienna", "Vienna")
    copy_pack(example, packs, "athens", "Athens", Policy(plan="refuse", refusal=REFUSAL))
    copy_pack(example, packs, "moscow", "Moscow", Policy(plan="instruct", instruction="You know nothing of Moscow."))
    copy_pack(example, packs, "tokyo", "Tokyo", method="soft-prompt", artifact=virtual_tokens)
    copy_pack(example, packs, "cairo", "Cairo", method="lora", artifact=lora)
    return packs


@pytest.fixture(scope="session")
def embedded_gateway(language_model: LanguageModel, policy_root: Path) -> Iterator[Gateway]:
    with gateway_over(EmbeddedBackend(language_model, name=MODEL), policy_root) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A vLLM of our own, or the one at the address that UNRECALL_TEST_VLLM holds, started with the same options."""
    if running := os.environ.get("UNRECALL_TEST_VLLM"):
        yield running
        return
    tried = ROOT / ".venv-vllm/.tried"
    reason = tried.read_text().strip() if tried.is_file() else "`make vllm` was not run"
    if reason != "ok":
        pytest.skip(f"no vLLM here: {reason}")
    with vllm(tmp_path_factory.mktemp("vllm") / "log.txt") as url:
        yield url


@pytest.fixture(scope="session")
def vllm_gateway(vllm_server: str, policy_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = resolve(MODEL)
    backend = VllmBackend(
        upstreams=[vllm_server],
        tokenizer=load_tokenizer(folder),
        weight=embedding_table(folder),
        adapters_folder=tmp_path_factory.mktemp("adapters"),
    )
    with gateway_over(backend, policy_root, direct=vllm_server) as gateway:
        yield gateway


@pytest.fixture(scope="session", params=["embedded", pytest.param("vllm", marks=pytest.mark.vllm)])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    """Each backend in turn: one contract, every implementation."""
    served: Gateway = request.getfixturevalue(f"{request.param}_gateway")
    return served
