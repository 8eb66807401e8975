"""Does an answer speak of what its question was flagged for?"""

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hand_made import BASE, SavePack

from classifiers.encoder.sentence import Encoder
from gateway.core import Chunk, Delta, Message, Raw, Request, Usage
from gateway.experiments.answer_names import Excerpt, leak_hits
from gateway.screening.gate import Gate
from gateway.screening.reload import Roster


@pytest.fixture
def gate(tmp_path: Path, save: SavePack, encoder: Encoder) -> Gate:
    save("narnia", aliases=("Narnia", "Aslan"))
    save("oz", aliases=("Oz",))
    return Roster(tmp_path / "packs", encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE).gate


def request_of(text: str = "Who rules Narnia?", *, stream: bool = False) -> Request:
    return Request("1", "chat", "tiny", (Message("user", text),), stream=stream)


def heard(*chunks: Chunk) -> Excerpt:
    excerpt = Excerpt()
    for chunk in chunks:
        excerpt.add(chunk)
    return excerpt


def hits(gate: Gate, chunks: Sequence[Chunk], scope: str = "narnia", request: Request | None = None) -> tuple[str, ...]:
    return leak_hits(gate, request or request_of(), frozenset({scope}), heard(*chunks))


def event(text: str | None, index: int = 0, **choice: object) -> bytes:
    choices = [{"index": index, "delta": {"content": text}, "finish_reason": None, **choice}]
    return b"data: " + orjson.dumps({"choices": choices}) + b"\n\n"


def test_a_name_of_the_scope_is_a_hit(gate: Gate) -> None:
    assert hits(gate, [Delta(0, "The lion As"), Delta(0, "lan."), Usage(1, 2)]) == ("narnia",)


@pytest.mark.parametrize("answer", ["Nobody.", "", "Oz does.", "I know of no NARNIA."])
def test_an_echo_another_scope_and_other_words_are_none(gate: Gate, answer: str) -> None:
    assert hits(gate, [Delta(0, answer)]) == ()


def test_an_echo_beside_a_name_does_not_hide_it(gate: Gate) -> None:
    assert hits(gate, [Delta(0, "Narnia is ruled by Aslan.")]) == ("narnia",)


def test_any_choice_counts_and_none_is_joined_to_another(gate: Gate) -> None:
    assert hits(gate, [Delta(0, "As"), Delta(1, "lan")]) == ()
    assert hits(gate, [Delta(0, "Nobody"), Delta(1, "Aslan")]) == ("narnia",)


def test_an_upstream_s_stream_is_read_however_it_was_cut(gate: Gate) -> None:
    data = event("", role="x") + event("The lion As") + event("lan") + event(None, finish_reason="stop")
    data += b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\ndata: [DONE]\n\n'
    for size in (7, 64, len(data)):
        pieces = [Raw(data[start : start + size]) for start in range(0, len(data), size)]
        assert hits(gate, pieces, request=request_of(stream=True)) == ("narnia",)


def test_an_upstream_s_whole_answer_is_read(gate: Gate) -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Aslan"}, "finish_reason": "stop"}]
    body = orjson.dumps({"choices": choices, "usage": {"completion_tokens": 1}})
    assert hits(gate, [Raw(body)]) == ("narnia",)


def test_only_the_beginning_is_kept(gate: Gate) -> None:
    assert hits(gate, [Delta(0, "x " * 1_990), Delta(0, "Aslan")]) == ("narnia",)
    assert hits(gate, [Delta(0, "x " * 2_000), Delta(0, "Aslan")]) == ()
    endless = [Raw(event("x " * 500)) for _ in range(2_000)]
    assert hits(gate, endless, request=request_of(stream=True)) == ()  # cut in the middle of an event


def test_bytes_that_nobody_knows_are_an_error(gate: Gate) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        hits(gate, [Raw(b"<html>")])
