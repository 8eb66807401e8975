"""Ways to hold a model in memory while a method learns: another dtype, layers computed again, 8 bit, several GPUs."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import dispatch_model
from tiny import tiny_model

from adapters.batches import Example, answer_logits, collate
from adapters.lora.training import LoraTraining, train_lora
from adapters.losses import answer_nll
from adapters.optimizers.schedule import OptimisationConfig
from adapters.soft_prompt.training import SoftPromptTraining, train_soft_prompt
from gateway.errors import SetupError
from gateway.models import loading as loading_module
from gateway.models.language_model import load_language_model
from gateway.models.loading import Loading
from gateway.packs.files import Policy
from gateway.training.config import Training, fingerprint_of
from gateway.training.scope_file import Scope

ROWS = [Example(tuple(range(10, 15 + row)), tuple(range(40, 43 + row))) for row in range(4)]
OPTIMISATION = OptimisationConfig(lr=2e-3, epochs=2, batch=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tiny_model()
    made.model.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def losses(model: Any) -> tuple[float, ...]:
    """Of a LoRA and of a soft prompt, one after the other."""
    lora = train_lora(model, forget=ROWS, earlier=[], training=LoraTraining(optimisation=OPTIMISATION))
    soft = SoftPromptTraining(tokens=4, optimisation=OPTIMISATION)
    prompt = train_soft_prompt(model, forget=ROWS, retain=ROWS, training=soft)
    return (*lora.losses, *prompt.losses)


def kept_bytes(model: Any, virtual: torch.Tensor) -> int:
    """What autograd keeps of a forward pass, weights aside."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = collate(ROWS, device=torch.device("cpu"))
    embeddings = model.get_input_embeddings()(batch.ids) + virtual
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer_nll(answer_logits(model, batch, inputs_embeds=embeddings, attention_mask=batch.mask), batch.labels)
    return sum(found.values())


def test_weights_are_held_in_the_dtype_that_is_asked_for(folder: Path) -> None:
    assert load_language_model(folder).model.dtype == torch.float32
    model = load_language_model(folder, loading=Loading("bfloat16")).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert all(loss > 0 for loss in losses(model))


def test_checkpointed_layers_learn_the_same_and_keep_less(folder: Path) -> None:
    plain = load_language_model(folder).model
    checkpointed = load_language_model(folder, loading=Loading(gradient_checkpointing=True)).model
    assert losses(checkpointed) == losses(plain)
    virtual = torch.zeros(1, 32, requires_grad=True)
    assert kept_bytes(checkpointed, virtual) < kept_bytes(plain, virtual) / 2


def test_a_model_whose_layers_are_dispatched_learns_the_same() -> None:
    """accelerate's hooks, which move a layer's inputs to its device, stand around every layer, as with --shard."""
    plain, spread = (tiny_model().model.requires_grad_(False) for _ in range(2))
    places = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.norm": "cpu", "lm_head": "cpu"}
    places |= {f"model.layers.{layer}": "cpu" for layer in range(2)}
    spread = dispatch_model(spread, places, main_device="cpu", force_hooks=True)
    assert hasattr(spread.model.layers[1], "_hf_hook")
    assert losses(spread) == losses(plain)


def test_8_bit_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match="pip install bitsandbytes"):
        Loading(load_in_8bit=True).check_possible()


def test_8_bit_is_asked_of_transformers_on_the_right_device() -> None:
    given = Loading(load_in_8bit=True).arguments("cuda")
    assert given["quantization_config"].load_in_8bit
    assert given["device_map"] == {"": "cuda"}
    assert Loading().arguments("cuda") == {"dtype": "auto"}


def test_spreading_needs_gpus_and_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SetupError, match="this machine has none"):
        Loading(shard=True).check_possible()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    Loading(shard=True).check_possible()
    with pytest.raises(SetupError, match="leave --shard or the launcher out"):
        Loading(shard=True).check_possible(processes=2)
    assert Loading(shard=True).arguments("cuda")["device_map"] == "balanced"


def test_a_device_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    Loading(device="cuda:1").check_possible()
    Loading(device="cuda").check_possible(processes=2)
    with pytest.raises(SetupError, match="leave --device out"):
        Loading(device="cuda:1").check_possible(processes=2)
    with pytest.raises(SetupError, match="leave --device out, or --shard"):
        Loading(device="cuda:1", shard=True).check_possible()


def test_layers_that_would_not_fit_on_the_gpus_are_refused() -> None:
    Loading.check_placed(SimpleNamespace(hf_device_map={"model.layers.0": 0, "model.layers.1": 1}))
    with pytest.raises(SetupError, match="would leave layers on cpu"):
        Loading.check_placed(SimpleNamespace(hf_device_map={"model.layers.0": 0, "model.layers.1": "cpu"}))


@pytest.mark.parametrize(("dtype", "options"), [("float16", {}), ("float32", {"load_in_8bit": True})])
def test_what_does_not_go_together_is_refused(dtype: Any, options: dict[str, bool]) -> None:
    with pytest.raises(SetupError, match="--dtype"):
        Loading(dtype, **options)


def test_a_pack_is_trained_anew_for_other_numbers_and_not_for_less_memory() -> None:
    scope = Scope("oz", "Oz.", (), (), (), Policy())
    marks = {
        loading: fingerprint_of(scope, Training(loading=loading), None, [])
        for loading in (
            Loading(),
            Loading(gradient_checkpointing=True),
            Loading(device="cpu"),
            Loading("bfloat16"),
            Loading(load_in_8bit=True),
        )
    }
    plain, checkpointed, placed, *others = marks.values()
    assert checkpointed == placed == plain
    assert len({plain, *others}) == 3
