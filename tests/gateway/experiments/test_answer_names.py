"""Does an answer speak of what its question was flagged for?"""

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
from hand_made import BASE, SavePack

from classifiers.encoder.sentence import Encoder
from gateway.core import Delta, Event, Message, Request, Usage
from gateway.errors import UpstreamError
from gateway.experiments.answer_names import Excerpt, leak_hits
from gateway.openai_format.decoding import reader
from gateway.screening.gate import Gate
from gateway.screening.reload import PackReloader


@pytest.fixture
def gate(tmp_path: Path, save: SavePack, encoder: Encoder) -> Gate:
    save("narnia", aliases=("Narnia", "Aslan"))
    save("oz", aliases=("Oz",))
    return PackReloader(tmp_path / "packs", encoder=encoder, base_fingerprint=BASE, encoder_fingerprint=BASE).gate


def request_of(text: str = "Who rules Narnia?", *, stream: bool = False) -> Request:
    return Request("1", "chat", "tiny", (Message("user", text),), stream=stream)


def excerpt_of(*events: Event) -> Excerpt:
    excerpt = Excerpt()
    for event in events:
        excerpt.add(event)
    return excerpt


def upstream(*pieces: bytes, stream: bool = False) -> list[Event]:
    """An answer's bytes as they came, which are read only if somebody asks."""
    parse = reader(request_of(stream=stream))
    return [Event(data=piece, parse=parse) for piece in pieces]


def hits(gate: Gate, answer: Sequence[Event | Delta | Usage], scope: str = "narnia") -> tuple[str, ...]:
    events = [one if isinstance(one, Event) else Event.of(one) for one in answer]
    return leak_hits(gate, request_of(), (scope,), excerpt_of(*events))


def sent(text: str | None, index: int = 0, **choice: object) -> bytes:
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
    data = sent("", role="x") + sent("The lion As") + sent("lan") + sent(None, finish_reason="stop")
    data += b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\ndata: [DONE]\n\n'
    for size in (7, 64, len(data)):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert hits(gate, upstream(*pieces, stream=True)) == ("narnia",)


def test_an_upstream_s_whole_answer_is_read(gate: Gate) -> None:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "Aslan"}, "finish_reason": "stop"}]
    body = orjson.dumps({"choices": choices, "usage": {"completion_tokens": 1}})
    assert hits(gate, upstream(body)) == ("narnia",)


def test_only_the_beginning_is_kept(gate: Gate) -> None:
    assert hits(gate, [Delta(0, "x " * 1_990), Delta(0, "Aslan")]) == ("narnia",)
    assert hits(gate, [Delta(0, "x " * 2_000), Delta(0, "Aslan")]) == ()
    endless = upstream(*[sent("x " * 500) for _ in range(2_000)], stream=True)
    assert hits(gate, endless) == ()  # cut in the middle of an event


def test_bytes_that_nobody_knows_are_an_error(gate: Gate) -> None:
    with pytest.raises(UpstreamError, match="not JSON"):
        hits(gate, upstream(b"<html>"))
