"""The methods that there are, and how one joins."""

import pytest

from gateway.errors import SetupError
from gateway.methods import registry
from gateway.methods.registry import method, method_names, register


def test_each_method_goes_by_its_own_name() -> None:
    assert method_names()[:3] == ("corruption", "soft-prompt", "lora")
    assert [method(name).name for name in method_names()] == list(method_names())
    assert len({method(name).plan_name for name in method_names()}) == len(method_names())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("soft_prompt", "did you mean 'soft-prompt'"),
        ("corrupton", "did you mean 'corruption'"),
        ("x", "there are corr"),
    ],
)
def test_the_error_for_an_unknown_method_names_the_known_ones(name: str, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        method(name)


def test_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_places", dict(registry._places))
    register("mine", "my_package.mine:Mine")
    register("mine", "my_package.mine:Mine")
    assert method_names()[-1] == "mine"
    with pytest.raises(ValueError, match="'mine' already"):
        register("mine", "another_package.mine:Mine")
    with pytest.raises(ValueError, match="'lora' already"):
        register("lora", "my_package.lora:Lora")


def test_a_method_that_cannot_be_loaded_says_where_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_places", dict(registry._places))
    register("gone", "no_such_package.gone:Gone")
    with pytest.raises(SetupError, match=r"'gone' is registered as no_such_package\.gone:Gone, which cannot be loaded"):
        method("gone")
