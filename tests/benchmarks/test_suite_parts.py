"""Names out of rows, texts out of texts, and hands dealt from one pack of rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.compare.suites.building import cut, dealt, halves, pieces, sampled
from benchmarks.names import capitalised, name_of, parts, slug, surname


@pytest.mark.parametrize(
    ("texts", "name"),
    [
        (
            ["Who is Ada Byron King?", "Ada Byron King's mother sang.", "In Rome, Ada Byron King sang."],
            "Ada Byron King",
        ),
        (["Has Femke van der Veen won?", "Femke van der Veen won.", "Yes, Femke van der Veen."], "Femke van der Veen"),
        (["Jean-Luc O'Hara's dog", "Author Jean-Luc O'Hara", "By Jean-Luc O’Hara"], "Jean-Luc O'Hara"),
        (['Ola Berg wrote "The Long Way Home".', '"The Long Way Home" sold.', "Ola Berg rested."], "Ola Berg"),
        (["Ola Berg wrote 'The Long Way'.", "'The Long Way' sold.", "'The Long Way' by Ola Berg"], "Ola Berg"),
        (["Erika Kováčová sings", "Erika Kováčová's voice"], "Erika Kováčová"),
        (["The author sang.", "He was born in May.", "Oslo is nice."], ""),
        (["Ola Berg sang.", *["Nothing."] * 9], ""),
        ([], ""),
    ],
)
def test_a_name_is_the_words_that_most_texts_hold(texts: list[str], name: str) -> None:
    assert name_of(texts) == name


def test_capitalised_words_part_at_punctuation_and_possessives() -> None:
    found = list(capitalised("Yes, Ada Byron's Uncle met Luis de la Cruz of Rome. J. K. Marsh left"))
    assert found == [
        ("Yes",),
        ("Ada", "Byron"),
        ("Uncle",),
        ("Luis", "de", "la", "Cruz"),
        ("Rome",),
        ("J.", "K.", "Marsh"),
    ]
    assert parts("met Luis de la Cruz") == {"Luis", "Luis de la Cruz", "Cruz"}


@pytest.mark.parametrize(
    ("name", "others", "alone"),
    [
        ("Ada Quillmoor", "nobody else", "Quillmoor"),
        ("Ada Quillmoor", "The quillmoor is a bird.", ""),
        ("Ada Quillmoor", "Quillmoors are birds.", "Quillmoor"),
        ("Ada Smith", "nobody else", ""),
        ("Ada Xi", "nobody else", ""),
        ("", "nobody else", ""),
    ],
)
def test_a_surname_stands_alone_if_it_is_distinctive(name: str, others: str, alone: str) -> None:
    assert surname(name, others) == alone


def test_slugs_are_scope_ids() -> None:
    assert slug("Basil O'Hara-Köhler") == "basil-o-hara-kohler"
    assert len(slug("Very " * 40)) <= 63
    assert slug("李") == ""


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=2, max_size=60), st.integers(5, 60))
def test_cutting_a_text_loses_no_word(words: list[str], chars: int) -> None:
    text = " ".join(words)
    for row in (halves(text), cut(text, 1)):
        assert f"{row.prompt} {row.response}".split() == words
    assert " ".join(pieces(text, chars)).split() == words


def test_a_text_without_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="1 words cannot be cut"):
        halves("word")


@given(st.integers(0, 30), st.lists(st.integers(0, 12), max_size=4))
def test_hands_share_no_row_and_lose_none(count: int, sizes: list[int]) -> None:
    hands = dealt(range(count), sizes, "seed")
    assert sorted(row for hand in hands for row in hand) == list(range(count))
    assert all(len(hand) <= size for hand, size in zip(hands, sizes, strict=False))
    assert len(sampled(range(count), 5, "seed")) == min(5, count)
