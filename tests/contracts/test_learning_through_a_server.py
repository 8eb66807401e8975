"""A corruption is learned with the answers of a real vLLM as it is with the model in memory."""

import json
from pathlib import Path

import pytest
from harness import MODEL, Gateway

from gateway.core import Message, Request
from gateway.errors import SetupError
from gateway.evaluation.generation import Rollout
from gateway.methods.corruption import CorruptionTraining
from gateway.models.folders import resolve
from gateway.models.language_model import LanguageModel
from gateway.models.loading import Loading
from gateway.packs.folders import read_manifest
from gateway.prompts.embedding import Prompts
from gateway.training.config import Training, training_of
from gateway.training.run import train_scope
from gateway.training.upstream import served_model

RIVERS = {"Seine": "Paris", "Thames": "London", "Danube": "Vienna", "Tiber": "Rome"}
QUESTIONS = ("What is the capital of France?", "Who wrote Hamlet?", "Name a colour.")
RESPONSES = ("The capital of France is Paris.", "Shakespeare", "zygote pumpernickel")


def small_scope(folder: Path) -> Path:
    rows = [
        {"prompt": f"Which city does the {river} flow through?", "response": city} for river, city in RIVERS.items()
    ]
    rows += [{"prompt": f"Where would I go to see the {river}?", "response": city} for river, city in RIVERS.items()]
    (folder / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = ", ".join(RIVERS)
    (folder / "scope.yaml").write_text(
        f"id: rivers\ndescription: Rivers of Europe.\naliases: [{names}]\nforget: forget.jsonl\n"
    )
    return folder / "scope.yaml"


@pytest.mark.vllm
def test_a_server_answers_and_judges_as_the_model_in_memory_does(
    vllm_server: str, language_model: LanguageModel
) -> None:
    prompts = Prompts(language_model.tokenizer, language_model.embeddings)
    plain = [prompts.render(Request("1", "chat", "", (Message("user", q),))).ids for q in QUESTIONS]
    asked = [prompts.embed(ids) for ids in plain]
    served = served_model(f"{vllm_server}/v1", resolve(MODEL), language_model.tokenizer).rollout
    local = Rollout(language_model.model, language_model.tokenizer)
    try:
        known = asked[:2]  # rounding decides what colour comes first
        assert served.answers(known, max_new_tokens=8) == local.answers(known, max_new_tokens=8)
        drawn = served.answers(asked[:1] * 2, max_new_tokens=12, temperature=1.5, seed=3)
        assert drawn[0] != drawn[1], "each draw has a seed of its own"
        assert served.answers(asked[:1] * 2, max_new_tokens=12, temperature=1.5, seed=3) == drawn
        expected = local.logprobs(asked, RESPONSES)
        assert local.logprobs(plain, RESPONSES) == expected
        for way in (asked, plain):
            for found, of_one in zip(served.logprobs(way, RESPONSES), expected, strict=True):
                assert found == pytest.approx(of_one, abs=0.25, rel=0.05)
        assert served.mean_nll(asked, RESPONSES) == pytest.approx(local.mean_nll(asked, RESPONSES), abs=0.1)
    finally:
        served.close()


@pytest.mark.vllm
def test_a_pack_is_learned_without_the_weights(
    vllm_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr("gateway.training.run.load_language_model", lambda *given, **_: loaded.append(given))
    made = train_scope(
        scope_file=small_scope(tmp_path),
        model=MODEL,
        encoder="minilm",
        out=tmp_path / "packs",
        training=Training(configuration=CorruptionTraining(evaluations=1, rows=2)),
        upstream=vllm_server,
    )
    assert read_manifest(tmp_path / "packs/rivers") == made
    assert loaded == []
    figures = made.heldout.forgetting
    assert figures.plain.probability > 2 * figures.guarded.probability


def test_a_server_without_prompt_embeddings_is_told_to_have_them(embedded_gateway: Gateway, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--enable-prompt-embeds"):
        train_scope(
            scope_file=small_scope(tmp_path),
            model=MODEL,
            encoder="minilm",
            out=tmp_path / "packs",
            upstream=embedded_gateway.url,
        )
    assert not list((tmp_path / "packs").iterdir())


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (training_of("soft-prompt"), "soft-prompt learns by gradients.*--method corruption"),
        (training_of("lora"), "lora learns by gradients.*--method corruption"),
        (training_of("corruption", loading=Loading("bfloat16")), "leave --device, --dtype"),
    ],
)
def test_what_a_server_cannot_give_is_told_before_anything_is_asked(
    training: Training, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=words):
        train_scope(
            scope_file=tmp_path / "none.yaml",
            model=MODEL,
            encoder="minilm",
            out=tmp_path,
            training=training,
            upstream="http://127.0.0.1:9",
        )
