"""Whatever fails in the output screen, and however odd an upstream's event: nothing goes unread."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from screen_house import SORRY, House, as_upstream, asked, chunk, pieces

from classifiers.leaks.watch import AnswerWatch, OwnWords
from gateway.core import (
    Event,
)
from gateway.errors import UpstreamError
from gateway.openai_format.encoding import sse
from gateway.screening.output import OutputScreen


def test_a_screen_that_fails_ends_the_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: AnswerWatch, text: str, *, ended: bool = False) -> None:
        raise RuntimeError("the watch is down")

    monkeypatch.setattr(AnswerWatch, "read", fails)
    for stream in (True, False):
        found = house.answer(asked(stream=stream), pieces("In Narnia."))
        assert list(found.values()) == [("I'm sorry, but I can't help with that.", "stop")]


@pytest.mark.parametrize("part", [(AnswerWatch, "__init__"), (OwnWords, "__init__"), (OutputScreen, "__init__")])
def test_whatever_fails_to_begin_lets_nothing_through(
    house: House, monkeypatch: pytest.MonkeyPatch, part: tuple[type, str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("it cannot begin")

    monkeypatch.setattr(*part, fails)
    for stream in (True, False):
        try:
            found = house.answer(asked(stream=stream), pieces("In Narnia."))
        except RuntimeError:
            assert house.audit["outcome"] == "failed"
            assert not house.backend.asked or part[0] is AnswerWatch
        else:
            assert list(found.values()) == [("I'm sorry, but I can't help with that.", "stop")]


@pytest.mark.parametrize("long", [False, True], ids=["short", "long"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("how", ["waits", "counts"])
def test_a_screen_that_takes_for_ever_ends_the_answer(
    house: House, monkeypatch: pytest.MonkeyPatch, how: str, stream: bool, long: bool
) -> None:
    """What went on before stays."""
    read = AnswerWatch.read

    def hangs(self: AnswerWatch, text: str, *, ended: bool = False) -> Any:
        end = time.monotonic() + 4
        while "nia" in text and time.monotonic() < end:
            if how == "waits":
                threading.Event().wait(4)
        return read(self, text, ended=ended)

    monkeypatch.setattr(AnswerWatch, "read", hangs)
    house.timeout_s = 0.3
    more = " or elsewhere" * 100 if long else ""
    before = time.monotonic()
    found = house.answer(asked(stream=stream), pieces("They live in", f" Narnia{more}", " as ever."))
    assert time.monotonic() - before < 3
    assert list(found.values()) == [("They live in." if stream else "I'm sorry, but I can't help with that.", "stop")]
    assert house.audit["leaks"] == [{"scope": "", "kind": "failure", "plan": "Refuse"}]


def test_what_was_learned_of_a_scope_is_altered_and_its_answer_ends(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line of it and no traceback, however many ask."""
    next((tmp_path / "packs" / "narnia").glob("v-*/leaks.safetensors")).write_bytes(b"altered")
    for _ in range(2):
        found = house.answer(asked("What does Mr Tumnus carry?"), pieces("A fish."))
        assert list(found.values()) == [(SORRY, "stop")]
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "pack 'narnia': leaks.safetensors cannot be read" in told[0].getMessage()
    assert told[0].exc_info is None


@pytest.mark.parametrize("line", ["\n", "\r\n"])
def test_servers_may_end_lines_otherwise_and_name_events(house: House, line: str) -> None:
    request = asked()
    (whole,) = as_upstream(request, pieces("They", " live in", " Nar", "nia."), chunk=10**6)
    data = (whole.data or b"").replace(b"data: {", b": comment\nevent: message\ndata: {").replace(b"\n", line.encode())
    events = [Event(data=data[at : at + 50]) for at in range(0, len(data), 50)]
    assert house.answer(request, events, pieces(" a wood.")) == {0: ("They live in a wood.", "stop")}


@pytest.mark.parametrize(
    "said",
    [
        sse({**chunk(content="In Narnia."), "error": None}),
        sse({**chunk(content="In Narnia."), "error": {"message": "x"}}),
        b": hello\r" + sse(chunk(content="In Narnia.")),
        b"\xef\xbb\xbf" + sse(chunk(content="In Narnia.")),
        sse(chunk(refusal="In Narnia.")),
        sse(chunk(role="assistant", refusal="In Narnia.")),
        sse(chunk(function_call={"name": "go", "arguments": "Narnia"})),
        sse(chunk(audio={"transcript": ["In", "Narnia"]})),
    ],
)
def test_no_odd_event_of_an_upstream_goes_unread(house: House, said: bytes) -> None:
    data = [*said.split(b"\0"), sse(chunk("stop", content="")), b"data: [DONE]\n\n"]
    try:
        shown = b"".join(
            event.data or b"" for event in house.events(asked(), [Event(data=one) for one in data], pieces())
        )
    except UpstreamError:
        return
    assert b"Narnia" not in shown
