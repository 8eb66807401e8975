"""What an upstream says in place of an answer is screened as an answer is: it may quote what the model wrote."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from screen_house import House, asked, pieces

from classifiers.leaks.watch import AnswerWatch
from gateway.core import Event, Message, Request
from gateway.errors import UpstreamRefused

NEUTRAL = UpstreamRefused.without_words(400).message
WORDINGS = [
    "1 validation error for FunctionCall\narguments\n  [input_value='In {}', input_type=str]",
    "the tool was called with {}, which is no object",
    "Expecting value: line 1 column 1: {}",
]


def told(house: House, request: Request, message: str, *, before: tuple[str, ...] = (), **more: Any) -> UpstreamRefused:
    """What the client gets of an upstream that says `before`, and then complains."""

    def answer() -> Iterator[Event]:
        yield from pieces(*before)[:-2] if before else ()
        raise UpstreamRefused(400, message, **more)

    with pytest.raises(UpstreamRefused) as raised:
        house.events(request, answer(), pieces("Somewhere."))  # type: ignore[arg-type]
    return raised.value


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("wording", WORDINGS)
def test_what_quotes_a_name_of_a_scope_goes_without_words(house: House, wording: str, stream: bool) -> None:
    found = told(house, asked(stream=stream), wording.format("Narnia"))
    assert (found.status, found.message, found.param, found.__cause__) == (400, NEUTRAL, None, None)
    assert house.audit["outcome"] == "UpstreamRefused"
    other = told(house, asked(stream=stream), wording.format("Paris"))
    assert other.message == wording.format("Paris")


def test_in_the_midst_of_a_stream_too(house: House) -> None:
    assert told(house, asked(), WORDINGS[0].format("Narnia"), before=("They live", " in a")).message == NEUTRAL


def test_the_name_of_a_field_is_read_too(house: House) -> None:
    assert told(house, asked(), "no object", param="narnia").message == NEUTRAL


@pytest.mark.parametrize(
    "request_",
    [
        asked("Who lives in Narnia?"),
        replace(asked(), messages=(Message("user", "Hi."), Message("assistant", "In Narnia."), Message("user", "So?"))),
        replace(asked(), side_texts=('{"place": "Narnia"}',)),
        replace(asked(), raw=b'{"stop": ["Narnia"]}'),
    ],
    ids=["flagged", "an earlier turn", "arguments of a tool", "another field"],
)
def test_what_the_request_says_itself_may_be_quoted(house: House, request_: Request) -> None:
    """So that who asks learns what is wrong with it, in the words that an unflagged request gets."""
    said = "min_p: too large [input_value='Narnia']"
    assert told(house, request_, said, param="min_p").message == said


def test_a_refused_request_meets_the_same_screen(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upstream judges it first, and complains of it in its own words."""

    async def complains(request: Request, plan: object) -> Any:
        raise UpstreamRefused(400, "no object: Narnia")
        yield

    monkeypatch.setattr(house.backend, "generate", complains)
    for prompt in ("Who rules Oz?", "Who rules France?"):
        with pytest.raises(UpstreamRefused) as raised:
            house.events(asked(prompt))
        assert raised.value.message == NEUTRAL


def test_what_cannot_be_screened_goes_without_words(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: AnswerWatch, text: str, *, ended: bool = False) -> None:
        raise RuntimeError("the watch is down")

    monkeypatch.setattr(AnswerWatch, "read", fails)
    assert told(house, asked(), "n must be 1").message == NEUTRAL
