"""Responses that may be followed: each caller's own, and no more than fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.openai_format.responses.store import ResponseStore


def items(text: str, name: str = "msg_1") -> list[dict[str, str]]:
    return [{"id": name, "text": text}]


def test_nobody_reads_anothers() -> None:
    store = ResponseStore(of_each=4, size_bytes=1000)
    store.of("a").keep("resp_1", items("mine"))
    assert store.of("a").items("resp_1") == items("mine")
    assert store.of("b").items("resp_1") is None
    assert store.of("b").item("msg_1") is None
    assert not store.drop("b", "resp_1")
    assert store.drop("a", "resp_1")
    assert store.of("a").items("resp_1") is None


def test_the_oldest_goes_first() -> None:
    store = ResponseStore(of_each=2, size_bytes=1000)
    for number in range(3):
        store.of("a").keep(f"resp_{number}", items(str(number), f"msg_{number}"))
    assert [store.of("a").items(f"resp_{number}") is not None for number in range(3)] == [False, True, True]
    assert store.of("a").item("msg_2") == items("2", "msg_2")[0]


def test_who_has_most_makes_room() -> None:
    store = ResponseStore(of_each=100, size_bytes=2000)
    store.of("modest").keep("resp_m", items("x"))
    for number in range(50):
        store.of("greedy").keep(f"resp_{number}", items("x" * 100))
    assert store.of("modest").items("resp_m") is not None
    assert store.of("greedy").items("resp_49") is not None
    assert store.of("greedy").items("resp_0") is None


@pytest.mark.parametrize(("of_each", "size"), [(0, 1000), (4, 3)])
def test_what_does_not_fit_is_not_kept(of_each: int, size: int) -> None:
    store = ResponseStore(of_each=of_each, size_bytes=size)
    store.of("a").keep("resp_1", items("mine"))
    assert store.of("a").items("resp_1") is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.integers(0, 400)), max_size=60))
def test_the_bound_holds(kept: list[tuple[str, int, int]]) -> None:
    store = ResponseStore(of_each=5, size_bytes=1000)
    for caller, name, size in kept:
        store.of(caller).keep(f"resp_{name}", items("x" * size))
    found = [store.found(caller, f"resp_{name}") for caller in "abc" for name in range(10)]
    assert sum(len(str(one[0]["text"])) for one in found if one) <= 1000
    assert all(sum(store.found(c, f"resp_{n}") is not None for n in range(10)) <= 5 for c in "abc")
