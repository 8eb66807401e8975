"""Names in fancy writing: found in a prompt and held in a stream, whatever the script that lends its letters."""

import string

import pytest

from classifiers.languages.prompts import held_out_prompts
from classifiers.leaks.watch import AnswerWatch, Asked, OwnWords, Watched, Watchlist
from classifiers.names.aliases import LexicalDetector
from classifiers.views.looks import looks
from classifiers.views.views import views

NAMES = ("Ottoline Karst", "Brindlemoor")
ALPHABETS = {
    "ethiopic": "ልጌርዕቿቻኗዘጎጋጕረጠክዐየዒዪነፕሁሀሠሸሃጊ",
    "tibetan and others": "ąც↋ɖɛʄɠɧıʝƙƖɱŋơ℘զཞʂɬų۷ῳҳყʑ",
    "armenian": "ąҍçժҽƒցհìʝҟӀʍղօքզɾʂէմѵա×վՀ",
    "greek and cyrillic": "αвcdєfgнιjкlмησρqяѕтυνωχуz",
    "katakana": "ﾑ乃cd乇fgんﾉﾌズﾚﾶ刀oｱq尺丂ｲu√w乂ﾘ乙",
    "cherokee": "ᏗᏰፈᎴᏋᎦᎶᏂᎥᏠᏦᏝᎷᏁᎧᎮᎤᏒᏕᏖᏬᏉᏇጀᎩፚ",
    "yi": "ꋬꃳꉔ꒯ꏂꊰꍌꁝ꒐꒻ꀘ꒒ꂵꋊꄲꉣꆰꋪꇙ꓄꒤꒦ꅐꉧꌦꁴ",
    "lisu": "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑQꓣꓢꓔꓴꓦꓪꓫꓬꓜ",
    "money": "₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱QⱤ₴₮ɄV₩ӾɎⱫ",
    "braille": "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵",
    "syllabics": "ᗩᗷᑕᗪEᖴGᕼIᒍKᒪᗰᑎOᑭQᖇSTᑌᐯᗯ᙭YZ",
    "script": "𝒶𝒷𝒸𝒹𝑒𝒻𝑔𝒽𝒾𝒿𝓀𝓁𝓂𝓃𝑜𝓅𝓆𝓇𝓈𝓉𝓊𝓋𝓌𝓍𝓎𝓏",
}


def written(text: str, alphabet: str) -> str:
    return text.lower().translate(str.maketrans(dict(zip(string.ascii_lowercase, alphabet, strict=True))))


@pytest.fixture(scope="module")
def detector() -> LexicalDetector:
    return LexicalDetector({"karst": NAMES})


@pytest.fixture(scope="module")
def watchlist() -> Watchlist:
    return Watchlist().updated({"karst": Watched(NAMES)}, ())


def named(detector: LexicalDetector, text: str) -> bool:
    texts = [text, *(view.text for view in views(text))]
    return any(verdict.matched for found in detector.detect(texts, misspelt=False) for verdict in found)


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_a_name_in_a_prompt_is_found_in_any_alphabet(detector: LexicalDetector, alphabet: str) -> None:
    for name in NAMES:
        assert named(detector, f"Who knows {written(name, alphabet)}, and since when?"), name
        assert named(detector, written(f"who knows {name} well?", alphabet)), name


@pytest.mark.parametrize("chars", [1, 3, 200])
@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_no_letter_of_it_is_sent_in_an_answer(watchlist: Watchlist, alphabet: str, chars: int) -> None:
    for name in NAMES:
        fancy = written(name, alphabet)
        text = f"It was {fancy}, they say."
        watch = AnswerWatch(watchlist, OwnWords(watchlist, Asked()))
        sent, leak = 0, None
        for start in range(0, len(text), chars):
            sent, leak = watch.read(text[start : start + chars])
            if leak:
                break
        sent, leak = watch.read("", ended=True) if leak is None else (sent, leak)
        assert leak is not None, name
        assert sent <= len("It was ")


def test_a_look_keeps_the_length_and_plain_letters() -> None:
    for text in (*ALPHABETS.values(), "İstanbul ß ŉ ﬁ 가 𐍈", "It’s “plain” — really…"):
        assert all(len(look) == len(text) for look in looks(text))
    assert list(looks("It’s “plain” – café…")) == ["it’s “plain” – café…"]


@pytest.mark.parametrize("language", ["ru", "zh", "hi", "ja", "ar", "ko"])
def test_prompts_in_other_scripts_name_nobody(detector: LexicalDetector, language: str) -> None:
    assert not [prompt for prompt in held_out_prompts(language) if named(detector, prompt)]
