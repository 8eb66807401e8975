"""The sentence encoder: however long a text is and wherever its meaning stands, some window holds it."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from tiny import fresh_minilm

from classifiers.cache import Recent
from classifiers.encoder.sentence import WINDOW_STRIDE_TOKENS, WINDOW_TOKENS, Encoder

FILLER = "The committee met on Tuesday to talk over the budget for garden tools. "


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """The same embedding, but for the rounding that comes with the other texts of a batch."""
    return bool(one @ other > 0.998)


def test_embeddings_are_normalised_and_meanings_are_near(encoder: Encoder) -> None:
    cat, kitten, tax = (rows[0] for rows in encoder.encode(["a cat sleeps", "a kitten naps", "income tax law"]))
    assert cat.shape == (encoder.hidden,)
    assert cat.dtype == np.float32
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-3)
    assert cat @ kitten > cat @ tax + 0.3


@pytest.mark.parametrize("text", ["", "   \n\t"])
def test_a_text_without_visible_characters_has_no_windows(encoder: Encoder, text: str) -> None:
    before, empty, after = encoder.encode(["one", text, "two"])
    assert empty.shape == (0, encoder.hidden)
    assert len(before) == len(after) == 1
    assert encoder.windows(text) == []


@pytest.mark.parametrize("words", [1, 63, 64, 65, 96, 97, 128, 129, 500])
def test_windows_cover_every_token_and_overlap(encoder: Encoder, words: int) -> None:
    text = "dog " * words
    windows = encoder.windows(text)
    covered = {offset for window in windows for offset in window.offsets}
    assert covered == {(4 * i, 4 * i + 3) for i in range(words)}
    assert all(len(window.offsets) == len(window.tokens) <= WINDOW_TOKENS for window in windows)
    for one, other in pairwise(windows):
        assert other.offsets[0] == one.offsets[WINDOW_STRIDE_TOKENS]


@pytest.mark.parametrize("place", [0, 7, 19, 40])
def test_a_needle_at_any_place_is_in_some_window(encoder: Encoder, place: int) -> None:
    needle = "Who taught Harry Potter to fly on a broomstick? "
    text = FILLER * place + needle + FILLER * (40 - place)
    hay, target = encoder.encode([text, needle])
    plain = encoder.encode([FILLER * 41])[0]
    assert (hay @ target[0]).max() > (plain @ target[0]).max() + 0.3


def test_an_unbroken_run_of_characters_is_no_hiding_place(encoder: Encoder) -> None:
    text = "x" * 5_000 + "HarryPotter" + "y" * 5_000
    cuts = list(encoder._cutter.cuts(text))
    covered = sorted({offset for cut in cuts for offset in cut.offsets})
    assert covered[0][0] == 0
    assert covered[-1][1] == len(text)
    assert all(one[1] == other[0] for one, other in pairwise(covered))
    assert all(encoder._cutter._tokenizer.token_to_id("[UNK]") not in cut.ids for cut in cuts)
    assert len(encoder.encode(["x" * 300])[0]) > 1


def test_offsets_point_into_the_text_as_sent(encoder: Encoder) -> None:
    text = "  Whó  is\tHarry?"
    (window,) = encoder.windows(text)
    assert [text[a:b] for a, b in window.offsets] == ["Whó", "is", "Harry", "?"]


def test_the_cache_gives_the_same_as_encoding(encoder: Encoder) -> None:
    texts = [f"sentence number {i} about subject {i % 7}" for i in range(20)]
    fresh = encoder.encode(texts)
    again = encoder.encode(list(reversed(texts)))
    for one, other in zip(fresh, reversed(again), strict=True):
        assert np.array_equal(one, other)
    assert near(encoder.windows(texts[3])[0].embedding, fresh[3][0])


def test_repeated_texts_in_one_batch_keep_their_order(encoder: Encoder) -> None:
    one, two, again = encoder.encode(["red", "blue", "red"])
    assert np.array_equal(one, again)
    assert not near(one[0], two[0])


def test_a_small_cache_forgets_but_never_errs(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "_recent", Recent(2))
    texts = [f"short text {i}" for i in range(6)]
    first = encoder.encode(texts)
    for one, other in zip(first, encoder.encode(texts), strict=True):
        assert near(one[0], other[0])


def test_threads_may_share_a_fresh_encoder() -> None:
    shared = fresh_minilm()
    texts = [f"{FILLER * (1 + i % 4)} case {i}" for i in range(24)]
    with ThreadPoolExecutor(8) as threads:
        parallel = list(threads.map(lambda text: shared.encode([text])[0], texts * 2))
        offsets = list(threads.map(lambda text: shared.windows(text)[0].offsets, texts))
    for text, found in zip(texts * 2, parallel, strict=True):
        assert near(found[0], shared.encode([text])[0][0])
    assert all(found[0][0] == 0 for found in offsets)
