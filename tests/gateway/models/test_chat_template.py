"""A model without a chat template is told of before anything is trained or loaded, and a template can be given."""

from pathlib import Path

import pytest
from harness import ROOT, unrecall_here
from tiny_families import save, tiny_of

import gateway.server.assembly
import gateway.training.run
from gateway.core import Message, Request
from gateway.errors import InvalidRequest, ModelError, SetupError
from gateway.models.chat_template import read_chat_template
from gateway.models.language_model import load_tokenizer
from gateway.packs.files import Policy
from gateway.prompts.rendering import render
from gateway.server.assembly import build_parts
from gateway.settings import load_settings
from gateway.training.config import Training, fingerprint_of
from gateway.training.run import train_scope
from gateway.training.scope_file import Scope

EXAMPLE = ROOT / "examples/base-model.jinja"
SCOPE = ROOT / "examples/harry-potter/scope.yaml"
TOLD = r"has no chat template, and questions are asked as a chat: .*--chat-template FILE"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of a model without a chat template."""
    folder = save(tiny_of("gemma3_text"), tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    return folder


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    return save(tiny_of("qwen2"), tmp_path / "tuned")


@pytest.fixture
def nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("something heavy was loaded")

    for module in (gateway.training.run, gateway.server.assembly):
        monkeypatch.setattr(module, "find_encoder", loaded)
        monkeypatch.setattr(module, "load_language_model", loaded)


@pytest.mark.usefixtures("nothing_heavy")
def test_a_training_tells_at_once(base: Path, tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=TOLD):
        train_scope(scope_file=SCOPE, model=str(base), encoder="minilm", out=tmp_path / "packs")
    with pytest.raises(ModelError, match=rf"base {TOLD}"):  # so does a reference model
        train_scope(scope_file=SCOPE, model=str(tuned), encoder="minilm", out=tmp_path / "packs", reference=str(base))
    assert not (tmp_path / "packs").exists()


@pytest.mark.usefixtures("nothing_heavy")
@pytest.mark.parametrize(
    "words", [("train", SCOPE), ("train", SCOPE, "--estimate"), ("demo", "--once"), ("scope", "new", "--subject", "Oz")]
)
def test_every_command_that_asks_tells_at_once(words: tuple[object, ...], base: Path, tmp_path: Path) -> None:
    where = "--packs" if "demo" in words else "--out"
    said = unrecall_here(*words, "--model", base, where, tmp_path / "out")
    assert said.returncode == 2
    assert "has no chat template, and questions are asked as a chat" in said.stderr
    assert "--chat-template FILE" in said.stderr


def test_a_template_that_is_given_lets_the_training_begin(base: Path, tmp_path: Path) -> None:
    said = unrecall_here("train", SCOPE, "--model", base, "--chat-template", EXAMPLE, "--estimate", "--out", tmp_path)
    assert said.returncode == 0, said.stderr
    assert "training takes about" in said.stdout


def test_a_server_reads_the_template_first_and_warns_without_one(
    base: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise RuntimeError("the encoder would be loaded now")

    monkeypatch.setattr(gateway.server.assembly, "find_encoder", stop)
    with pytest.raises(RuntimeError):
        build_parts(load_settings(None, {"model": str(base)}))
    assert "has no chat template: chat requests cannot be answered, only completions" in caplog.text
    caplog.clear()
    with pytest.raises(RuntimeError):
        build_parts(load_settings(None, {"model": str(base), "chat_template": EXAMPLE}))
    assert "chat template" not in caplog.text
    with pytest.raises(ModelError, match="cannot read the chat template"):
        build_parts(load_settings(None, {"model": str(base), "chat_template": base / "none.jinja"}))


def test_the_shipped_template_renders_a_conversation(base: Path) -> None:
    tokenizer = load_tokenizer(base, chat_template=read_chat_template(EXAMPLE), chats=True)
    tokenizer.bos_token = "<|endoftext|>"
    turns = [("system", "Be brief."), ("user", "Who?"), ("assistant", "Me."), ("user", "Why?")]
    prompt = render(
        tokenizer, Request("1", "chat", "m", tuple(Message(role, text) for role, text in turns)), locate=True
    )
    expected = "<|endoftext|>Note: Be brief.\nQuestion: Who?\nAnswer: Me.\nQuestion: Why?\nAnswer:"
    assert prompt.text == expected
    assert [prompt.text[place.start : place.end] for place in prompt.places or ()] == [text for _, text in turns]
    with pytest.raises(InvalidRequest, match="the model's chat template refuses these messages"):
        render(tokenizer, Request("1", "chat", "m", (Message("tool", "42"),)))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", r"cannot render a question \(TemplateSyntaxError"),
        ("{{ messages[7].content + 'x' }}", r"cannot render a question \(UndefinedError"),
        ("{{ raise_exception('no') }}", r"cannot render a question \(TemplateError"),
        ("You are a helpful assistant.", r"leaves out what the user says"),
        ("{{ messages[0]['role'] }}", r"must write \{\{ message\['content'\] \}\}"),
    ],
)
def test_a_template_that_is_none_is_refused(template: str, message: str, tuned: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_tokenizer(tuned, chat_template=template)


@pytest.mark.parametrize(("content", "message"), [(b" \n", "is empty"), (b"\xff\xfe", "give a text file in UTF-8")])
def test_a_file_that_is_no_text_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_bytes(content)
    with pytest.raises(SetupError, match=message):
        read_chat_template(tmp_path / "chat.jinja")


def test_another_template_makes_another_pack() -> None:
    scope = Scope("oz", "Oz.", ("Oz",), (), (), Policy(), ())
    prints = {fingerprint_of(scope, Training(chat_template=text), None, []) for text in (None, "a", "b")}
    assert len(prints) == 3
