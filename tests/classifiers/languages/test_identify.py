"""Which texts count as English, and where a language belongs that no prompts are shipped of."""

import pytest

from classifiers.languages.groups import LANGUAGES, OTHER, group_of
from classifiers.languages.identify import ENGLISH, LanguageIdentifier
from classifiers.languages.prompts import held_out_prompts, training_prompts
from classifiers.traffic import general_traffic


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I boil an egg?", "en"),
        ("¿Cómo se hierve un huevo?", "es"),
        ("Как сварить яйцо?", "ru"),
        ("怎么煮鸡蛋", "zh"),
        ("卵のゆで方は？", "ja"),
        ("달걀은 어떻게 삶아?", "ko"),
        ("अंडा कैसे उबालें?", "hi"),
        ("كيف أسلق البيض؟", "ar"),
    ],
)
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert LanguageIdentifier().language(text) == language


def test_words_of_another_script_win_over_english_around_them() -> None:
    text = "Please answer in English and nothing else: 谁写了这本书？ Thank you very much for your help!"
    assert LanguageIdentifier().language(text) == "zh"


def test_nearly_all_english_prompts_are_english() -> None:
    languages = LanguageIdentifier()
    rows = [row for row in general_traffic()[::7] if row.isascii()]
    assert sum(languages.language(row) != ENGLISH for row in rows) < 0.02 * len(rows)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_shipped_prompts_are_in_their_language_and_stand_once(language: str) -> None:
    prompts = [*training_prompts(language), *held_out_prompts(language)]
    languages = LanguageIdentifier()
    assert len(set(prompts)) == len(prompts) >= 50
    assert sum(languages.language(prompt) == language for prompt in prompts) > 0.85 * len(prompts)


def test_no_prompt_is_on_both_sides() -> None:
    for language in LANGUAGES:
        assert not set(training_prompts(language)) & set(held_out_prompts(language))


def test_languages_without_prompts_stand_beside_their_relatives() -> None:
    assert group_of("bg") == group_of("ru")
    assert group_of("bn") == group_of("hi")
    assert group_of("fa") == group_of("ar")
    assert group_of("th") == OTHER
