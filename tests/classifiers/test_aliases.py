"""The lexical detector: names as whole words, however they are spelled, pointed at in the text as sent."""

import pytest

from classifiers.names.aliases import LexicalDetector, check_alias, confirmed
from classifiers.names.ordinary import Alias, decided
from classifiers.types import Verdict


def found(text: str, *aliases: str | Alias) -> list[str]:
    """The source texts of the spans that one scope's aliases have in a text, where they need no further sign."""
    verdicts = confirmed(LexicalDetector({"scope": aliases}).detect([text])[0])
    return [text[span.start_char : span.end_char] for verdict in verdicts for span in verdict.spans]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Who is Harry Potter?", ["Harry Potter"]),
        ("who is HARRY   POTTER", ["HARRY   POTTER"]),
        ("Harry\nPotter", ["Harry\nPotter"]),
        ("harrypotter", ["harrypotter"]),
        ("#HarryPotter fans", ["HarryPotter"]),
        ("Harry-Potter's wand", ["Harry-Potter"]),
        ("all the Harry Potters of this world", ["Harry Potters"]),
        ("Ha\u200brry Роttеr", ["Ha\u200brry Роttеr"]),
        ("Harry Potter and Harry Potter", ["Harry Potter", "Harry Potter"]),
        ("Harry likes pottery; potter Harry; harry potterish", []),
        ("", []),
    ],
)
def test_a_name_is_found_as_whole_words(text: str, spans: list[str]) -> None:
    assert found(text, "Harry Potter") == spans


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Tolund, Mira (1921)", ["Tolund, Mira"]),
        ("tell me of tolund,mira", ["tolund,mira"]),
        ("TOLUND Mira", ["TOLUND Mira"]),
        ("Tolund\nMira", ["Tolund\nMira"]),
        ("we left Tolund. Mira stayed", []),
        ("Dear Mrs Tolund,\nMira Kane sends her regards", []),
        ("TolundMira", []),
        ("see Brook, Oona", ["Brook, Oona"]),
        ("see BROOK Oona", ["BROOK Oona"]),
        ("by the brook, Oona", []),
        ("see brook, oona", ["brook, oona"]),
        ("see Winter, Ilka", ["Winter, Ilka"]),
        ("in winter, Ilka", []),
        ("in winter, ilka", []),  # an ordinary word: with a capital it is a name
        ("O'Quern, Basil", ["O'Quern, Basil"]),
        ("Vester, A. B., Works", ["Vester, A. B"]),
        ("vester a b", []),
        ("Ruud, Ilse Marit", ["Ruud, Ilse Marit"]),
        ("Ruud, Marit Ilse", []),
        ("Quern, Lord of the", []),
        ("Толунд, Мира", ["Толунд, Мира"]),
    ],
)
def test_the_last_name_may_stand_first(text: str, spans: list[str]) -> None:
    names = ("Mira Tolund", "Oona Brook", "Ilka Winter", "Basil O'Quern", "A. B. Vester", "Ilse Marit Ruud")
    assert found(text, *names, "Lord of the Quern", "Мира Толунд") == spans


@pytest.mark.parametrize("text", ["J.K. Rowling", "J. K. Rowling", "JK Rowling", "jk rowling", "J K Rowling's"])
@pytest.mark.parametrize("alias", ["J.K. Rowling", "J. K. Rowling"])
def test_initials_are_found_however_they_are_set(text: str, alias: str) -> None:
    spans = found(f"Is {text} an author?", alias)
    assert len(spans) == 1
    assert text.removesuffix("'s").rstrip(".") in spans[0]


def test_short_words_and_words_in_s_get_no_plural() -> None:
    assert found("the Rons met", "Ron") == []
    assert found("Dursleyss", "Dursleys") == []
    assert found("Muggles", "Muggle") == ["Muggles"]


def test_many_scopes_in_one_pass_and_each_text_on_its_own() -> None:
    detector = LexicalDetector({"wizards": ["Potter", "Hermione"], "authors": ["Rowling"], "shared": ["Potter"]})
    first, second, third = detector.detect(["Rowling wrote of Potter.", "Nothing here.", "Hermione"])
    assert [verdict.scope for verdict in first] == ["authors", "shared", "wizards"]
    assert all(verdict.matched and verdict.score > verdict.threshold for verdict in first)
    assert second == []
    assert [(verdict.scope, verdict.spans[0].start_char, verdict.spans[0].end_char) for verdict in third] == [
        ("wizards", 0, 8)
    ]


def test_overlapping_aliases_are_one_span() -> None:
    assert found("the wizard Harry Potter himself", "Harry Potter", "wizard Harry", "Potter") == ["wizard Harry Potter"]


def test_an_alias_that_ends_where_the_next_begins_is_not_lost() -> None:
    assert found("Potter Potter", "Potter") == ["Potter", "Potter"]


def test_no_aliases_match_nothing() -> None:
    assert LexicalDetector({}).detect(["Harry Potter"]) == [[]]
    assert LexicalDetector({"scope": []}).detect(["Harry Potter"]) == [[]]


@pytest.mark.parametrize("alias", ["", "  ", "!!!", "\u200b", "🙂"])
def test_an_alias_without_letters_is_refused_by_name(alias: str) -> None:
    with pytest.raises(ValueError, match="no letter or digit") as error:
        check_alias(alias)
    assert repr(alias) in str(error.value)


def test_initials_are_found_joined_and_parted_whichever_the_alias_has() -> None:
    for alias in ("JK Rowling", "J.K. Rowling", "J. K. Rowling"):
        detector = LexicalDetector({"scope": [alias]})
        for text in ("did JK Rowling write it", "J.K. Rowling's book", "by j. k. rowling"):
            assert detector.detect([text])[0], (alias, text)


@pytest.mark.parametrize(
    ("text", "alias", "span"),
    [
        ("Ada Lovelace是谁？请回答", "Ada Lovelace", "Ada Lovelace"),
        ("我想了解Ada Lovelace的生平", "Ada Lovelace", "Ada Lovelace"),
        ("アダはAda Lovelaceです", "Ada Lovelace", "Ada Lovelace"),
        ("Ada Lovelaceคือใคร", "Ada Lovelace", "Ada Lovelace"),
        ("Ada Lovelace는 누구입니까", "Ada Lovelace", "Ada Lovelace"),
        ("请告诉我关于孙悟空的故事", "孙悟空", "孙悟空"),
        ("我喜欢阿不思·邓布利多的智慧", "阿不思·邓布利多", "阿不思·邓布利多"),
        ("阿不思邓布利多是校长", "阿不思·邓布利多", "阿不思邓布利多"),
        ("阿不思·邓布利多是校长", "阿不思邓布利多", "阿不思·邓布利多"),
        ("昨日ダンブルドアに会った", "ダンブルドア", "ダンブルドア"),
        ("ﾀﾞﾝﾌﾞﾙﾄﾞｱとは", "ダンブルドア", "ﾀﾞﾝﾌﾞﾙﾄﾞｱ"),
        ("これはとなりのトトロについてです", "となりのトトロ", "となりのトトロ"),
        ("โรงเรียนฮอกวอตส์อยู่ที่ไหน", "ฮอกวอตส์", "ฮอกวอตส์"),
        ("ໂຮງຮຽນຮອກວອດຢູ່ໃສ", "ຮອກວອດ", "ຮອກວອດ"),
        ("សាលាហុកវ៉ាតស៍នៅឯណា", "ហុកវ៉ាតស៍", "ហុកវ៉ាតស៍"),
        ("ဟော့ဂ်ဝပ်ကျောင်းသည်", "ဟော့ဂ်ဝပ်", "ဟော့ဂ်ဝပ်"),
        ("세종대왕은 누구인가요", "세종대왕", "세종대왕"),
        ("세종 대왕의 업적", "세종대왕", "세종 대왕"),
        ("위즐리에게서 온 편지", "위즐리", "위즐리에게서"),
        ("우리 도비는 자유다", "도비", "도비는"),
    ],
)
def test_a_name_is_found_where_no_spaces_stand_around_it(text: str, alias: str, span: str) -> None:
    assert found(text, alias) == [span]


@pytest.mark.parametrize(
    ("text", "alias"),
    [
        ("a party for artists", "art"),
        ("the smartphone's parts", "art"),
        ("McDonald's and MacArthur", "Donald"),
        ("MacArthur", "Arthur"),
        ("ロンドンは雨です", "ロン"),  # London holds Ron
        ("バグがある", "ハク"),
        ("ร้อนมาก", "รอน"),  # hot, by its tone mark
        ("포터블 게임기", "포터"),  # portable
        ("간장", "가"),
        ("1984", "198"),
        ("Victorian princesses", "Victoria"),
        ("the princess", "Prince"),
        ("robertson", "Robert"),
        ("Пушкинистический", "Пушкин"),
        ("Красный шар на площади", "Красная площадь"),
        ("Юрий Гаврилов", "Юрий Гагарин"),
        ("Толстовка", "Толстая"),
    ],
)
def test_other_words_that_hold_a_name_are_left_alone(text: str, alias: str) -> None:
    assert found(text, alias) == []


@pytest.mark.parametrize(
    "text",
    [
        "whoDidAdaLovelaceMeet",
        "ada_lovelace",
        "ADA_LOVELACE",
        "get-ada-lovelace-book",
        "AdaLovelace42",
        "v2AdaLovelace",
        "isAdaLovelaceHTMLPage",
        "XMLAdaLovelace",
        "#AdaLovelaceDay",
        "#adalovelaceday",
        "https://a.org/Ada_Lovelace?x=1",
        "https://a.org/Ada%20Lovelace",
        "/home/ada/adaLovelace.txt",
        "<b>Ada Lovelace</b>",
        "<b>Ada</b> <b>Lovelace</b>",
        "Ada&nbsp;Lovelace",
        "Ada&#160;Lovelace",
        "<li>Ada<br/>Lovelace</li>",
        "{'name':'AdaLovelace'}",
        "ada.lovelace@a.org",
        "aDa LoVeLaCe",
        "adalovelace",
    ],
)
def test_a_name_is_found_inside_identifiers_and_markup(text: str) -> None:
    spans = found(text, "Ada Lovelace")
    assert len(spans) == 1
    assert spans[0].casefold().startswith("ada")
    assert spans[0].casefold().endswith("lovelace")


@pytest.mark.parametrize("code", [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x180E, 0x200B, 0x2064, 0x3164, 0xFE0F,
                                  0xFFA0, 0xFFF3, 0x1D173, 0xE0041, 0xE0100, 0xE0FFF])  # fmt: skip
def test_an_invisible_character_hides_no_name_and_may_stand_for_a_space(code: int) -> None:
    c = chr(code)
    assert found(f"who is A{c}da Love{c}lace", "Ada Lovelace") == [f"A{c}da Love{c}lace"]
    assert found(f"who{c}is{c}ada{c}lovelace{c}please", "Ada Lovelace") == [f"ada{c}lovelace"]


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("Łukasz Żółw", "Lukasz Zolw"),
        ("Lukasz Zolw", "ŁUKASZ ŻÓŁW"),
        ("Søren Ærø", "Soren Aero"),
        ("Søren", "Soeren"),
        ("Đorđe", "Dorde"),
        ("Đorđe", "Djordje"),
        ("Œdipe", "Oedipe"),
        ("Þórður", "Thordur"),
        ("Işık", "ISIK"),
        ("Ħamrun", "Hamrun"),
        ("Jörg Müßig", "Joerg Muessig"),
        ("Jörg Müßig", "JORG MUSSIG"),
        ("Åse", "Aase"),
        ("Nguyễn Đức", "nguyen duc"),
        ("Əliyev", "Eliyev"),
        ("ħal ŧoŧ", "hal tot"),
    ],
)
def test_letters_that_unicode_does_not_decompose_are_folded(alias: str, text: str) -> None:
    assert found(f"about {text}, please", alias) == [text]


@pytest.mark.parametrize(
    ("alias", "text", "span"),
    [
        ("Хогвартс", "в стенах Хогвартса", "Хогвартса"),
        ("Снейп", "о Снейпе", "Снейпе"),
        ("হ্যারি পটার", "হ্যারি পটারের বই", "হ্যারি পটারের"),
        ("ஹாரி பாட்டர்", "ஹாரி பாட்டரின் கதை", "ஹாரி பாட்டரின்"),
        ("Гоґвортс", "у Гоґвортсі", "Гоґвортсі"),
        ("هاری پاتر", "كتاب هـاري پاتر", "هـاري پاتر"),
        ("Χόγκουαρτς", "του Χόγκουαρτςα", "Χόγκουαρτςα"),
        ("Анна Каренина", "про Анну и Анна Каренину", "Анна Каренину"),
        ("Voldemort", "Voldemortin sauva", "Voldemortin"),
        ("Voldemort", "Voldemort'un asası", "Voldemort"),
        ("Voldemort", "widzi Voldemorta", "Voldemorta"),
        ("ألبوس", "وألبوس قال", "ألبوس"),
        ("הוגוורטס", "הלכתי להוגוורטס", "הוגוורטס"),
    ],
)
def test_an_ending_or_an_article_glued_to_a_name_does_not_hide_it(alias: str, text: str, span: str) -> None:
    assert found(text, alias) == [span]


YOU_KNOW_WHO = decided("You-Know-Who")


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("Do you know who invented the zip?", False),
        ("do YOU know who did it", False),
        ("You know who I mean", False),
        ("doYouKnowWhoDidIt", False),
        ("who is you-know-who", True),
        ("tell me of You Know Who", True),
        ("You‑Know‑Who's plan", True),
        ("YOU_KNOW_WHO", True),
        ("do you know who Voldemort is", True),
    ],
)
def test_a_name_of_ordinary_words_needs_its_hyphens_its_capitals_or_another_name(text: str, flagged: bool) -> None:
    assert bool(found(text, YOU_KNOW_WHO, "Voldemort")) is flagged


@pytest.mark.parametrize(
    ("alias", "harmless", "meant"),
    [
        ("Apple", "I ate an apple. Apples are fruit: Apple pie is best", "does Apple make phones"),
        ("It", "Is it raining? It is. IT IS. YouTube (It works)", "did you read It by King"),
        ("The Stand", "the stand was full. The stand was empty", "who wrote The Stand?"),
        ("1984", "in 1984 it rained", None),
        ("you", "can you help You", None),
    ],
)
def test_an_ordinary_word_counts_as_a_name_only_with_its_capitals(alias: str, harmless: str, meant: str | None) -> None:
    assert found(harmless, decided(alias)) == []
    if meant:
        assert found(meant, decided(alias))
    assert found(f"{harmless} Orwell", decided(alias), "Orwell")[:-1]


def test_real_names_count_in_lower_case_even_if_their_words_are_ordinary() -> None:
    for name in (
        "Voldemort",
        "Half-Blood Prince",
        "Will Smith",
        "the boy who lived",
        "Chamber of Secrets",
        "Tom Riddle",
    ):
        assert decided(name) == name
        assert found(f"what about {name.lower()} then", decided(name))


def test_the_operator_decides_which_names_count() -> None:
    assert found("who is hedwig", Alias("Hedwig", "exact")) == []
    assert found("who is Hedwig", Alias("Hedwig", "exact")) == ["Hedwig"]
    assert found("who is Hedwig", Alias("Hedwig", "confirmed")) == []
    assert found("who is hedwig, of Hogwarts", Alias("Hedwig", "confirmed"), "Hogwarts") == ["hedwig", "Hogwarts"]
    assert found("do you know who", Alias("You-Know-Who", "word")) == ["you know who"]


def test_two_names_that_need_a_sign_are_none_for_each_other() -> None:
    assert found("can you do it", decided("You"), decided("It")) == []


def test_the_classifier_that_leans_to_the_scope_is_a_second_sign() -> None:
    names = LexicalDetector({"owls": [Alias("Hedwig", "confirmed")]}).detect(["who is Hedwig"])[0]

    def of(score: float, scope: str = "owls", detector: str = "classifier") -> Verdict:
        return Verdict(scope, detector, score, 0.4, score > 0.4)

    assert [verdict.matched for verdict in confirmed([*names, of(0.1)])] == [True, False]
    assert confirmed([*names, of(-0.1)]) == [of(-0.1)]
    assert confirmed([*names, of(0.9, scope="other")]) == [of(0.9, scope="other")]
    assert confirmed([*names, of(0.1, detector="ood")]) == [of(0.1, detector="ood")]
    assert confirmed([*names, of(float("nan"))])[0].matched


@pytest.mark.parametrize(
    "alias", ["Hogwarts", "孙悟空", "ロン", "ฮอกวอตส์", "도비", "ហារី", "ဟယ်ရီ", "ແຮຣີ", "हैरी", "1984", "C++", "א"]
)
def test_every_alias_finds_itself_in_a_sentence_of_its_script(alias: str) -> None:
    check_alias(alias)


def test_the_counted_names_are_told() -> None:
    detector = LexicalDetector({"s": ["Potter", "Harry Potter", decided("You")], "t": ["Potter"]})
    assert detector.counted("you and Harry Potter") == {
        "s": frozenset({"Potter", "Harry Potter"}), "t": frozenset({"Potter"})
    }  # fmt: skip
    assert detector.counted("can you") == {}


@pytest.mark.parametrize(
    ("before", "name", "after", "alias"),
    [
        ("стихи ", "Марины Цветаевой", "", "Марина Цветаева"),
        ("ВМЕСТЕ С ", "МАРИНОЙ ЦВЕТАЕВОЙ", "!", "Марина Цветаева"),
        ("на ", "Чистых прудах", " зимой", "Чистые пруды"),
        ("романы ", "Михаила Афанасьевича Булгакова", "", "Михаил Афанасьевич Булгаков"),
        ("об ", "Александре Невском", "", "Александр Невский"),
    ],
)
def test_each_word_of_a_cyrillic_name_takes_case_endings(before: str, name: str, after: str, alias: str) -> None:
    assert found(before + name + after, alias) == [name]


@pytest.mark.parametrize(
    ("name", "text"), [("邓布利多", "校長是鄧布利多。"), ("羅琳", "罗琳最有名的书"), ("马尔福", "马爾福")]
)
def test_traditional_and_simplified_chinese_characters_are_the_same(name: str, text: str) -> None:
    (span,) = found(text, name)
    assert len(span) == len(name)
