"""A base model can be compared and attacked with a chat template beside its files."""

from pathlib import Path

import pytest
from tiny_families import save, tiny_of

from benchmarks.templated import templated
from gateway.errors import ModelError
from gateway.models.folders import fingerprint
from gateway.models.language_model import load_language_model

LINES = "{% for message in messages %}Q: {{ message['content'] }}\n{% endfor %}A:"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = save(tiny_of("gemma3_text"), tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    return folder


def test_the_template_stands_beside_the_files(base: Path, tmp_path: Path) -> None:
    for _ in range(2):  # a second run goes on in the same folder
        folder = templated(str(base), LINES, tmp_path / "out")
    assert fingerprint(folder) == fingerprint(base)
    tokenizer = load_language_model(folder).tokenizer
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Who?"}], tokenize=False) == "Q: Who?\nA:"
    assert not (base / "chat_template.jinja").exists()
    assert templated(str(base), LINES + " ", tmp_path / "out") != folder


def test_a_model_that_cannot_chat_is_told_at_once(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--chat-template FILE"):
        templated(str(base), None, tmp_path)
    with pytest.raises(ModelError, match="leaves out what the user says"):
        templated(str(base), "A:", tmp_path)
    assert not list(tmp_path.glob("base-*"))
