"""Names with signs in place of letters."""

import random
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sightings import found_by

from classifiers.names import masked
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.ordinary import Alias
from classifiers.types import Verdict

NAMES = ("Oona Breskelt", "Vandelhorst", "Jor Vask of Sandover", "Tilke", "Kessler", Alias("Marnoch", "exact"))
DETECTOR = LexicalDetector({"sea": NAMES})
LEANING = Verdict("sea", "classifier", 0.1, 0.4, False)


found = partial(found_by, DETECTOR)


@pytest.mark.parametrize(
    "name",
    [
        *("O*na Br*sk*lt", "O__a Bre__elt", "O?na Breskelt", "Oona Br#sk#lt", "V*nd*lh*rst", "V•ndelhorst"),
        *("Vande█h█r█t", "O.na Br.sk.lt", "Oon* Bre*kelt", "Jor V-sk of S-nd-v-r", "K_ssl_r", "VAND_LH_RST"),
        *("Vand...orst", "Oona Bre…elt", "O–na Br–skelt", "V@nd@lh@rst", "V**delhorst", "Öo×a Bre×kelt"),
    ],
)
@pytest.mark.parametrize("around", ["Tell me about {} and the sea.", "Who is {}?", "({})", "**{}**", "so_it is {}."])
def test_a_masked_name(name: str, around: str) -> None:
    assert any(name in span for span in found(around.format(name)))


@pytest.mark.parametrize(
    "text",
    [
        "O*** B*******",  # too few letters
        "*ona *reskelt",  # without first letters
        "Oona Br*skolt, Van*delhorst",  # a letter too many, or another
        "m*rn*ch",  # counts as it is written
        "b*llsh*t, f*ck*ng h*ll, sh*t",
        "rm *.py foo_bar.* __init__ van_del_horst",
        "re.compile(r'V[a-z]+st|K.*r') and K...r, Kess|er",
        "a *very* **good** _book_ ~~old~~ and well-known, co-op, 3.5, e.g. this...",
        "Tilk* and T*lke",  # short
    ],
)
def test_other_signs_are_no_masks(text: str) -> None:
    assert found(text) == []


def test_a_name_with_few_known_letters_needs_a_second_sign() -> None:
    for text in ("O**a B*****lt", "T*lke", "Oona B*******"):
        (names,) = DETECTOR.detect([f"who is {text}"])[0]
        assert not names.matched
        assert confirmed([names, LEANING])[0].matched


def test_a_common_word_that_fits_needs_a_second_sign() -> None:
    detector = LexicalDetector({"sea": ["Kitshen"]})
    assert [verdict.matched for verdict in detector.detect(["the kit*hen"])[0]] == [False]


def test_without_misspelt_ones_letters_must_be_there() -> None:
    assert DETECTOR.detect(["O*na Br*sk*lt"], misspelt=False) == [[]]


def test_a_masked_name_behind_many_masked_words_is_found() -> None:
    assert found("s*me th*ngs " * 300 + "O*na Br*sk*lt") == ["O*na Br*sk*lt"]


def test_prose_has_no_phrases() -> None:
    text = "A well-known writer of sea tales (1921), isn't read today: why? Because... it rained. *Odd*, no?"
    assert masked.phrases(text) == []


@given(st.randoms(use_true_random=False), st.sampled_from("*?#•_"))
def test_any_letters_but_the_first_may_be_masked(rng: random.Random, sign: str) -> None:
    words = ["oona", "breskelt"]
    hidden = [{place for place in range(1, len(word)) if rng.random() < 0.4} for word in words]
    there = [
        "".join(sign if n in gone else c for n, c in enumerate(word)) for word, gone in zip(words, hidden, strict=True)
    ]
    assume(any(sign in word.rstrip(sign) for word in there))
    assume(all(2 * len(gone) <= len(word) for word, gone in zip(words, hidden, strict=True)))
    assert found(f"who is {' '.join(there)}, then") != []


def test_scopes_come_and_go() -> None:
    detector = LexicalDetector({"a": ["Vandelhorst"], "b": ["Vandelhorst"]})
    assert [verdict.scope for verdict in detector.detect(["V*ndelhorst"])[0]] == ["a", "b"]
    assert [verdict.scope for verdict in detector.updated({}, ["a"]).detect(["V*ndelhorst"])[0]] == ["b"]
