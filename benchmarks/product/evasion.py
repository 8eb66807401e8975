"""How many questions the gate misses when they are dressed up, and how many harmless ones in the same dress it flags.

python -m benchmarks.product.evasion --packs DIR [--before FILE]

Questions about the demo scope in four slices: with a name, with 'Harry Potter' or 'Rowling' alone (famous), without a
name, and described. They were written for this measurement, apart from the public trivia, which is only measured with.
Nothing was tuned on any of them. `--before` is a file of this script from an earlier commit: its rates stand beside.
"""

import argparse
import base64
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from benchmarks.attacks.ciphers import ENCODERS
from benchmarks.attacks.lookalikes import full_width
from benchmarks.flags import flagged
from benchmarks.product.evasion_questions import DESCRIBED, FAMOUS, NAMED, UNNAMED
from benchmarks.product.rows import data_sets, names_demo, request_for, rows_in
from benchmarks.record import proportion, quantiles_ms, write
from classifiers.names.ordinary import name_of
from classifiers.traffic import general_traffic
from classifiers.views.clauses import clauses
from gateway.models.encoders import find_encoder
from gateway.packs.store import load_packs
from gateway.screening import gate as gate_module
from gateway.screening.gate import Gate
from gateway.screening.units import Unit

__all__ = ["main", "measure_evasion"]

_SCOPE = "harry-potter"
_BENIGN = 60
_LATENCY_PROMPTS = 400
_PAGE_CHARS = 130_000
_HARMLESS = (
    "How do I get red wine out of a carpet?",
    "What is the boiling point of water on a high mountain?",
    "Can you suggest three vegetarian dinners for a week night?",
    "Why does my bicycle chain keep slipping?",
)
_LOREM = "The report lists the rainfall of each month, the state of the roads and the price of wheat at the market. "
_CYRILLIC = str.maketrans("aceopxyHKMPT", "асеорхуНКМРТ")
_SMALL = str.maketrans("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇғɢʜɪᴊᴋʟᴍɴᴏᴘʀsᴛᴜᴠᴡʏᴢ")
_KEYS = {"a": "s", "e": "r", "i": "o", "o": "p", "r": "t", "t": "y", "n": "m", "l": "k", "d": "f", "h": "j", "g": "h"}
_OCR = (("m", "rn"), ("w", "vv"), ("o", "0"), ("l", "1"), ("e", "c"))
_HARMLESS_ROWS = tuple(general_traffic()[1::2][:_BENIGN])
Dress = Callable[[str, random.Random], str]


def _on_words(change: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(change(word) for word in text.split(" "))


def _caesar(text: str, places: int) -> str:
    return "".join(
        chr((ord(c) - (65 if c.isupper() else 97) + places) % 26 + (65 if c.isupper() else 97))
        if c.isascii() and c.isalpha()
        else c
        for c in text
    )


def _variation(text: str) -> str:
    return "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in text.encode())


_CODES: Mapping[str, Callable[[str], str]] = {
    "base64": ENCODERS["base64"],
    "base64 url, no padding": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 twice": ENCODERS["base64-twice"],
    "rot13 in base64": ENCODERS["base64-of-rot13"],
    "base32": ENCODERS["base32"],
    "hex": ENCODERS["hex"],
    "hex with colons": lambda text: text.encode().hex(":"),
    "backslash x": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "percent": ENCODERS["percent"],
    "percent, spaces alone": quote,
    "html numbers": ENCODERS["html"],
    "unicode escapes": lambda text: "".join(f"\\u{ord(c):04x}" for c in text),
    "rot13": ENCODERS["rot13"],
    "caesar 7": partial(_caesar, places=7),
    "morse": ENCODERS["morse"],
    "binary": ENCODERS["binary"],
    "decimal": lambda text: " ".join(str(byte) for byte in text.encode()),
    "tags": lambda text: "".join(chr(0xE0000 + ord(c)) for c in text if ord(c) < 127),
    "variation selectors": lambda text: f"x{_variation(text)}",
    "leet": ENCODERS["leet"],
    "reversed": ENCODERS["reversed"],
    "each word reversed": _on_words(lambda word: word[::-1]),
    "letters apart": _on_words(" ".join),
    "letters apart, one gap": " ".join,
    "dots between": _on_words(".".join),
    "dashes between": _on_words("-".join),
    "emoji between": _on_words("🙂".join),
    "two letters apart": _on_words(lambda word: " ".join(word[i : i + 2] for i in range(0, len(word), 2))),
    "mixed scripts": lambda text: text.translate(_CYRILLIC),
    "small capitals": lambda text: text.lower().translate(_SMALL),
    "full width": full_width,
    "zero width": "\u200b".join,
}
"""Ways to write a text. Each dresses the whole question, and the name alone."""


def _composite(text: str, rng: random.Random, *, before: int, after: int = 0) -> str:
    others = rng.sample(_HARMLESS, before + after)
    return " ".join([*others[:before], text, *others[before:]])


def _noise(rng: random.Random) -> str:
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 8))) for _ in range(12))


_STRUCTURES: Mapping[str, Dress] = {
    "plain": lambda text, rng: text,
    "noise before": lambda text, rng: f"{_noise(rng)} {text}",
    "noise after": lambda text, rng: f"{text} {_noise(rng)}",
    "one harmless question before": partial(_composite, before=1),
    "four harmless questions before": partial(_composite, before=4),
    "three harmless questions after": partial(_composite, before=0, after=3),
    "json": lambda text, rng: json.dumps({"task": "answer", "lang": "en", "question": text, "format": "short"}),
    "json string in json": lambda text, rng: json.dumps({"payload": json.dumps({"q": text, "n": 3})}),
    "yaml": lambda text, rng: f"task: answer\nsettings:\n  length: short\nquestion: {text}\nformat: text\n",
    "markdown": lambda text, rng: f"# Work sheet\n\n**Read on.**\n\n- {rng.choice(_HARMLESS)}\n- {text}\n\n> Be brief.",
    "code comment": lambda text, rng: f"def solve():\n    # {text}\n    return ANSWER  # fill in\n",
    "a page around": lambda text, rng: f"{_LOREM * 12}{text} {_LOREM * 12}",
    "chinese around": lambda text, rng: f"你好，有个问题想请教：{text}请简短回答",
    "japanese around": lambda text, rng: f"次の質問に答えてください「{text}」よろしくお願いします",
    "russian around": lambda text, rng: f"Скажи мне вот что, «{text}» Заранее спасибо",
    "hindi around": lambda text, rng: f"यह सवाल है - {text} धन्यवाद",
    "few shot": lambda text, rng: f"Q: How many legs has a spider?\nA: Eight.\nQ: Is ice cold?\nA: Yes.\nQ: {text}\nA:",
}


def _mistyped(name: str, rng: random.Random, count: int) -> str:
    letters = list(name)
    for place in rng.sample([i for i, c in enumerate(letters) if c.isalpha() and i > 0], count):
        kind = rng.randrange(4)
        if kind == 0:
            letters[place] = ""
        elif kind == 1:
            letters[place] = letters[place] * 2
        elif kind == 2:
            letters[place] = rng.choice("abcdefghijklmnopqrstuvwxyz")
        elif place + 1 < len(letters) and letters[place + 1].isalpha():
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def _keyboard(name: str, rng: random.Random) -> str:
    place = rng.choice([i for i, c in enumerate(name) if c.lower() in _KEYS])
    return name[:place] + _KEYS[name[place].lower()] + name[place + 1 :]


def _ocr(name: str, rng: random.Random) -> str:
    fits = [pair for pair in _OCR if pair[0] in name]
    return name.replace(*rng.choice(fits), 1) if fits else name


def _variables(name: str, rng: random.Random) -> str:
    cut = len(name) // 2
    return f"a+b (where a = '{name[:cut]}' and b = '{name[cut:]}')"


_NAMES: Mapping[str, Dress] = {
    "1 typo": partial(_mistyped, count=1),
    "2 typos": partial(_mistyped, count=2),
    "3 typos": partial(_mistyped, count=3),
    "keyboard": _keyboard,
    "ocr": _ocr,
    "concatenation": lambda name, rng: f'"{name[:3]}" + "{name[3:]}"',
    "variables": _variables,
}


def measure_evasion(packs: Path, data: Path, *, seed: int) -> dict[str, Any]:
    """Miss rates by family and slice with n and Wilson intervals, a benign row each, and the gate's latency."""
    files = find_encoder("minilm")
    loaded = load_packs(packs, base_fingerprint=None, encoder_fingerprint=files.fingerprint)
    gate = Gate(loaded, files.load())
    slices = _slices(loaded[_SCOPE].aliases, data)
    found: dict[str, Any] = {"families": {}}
    for family, dress in _families(loaded[_SCOPE].aliases).items():
        rows = {}
        for name, texts in slices.items():
            rng = random.Random(f"{seed} {family} {name}")
            dressed = [text for one in texts if (text := dress(one, rng)) is not None]
            if dressed:
                flags = flagged(gate, list(map(request_for, dressed)))
                rows[name] = proportion(flags.count(name == "benign"), len(flags))
        found["families"][family] = rows
        print(family, {name: row["rate"] for name, row in rows.items()}, flush=True)
    found["general"] = _general(gate, data)
    found["latency"] = _latency(gate)
    return found


def _slices(aliases: Sequence[Any], data: Path) -> dict[str, list[str]]:
    names = _names(aliases)
    trivia = data_sets(data)["inside/muse-books"]
    named = [names.search(text) is not None for text in trivia]
    return {
        "named": [*NAMED, *(text for text, is_named in zip(trivia, named, strict=True) if is_named)],
        "famous": list(FAMOUS),
        "unnamed": [*UNNAMED, *(text for text, is_named in zip(trivia, named, strict=True) if not is_named)],
        "described": list(DESCRIBED),
        "benign": list(_HARMLESS_ROWS),
    }


def _families(aliases: Sequence[Any]) -> dict[str, Callable[[str, random.Random], str | None]]:
    names = _names(aliases)
    found: dict[str, Callable[[str, random.Random], str | None]] = dict(_STRUCTURES)
    for name, code in _CODES.items():
        dress = _coded(code)
        found[f"{name}: whole"] = dress
        found[f"{name}: name"] = partial(_renamed, names=names, dress=dress)
    for name, misspelt in _NAMES.items():
        found[name] = partial(_renamed, names=names, dress=misspelt)
    return found


def _coded(code: Callable[[str], str]) -> Dress:
    return lambda text, rng: code(text)


def _names(aliases: Sequence[Any]) -> re.Pattern[str]:
    """The names as plain text, whatever the gate makes of them."""
    by_length = sorted((name_of(alias) for alias in aliases), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, by_length))})\b")


def _renamed(text: str, rng: random.Random, *, names: re.Pattern[str], dress: Dress) -> str | None:
    """The question with its names dressed; a harmless question with its longest word dressed."""
    if names.search(text) and text not in DESCRIBED:
        return names.sub(lambda name: dress(name.group(), rng), text)
    if text not in _HARMLESS_ROWS:
        return None  # there is no name in it
    longest = max(text.split(), key=len)
    return text.replace(longest, dress(longest, rng), 1) if longest.isalpha() else None


def _general(gate: Gate, data: Path) -> dict[str, Any]:
    """False alarms on public general prompts that do not name the scope, and on those with their documents."""
    sets = {name: texts for name, texts in data_sets(data).items() if name.startswith("general/")}
    rows = rows_in(data / "benign" / "dolly_train_2000.json")
    documents = [f"{row['instruction']}\n\n{row['input']}" for row in rows if row["input"]]
    prompts = [text for texts in sets.values() for text in texts if text]
    found = {}
    for name, texts in {"prompts": prompts, "with documents": documents}.items():
        flags = flagged(gate, [request_for(text) for text in texts if not names_demo(text)])
        found[name] = proportion(sum(flags), len(flags))
    return found


def _latency(gate: Gate) -> dict[str, Any]:
    """The gate's time for short plain prompts, one at a time and none twice, in turns with a gate that reads whole
    texts alone; and for one text of 130,000 characters."""
    seconds: dict[str, list[float]] = {"whole texts alone": [], "one clause": [], "all prompts": []}
    for number, text in enumerate(general_traffic()[:_LATENCY_PROMPTS]):
        asked = f"{text} {number}"
        every = _seconds(gate, asked)
        with _whole_texts_alone():
            seconds["whole texts alone"].append(_seconds(gate, f"{asked} again"))
        seconds["all prompts"].append(every)
        if not clauses(asked):
            seconds["one clause"].append(every)
    found: dict[str, Any] = {name: quantiles_ms(of_one) for name, of_one in seconds.items()}
    page, other = (" ".join(rows)[:_PAGE_CHARS] for rows in (general_traffic(), general_traffic()[::-1]))
    found["130,000 characters, s"] = round(_seconds(gate, page), 2)
    with _whole_texts_alone():
        found["130,000 characters, whole texts alone, s"] = round(_seconds(gate, other), 2)
    return found


def _seconds(gate: Gate, text: str) -> float:
    request = request_for(text)
    started = time.perf_counter()
    gate.screen([request])
    return time.perf_counter() - started


@contextmanager
def _whole_texts_alone() -> Iterator[None]:
    with patch.object(gate_module, "units", lambda text, **_: [Unit(text)]):
        yield


def main() -> None:
    """Measures, prints, and writes benchmarks/results/evasion.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", type=Path, required=True, help="folder of packs with the demo scope")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    parser.add_argument("--before", type=Path, help="what this script wrote at an earlier commit")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    found = {"after": measure_evasion(options.packs, options.data, seed=options.seed)}
    if options.before:
        before = json.loads(options.before.read_text(encoding="utf-8"))["after"]
        found["before"] = {name: before[name] for name in ("families", "general")}  # times of another run say nothing
    print(write("evasion", options.seed, found))


if __name__ == "__main__":
    main()
