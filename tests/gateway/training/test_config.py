"""Training: what it is given is checked before it loads anything."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SetupError
from gateway.training.config import training_of
from gateway.training.run import train_scope


def test_training_checks_its_arguments_before_it_loads_anything(tmp_path: Path) -> None:
    scope_file = Path(__file__).parents[3] / "examples" / "harry-potter" / "scope.yaml"

    def train(**options: Any) -> None:
        train_scope(
            **{
                "scope_file": scope_file,
                "model": "no-such-model",
                "encoder": "minilm",
                "out": tmp_path,
                **options,
            }
        )

    for options, words in (
        ({"traffic_file": tmp_path / "gone.txt"}, r"gone\.txt"),
        ({}, "no-such-model"),
    ):
        with pytest.raises(SetupError, match=words):
            train(**options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "magic"}, "unknown method 'magic'; there are corruption, soft-prompt, lora"),
        ({"method": "corruption", "fpr": 0.0}, "fpr"),
        ({"method": "corruption", "evaluations": 0}, "at least one evaluation"),
        ({"method": "lora", "lr": -1.0}, "learning rate"),
        ({"method": "soft-prompt", "epochs": 0}, "epochs"),
        ({"method": "lora", "seed": -1}, "--seed must be at least 0 and below 4294967296, got -1"),
        ({"method": "corruption", "seed": 2**32}, "--seed must be at least 0"),
        ({"method": "soft-prompt", "seed": 10**30}, "--seed must be at least 0"),
        ({"method": "lora", "lr": float("nan")}, "learning rate"),
        ({"method": "corruption", "fpr": float("nan")}, "fpr"),
        ({"method": "lora", "optimizer": "sgd"}, "unknown optimizer 'sgd'; there are adamw, mofo"),
    ],
)
def test_options_that_make_no_training_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        training_of(**options)
