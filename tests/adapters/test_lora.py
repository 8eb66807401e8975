"""Adapters as data: peft's format, weighted sums, and one thread's calls among others."""

import json
import threading
from pathlib import Path

import pytest
import torch
from memory import Memory
from peft import PeftModel
from torch import Tensor, nn

from adapters.lora.model import Lora, LoraSwitch, joined


def random_lora(linears: dict[str, tuple[int, int]], *, rank: int = 4, seed: int = 0, scaling: float = 2.0) -> Lora:
    rng = torch.Generator().manual_seed(seed)
    layers = {
        name: (torch.randn(rank, inner, generator=rng) / 8, torch.randn(outer, rank, generator=rng) / 8)
        for name, (inner, outer) in linears.items()
        if not name.endswith("lm_head")
    }
    return Lora(layers, scaling)


@pytest.fixture
def lora(memory: Memory) -> Lora:
    with LoraSwitch(memory.base.model) as switch:
        return random_lora(switch.linears)


def logits(model: nn.Module) -> Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(5, 25)[None]).logits


def test_saving_and_loading_change_nothing(tmp_path: Path, lora: Lora) -> None:
    lora.save(tmp_path)
    loaded = Lora.load(tmp_path)
    assert loaded.digest == lora.digest
    assert loaded.rank == 4
    assert loaded.scaling == lora.scaling
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}


def test_peft_reads_it_and_computes_the_same(tmp_path: Path, memory: Memory, lora: Lora) -> None:
    model = memory.base.model
    plain = logits(model)
    lora.save(tmp_path)
    with LoraSwitch(model) as switch, switch.applied([(lora, 1.0)]):
        ours = logits(model)
    by_peft = PeftModel.from_pretrained(model, str(tmp_path))
    theirs = logits(by_peft)
    by_peft.unload()
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, plain, atol=1e-2)


def test_the_plain_model_is_the_same_bit_for_bit_within_and_after(memory: Memory, lora: Lora) -> None:
    model = memory.base.model
    plain = logits(model)
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    with LoraSwitch(model) as switch:
        assert torch.equal(logits(model), plain)
        with switch.applied([(lora, 1.0)]):
            assert not torch.equal(logits(model), plain)
        assert torch.equal(logits(model), plain)
    assert torch.equal(logits(model), plain)
    assert sum(len(module._forward_hooks) for module in model.modules()) == hooks


def test_an_error_within_leaves_nothing_applied(memory: Memory, lora: Lora) -> None:
    model = memory.base.model
    plain = logits(model)
    with LoraSwitch(model) as switch:
        with pytest.raises(KeyError), switch.applied([(lora, 1.0)]):
            raise KeyError
        assert torch.equal(logits(model), plain)


def test_threads_do_not_share_adapters(memory: Memory, lora: Lora) -> None:
    model = memory.base.model
    plain = logits(model)
    wrong: list[float] = []
    with LoraSwitch(model) as switch:
        with switch.applied([(lora, 0.5)]):
            half = logits(model)

        def work(weight: float, expected: Tensor) -> None:
            for _ in range(40):
                with switch.applied([(lora, weight)] if weight else []):
                    if not torch.equal(logits(model), expected):
                        wrong.append(weight)

        threads = [threading.Thread(target=work, args=one) for one in ((0.0, plain), (0.5, half), (0.0, plain))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_joined_adapter_is_the_weighted_sum(memory: Memory, lora: Lora) -> None:
    model = memory.base.model
    with LoraSwitch(model) as switch:
        part = {name: size for name, size in switch.linears.items() if name.endswith("q_proj")}
        other = random_lora(part, rank=3, seed=1, scaling=0.5)
        with switch.applied([(lora, 0.25), (other, 1.0)]):
            apart = logits(model)
        both = joined([(lora, 0.25), (other, 1.0)])
        with switch.applied([(both, 1.0)]):
            assert torch.allclose(logits(model), apart, atol=1e-4)
    assert both.rank == 7
    assert joined([(lora, 1.0)]) is lora


def test_padding_to_a_rank_that_a_server_knows_changes_nothing(tmp_path: Path, memory: Memory, lora: Lora) -> None:
    lora.save(tmp_path, rank=8)
    padded = Lora.load(tmp_path)
    assert padded.rank == 8
    model = memory.base.model
    with LoraSwitch(model) as switch:
        with switch.applied([(lora, 1.0)]):
            expected = logits(model)
        with switch.applied([(padded, 1.0)]):
            assert torch.allclose(logits(model), expected, atol=1e-5)
    with pytest.raises(ValueError, match="rank 4 cannot be written with rank 2"):
        lora.save(tmp_path, rank=2)


def test_a_misfit_is_named(memory: Memory, lora: Lora) -> None:
    with LoraSwitch(memory.base.model) as switch:
        assert lora.misfit(switch.linears) is None
        stranger = Lora({"model.layers.9.q": (torch.ones(1, 2), torch.ones(2, 1))}, 1.0)
        assert stranger.misfit(switch.linears) == "the model has no linear layer 'model.layers.9.q'"
        name = next(iter(lora.layers))
        wide = Lora({name: (torch.ones(1, 999), torch.ones(5, 1))}, 1.0)
        assert "maps 999 to 5 features and the model's maps 64 to" in str(wide.misfit(switch.linears))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"use_rslora": True}, "use_rslora"),
        ({"bias": "all"}, "bias"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"r": 0}, "no LoRA that can be read"),
        ({"lora_alpha": float("nan")}, "scaling must be finite"),
    ],
)
def test_an_adapter_that_is_no_plain_lora_is_refused(
    tmp_path: Path, lora: Lora, change: dict[str, object], words: str
) -> None:
    lora.save(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(ValueError, match=words):
        Lora.load(tmp_path)


def test_matrices_must_fit_and_be_finite() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Lora({"a": (torch.ones(2, 4), torch.ones(4, 3))}, 1.0)
    with pytest.raises(ValueError, match="not finite"):
        Lora({"a": (torch.full((1, 4), torch.nan), torch.ones(4, 1))}, 1.0)
    with pytest.raises(ValueError, match="at least one layer"):
        Lora({}, 1.0)


class TwoKinds(nn.Module):
    """A float32 layer before one in bfloat16, as a head in another dtype, or layers on two devices, would be."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4, dtype=torch.bfloat16)

    def forward(self, values: Tensor) -> Tensor:
        return self.second(self.first(values).bfloat16())


def test_each_layers_matrices_are_put_where_its_own_activations_are() -> None:
    torch.manual_seed(0)
    model = TwoKinds()
    lora = Lora({name: (torch.ones(1, 4), torch.ones(4, 1)) for name in ("first", "second")}, 1.0)
    values = torch.ones(1, 4)
    with torch.inference_mode(), LoraSwitch(model) as switch:
        plain = model(values)
        with switch.applied([(lora, 1.0)]):
            changed = model(values)
    assert changed.dtype == torch.bfloat16
    assert (changed > plain).all()
