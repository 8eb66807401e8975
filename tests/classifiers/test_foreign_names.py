"""Latin names that a text writes in another script."""

import unicodedata
from itertools import pairwise

import anyascii
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.languages.prompts import held_out_prompts, training_prompts
from classifiers.leaks.watch import AnswerWatch, Asked, OwnWords, Watched, Watchlist
from classifiers.names.aliases import LexicalDetector, confirmed
from classifiers.names.foreign import ForeignNames
from classifiers.names.sounds import READ_SCRIPTS
from classifiers.types import Verdict

_FAMOUS = ("Hannibal Barca", "Cleopatra", "Ferdinand Magellan", "Ada Lovelace", "Garibaldi", "Tchaikovsky", "Montezuma")
NAMES = ForeignNames().updated({"tale": ["Lorcan Bradfield", "Drummondell"], "other": ["Quentin Vasher"]}, ())


def found(text: str) -> list[tuple[str, bool]]:
    return [(verdict.scope, verdict.matched) for verdict in NAMES.detect([text])[0]]


@pytest.mark.parametrize(
    "text",
    [
        "Расскажи о книге, где Лоркан Брэдфилд уезжает",
        "Что случилось с Лорканом Брэдфилдом?",
        "Πες μου για τον Λόρκαν Μπράντφιλντ",
        "من هو لوركان برادفيلد؟",
        "מי זה לורקן ברדפילד?",
        "लोर्कन ब्रैडफील्ड कौन है?",
        "로칸 브래드필드는 누구야?",
        "ローカン・ブラッドフィールドは誰ですか",
        "ろーかん・ぶらっどふぃーるどは誰ですか",
        "ვინ არის ლორკან ბრედფილდი?",
        "სად ცხოვრობს ლორკან ბრედფილდის და?",
        "Ո՞վ է Լորկան Բրեդֆիլդը",
        "লরকান ব্র্যাডফিল্ড কে?",
        "લોરકાન બ્રેડફિલ્ડ કોણ છે?",
        "ਲੋਰਕਨ ਬ੍ਰੈਡਫੀਲਡ ਕੌਣ ਹੈ?",
        "లోర్కాన్ బ్రాడ్‌ఫీల్డ్ ఎవరు?",
        "ಲೋರ್ಕನ್ ಬ್ರಾಡ್‌ಫೀಲ್ಡ್ ಯಾರು?",
        "ലോർക്കൻ ബ്രാഡ്ഫീൽഡ് ആരാണ്?",
        "லோர்கன் பிராட்ஃபீல்ட் யார்?",
        "ሎርካን ብራድፊልድ ማን ነው?",
        "请问洛尔坎·布拉德菲尔德是谁？",
        "请问洛坎布拉德菲尔德是谁？",
        "洛爾坎‧布拉德菲爾德住在哪裡？",
        "洛\u200b尔坎·布拉德\u200b菲尔德住在哪里？",
    ],
)
def test_a_name_is_found_in_every_script(text: str) -> None:
    assert "tale" in dict(found(text))


@pytest.mark.parametrize(
    "text",
    [
        "Ποιος είναι ο Λορκαν Βραδφιελδ;",
        "Что сделал Лорцан Брадфиелд?",
        "من هو لوركان برادفييلد؟",
        "מי זה לורכאן ברדפיילד?",
        "من هو جرانجوود؟",
        "Που είναι το Γρανγουοοδ;",
    ],
)
def test_a_name_is_found_that_is_written_letter_for_letter(text: str) -> None:
    names = ForeignNames().updated({"tale": ["Lorcan Bradfield", "Grangwood"]}, ())
    assert [verdict.scope for verdict in names.detect([text])[0]] == ["tale"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Marco Calvert", "من هو ماركو كالفرت؟"),  # one letter for the c and the k
        ("Zelda Whitby", "متى ولدت زيلدا ويتبي؟"),  # a z and a w
        ("Gilda Marlowe", "מי זאת ג'ילדה מרלו?"),
        ("Cuthbert Bridge", "من هو كاثبرت بريدج؟"),  # two letters for the sound of dge
        ("Ramsay Tolman", "रैम्से टोलमैन कौन है?"),  # an m, not the sign that is an n as well
        ("Quennel Vintry", "क्वेनेल विंट्री कौन है?"),
        ("Gillian Weatherby", "Где живёт Джиллиан Уэзерби?"),
        ("Queenstone", "Где находится Квинстон?"),
        ("Michelle Dolman", "Кто такая Мишель Долман?"),
        ("Stephen Malkin", "スティーヴン・マルキンは誰ですか"),
        ("Hattie Porter", "ハッティ・ポーターの本"),  # Japanese writes every h, and no r before a consonant
        ("Hugo Pratt", "ヒューゴプラットの本は？"),  # and perhaps no point between the words
        ("Harrod Pimm", "해로드핌은 누구야?"),  # Korean may write them as one, with a particle behind
        ("Drummondell", "드럼몬델에서 뭐 했어?"),
    ],
)
def test_a_name_counts_alone_that_english_spells_in_its_own_way(name: str, text: str) -> None:
    (verdicts,) = ForeignNames().updated({"tale": [name]}, ()).detect([text])
    assert any(verdict.matched for verdict in verdicts)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Jennifer Wexley", "Gde zhivyot Dzhenifer Ueksli?"),
        ("Jennifer Wexley", "Kto takaya Dzhennifer Ueksli? What a name."),
        ("Drummondell", "Skol'ko let Dramondellu?"),
        ("Drummondell", "Doramonderu wa doko desu ka"),
        ("Dolores Tibbet", "Doroosu Tibetto no ani wa dare?"),
    ],
)
def test_a_name_is_found_in_another_language_in_latin_letters(name: str, text: str) -> None:
    (verdicts,) = ForeignNames().updated({"tale": [name]}, ()).detect([text])
    assert any(verdict.matched for verdict in verdicts)


def test_in_latin_letters_small_ones_need_a_second_sign_and_english_is_left_to_others() -> None:
    names = ForeignNames().updated({"tale": ["Drummondell"]}, ())
    assert [one.matched for one in names.detect(["gde nakhoditsya dramondell?"])[0]] == [False]
    assert names.detect(["Where in the world is this town of Dramondell, and who lives there?"]) == [[]]


def test_a_name_of_one_word_with_many_consonants_counts_alone() -> None:
    assert found("Где находится Драммонделл?") == [("tale", True)]


def test_the_place_is_that_of_the_words() -> None:
    text = "Кто такой Лоркан Брэдфилд?"
    (span,) = NAMES.detect([text])[0][0].spans
    assert text[span.start_char : span.end_char] == "Лоркан Брэдфилд"


@pytest.mark.parametrize(
    "text",
    [
        "Who is Lorcan Bradfield?",
        "Как сварить гречку?",
        "今日の天気は？",
        "东京和西安哪个大？",
        "كيف حالك اليوم؟",
        "¿Qué hora es?",
        "",
    ],
)
def test_other_texts_hold_no_name(text: str) -> None:
    assert found(text) == []


def test_in_chinese_a_name_with_many_sounds_counts_alone_and_two_characters_never_do() -> None:
    names = ForeignNames().updated({"tale": ["Drummondell", "Tark"]}, ())
    assert [verdict.matched for verdict in names.detect(["德拉蒙德尔在哪里？"])[0]] == [True]
    assert [verdict.matched for verdict in names.detect(["塔克·是谁？"])[0]] == [False]
    assert names.detect(["马塔克勒森在哪里？"]) == [[]]  # inside a longer name


def test_ordinary_chinese_and_japanese_holds_no_name_that_counts_alone() -> None:
    names = ForeignNames().updated({"tale": [*_FAMOUS, "Lorcan Bradfield", "Drummondell"]}, ())
    prompts = [*held_out_prompts("zh"), *training_prompts("zh"), *held_out_prompts("ja"), *training_prompts("ja")]
    seen = [verdict.matched for verdicts in names.detect(prompts) for verdict in verdicts]
    assert sum(seen) == 0
    assert len(seen) <= len(prompts) // 50


def test_a_name_with_few_consonants_needs_a_second_sign() -> None:
    names = ForeignNames().updated({"tale": ["Snape"]}, ())
    (verdicts,) = names.detect(["Что делает Снейп?"])
    assert [verdict.matched for verdict in verdicts] == [False]
    assert confirmed(verdicts) == []
    leaning = Verdict("tale", "multilingual", 0.1, 1.0, False)
    assert any(verdict.matched for verdict in confirmed([*verdicts, leaning]))


def test_it_is_a_detector_of_names_whose_scopes_come_and_go() -> None:
    assert ForeignNames.name == LexicalDetector.name
    text = "Кто такой Лоркан Брэдфилд и Квентин Вашер?"
    assert {verdict.scope for verdict in NAMES.detect([text])[0]} == {"tale", "other"}
    assert {verdict.scope for verdict in NAMES.updated({}, ["tale"]).detect([text])[0]} == {"other"}


PIECES = st.sampled_from(
    "Лоркан Лорканом Брэдфилд Брэдфилда Драммонделл Драммонделлом Квентин Вашер Ло Брэ мир и ого "
    "لوركان ولوركان برادفيلد للوركان جوارد قوانتين فاشر "
    "ლორკან ბრედფილდის ბრედფილდი ろーかん ぶらっどふぃーるどは "
    "로칸 브래드필드는 브래드 ローカン ブラッドフィールド の "
    "לורקן ברדפילד Λόρκαν Μπράντφιλντ 洛尔坎 布拉德菲尔德 德拉蒙德尔 布 德拉 大利 的".split()
)
TEXTS = st.lists(PIECES | st.sampled_from([" ", " ", ", ", "・", "·", " (he) ", "\u200b", ". "]), max_size=14).map(
    "".join
)


@settings(max_examples=1000, deadline=None)
@given(text=TEXTS, places=st.lists(st.integers(0, 80), max_size=14))
def test_whatever_the_pieces_of_an_answer_no_name_is_sent_and_all_before_it_is(text: str, places: list[int]) -> None:
    watchlist = Watchlist().updated({"tale": Watched(("Lorcan Bradfield", "Drummondell", "Quentin Vasher"))}, ())
    answer = AnswerWatch(watchlist, OwnWords(watchlist, Asked()))
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    for start, end in pairwise(ends):
        answer.read(text[start:end])
    seen = answer.read("", ended=True)
    sure = [one for one in watchlist.foreign.read(text, ended=True)[0] if one.counts]
    if not sure:
        assert (seen.leak, seen.safe) == (None, len(text))
    else:
        assert seen.leak is not None
        assert seen.safe <= min(one.start for one in sure)
        assert not text[seen.safe : min(one.start for one in sure)].strip() or seen.leak.start == seen.safe


@pytest.mark.parametrize(
    "text", ["Сегодня хорошая погода", "今日はコーヒーとケーキです", "오늘은 날씨가 좋다", "اليوم الطقس جميل"]
)
def test_what_waits_of_other_answers_is_a_word_or_two(text: str) -> None:
    names = ForeignNames().updated({"tale": ["Lorcan Bradfield", "Drummondell"]}, ())
    waits = [end - names.read(text[:end], ended=False)[1] for end in range(len(text) + 1)]
    assert sum(waits) / len(waits) < 6


def test_the_romanisation_of_every_script_is_read_before_a_text_comes() -> None:
    """On a server's event loop nothing may wait for a file."""
    named = ((code, unicodedata.name(chr(code), "")) for code in range(0x110000))
    blocks = {code >> 8 for code, name in named if name.split(" ")[0] in READ_SCRIPTS}
    assert blocks <= set(anyascii._blocks)


def test_a_point_in_chinese_makes_a_name_of_a_few_sounds_count() -> None:
    names = ForeignNames().updated({"potters": ["Harry Pedde"]}, ())

    def counts(text: str) -> bool:
        return any(one.counts for one in names.read(text, ended=True)[0])

    assert all(map(counts, ("哈里·佩德", "哈瑞·佩德是谁？", "我和哈利‧佩德在一起")))
    assert not any(map(counts, ("哈里佩德", "马哈里·佩德", "玛丽·佩德")))  # no point; a longer first name; another one
