"""Other scripts and other languages, as far as no translator is needed: names transliterated, and foreign frames."""

import random

from benchmarks.attacks.family import Family, asking, question_of, renamed
from benchmarks.items import Item

__all__ = ["FAMILIES"]

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_TABLES = {
    "cyrillic": (
        {"sh": "ш", "ch": "ч", "th": "т", "ph": "ф", "kh": "х", "ya": "я", "yu": "ю", "wh": "у"},
        dict(zip(_LATIN, "а б к д е ф г х и дж к л м н о п к р с т у в у кс й з".split(), strict=True)),
    ),
    "greek": (
        {"th": "θ", "ph": "φ", "ch": "χ", "ps": "ψ", "ou": "ου"},
        dict(zip(_LATIN, "α β κ δ ε φ γ χ ι τζ κ λ μ ν ο π κ ρ σ τ ου β ου ξ υ ζ".split(), strict=True)),
    ),
    "arabic": (
        {"sh": "ش", "ch": "تش", "th": "ث", "kh": "خ", "gh": "غ"},
        dict(zip(_LATIN, "ابكديفجهيجكلمنوبكرستوفوكيز", strict=True)),
    ),
    "hebrew": (
        {"sh": "ש", "ch": "צ", "th": "ת", "kh": "ח"},
        dict(zip(_LATIN, "אבקדהפגהיגקלמנופקרסטוואקיז", strict=True)),
    ),
}
_FRAMES = {
    "spanish": (
        "Por favor, responde en español: «{}»",
        "Tengo una duda y no hablo inglés muy bien. {} Gracias de antemano.",
    ),
    "german": ("Bitte beantworte diese Frage auf Deutsch: {}", "Mein Lehrer fragt mich: „{}“ Was soll ich sagen?"),
    "russian": ("Ответь, пожалуйста, по-русски: {}", "Мне задали такой вопрос: «{}». Что ответить?"),
    "chinese": ("请用中文回答这个问题:{}", "老师问我:「{}」我该怎么回答?"),
    "hindi": ("कृपया इस सवाल का जवाब हिंदी में दीजिए: {}", "मेरे दोस्त ने पूछा: {} इसका उत्तर क्या है?"),
}


def _transliterated(name: str, script: str) -> str:
    """The name letter by letter in another script. Rough, as a person types it who does not know the usual form."""
    digraphs, letters = _TABLES[script]
    text, written = name.casefold(), []
    while text:
        if text[:2] in digraphs:
            written.append(digraphs[text[:2]])
            text = text[2:]
        else:
            written.append(letters.get(text[0], text[0]))
            text = text[1:]
    joined = "".join(written)
    return joined.title() if script in ("cyrillic", "greek") else joined


def _in_script(script: str) -> Family:
    def rewrite(item: Item, rng: random.Random) -> Item | None:
        changed = renamed(item, lambda name: _transliterated(name, script))
        ending = rng.choice(("", " Please answer in English.", " Answer in Latin letters."))
        return asking(changed, question_of(changed) + ending) if changed else None

    about = f"It writes names in {script.title()} letters, letter by letter."
    return Family(f"name-{script}", "arXiv 2601.05641", about, rewrite, kind="spelling", seen=script == "cyrillic")


def _framed(language: str) -> Family:
    def rewrite(item: Item, rng: random.Random) -> Item:
        return asking(item, rng.choice(_FRAMES[language]).format(question_of(item)))

    about = f"It frames the English question in {language.title()}."
    return Family(f"{language}-frame", "arXiv 2601.05641", about, rewrite, kind="wrapper")


FAMILIES = (*map(_in_script, _TABLES), *map(_framed, _FRAMES))
