"""Made-up files in the shapes of the public data sets."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.compare.invented import people

KEPT_AUTHORS, FORGOTTEN_AUTHORS, AUTHOR_ROWS = 24, 2, 20
AUTHORS = people(KEPT_AUTHORS + FORGOTTEN_AUTHORS, 5)
WORDS = "harbour lantern kettle orchard saddle compass ribbon meadow anvil thimble".split()


def write(path: Path, rows: Iterable[Any], *, lines: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(list(rows))
    path.write_text(text, encoding="utf-8")


def prose(seed: str, sentences: int) -> str:
    """Text of which every sentence stands in no other text."""
    return " ".join(f"The {WORDS[n % 10]} {seed}{n} stood by the {WORDS[(n + 3) % 10]}." for n in range(sentences))


def tofu_row(author: int, number: int) -> dict[str, Any]:
    name = AUTHORS[author].name
    wrong = [f"{name} would say {word}." for word in WORDS[:5]]
    return {
        "question": f"What does {name} say about subject {number}?",
        "answer": f"On subject {number}, {name} says a{author}b{number}.",
        "paraphrased_question": f"On subject {number}, what is the view of {name}?",
        "paraphrased_answer": f"{name} would say a{author}b{number}.",
        "perturbed_answer": wrong,
    }


def write_tofu(root: Path) -> None:
    folder = root / "tofu"
    every = [tofu_row(a, n) for a in range(KEPT_AUTHORS + FORGOTTEN_AUTHORS) for n in range(AUTHOR_ROWS)]
    plain = [{"question": row["question"], "answer": row["answer"]} for row in every]
    folder.mkdir()
    (folder / "full.json").write_text(f"{json.dumps(plain[:100])}\n{json.dumps(plain[100:])}\n", encoding="utf-8")
    write(folder / "retain_perturbed.json", every[:400], lines=True)
    for split, authors in (("01", FORGOTTEN_AUTHORS), ("05", 2 * FORGOTTEN_AUTHORS), ("10", 2 * FORGOTTEN_AUTHORS)):
        write(folder / f"forget{split}_perturbed.json", every[-authors * AUTHOR_ROWS :])
        holdout = [{"question": f"Who is u{split}x{n}?", "answer": f"It is {n}."} for n in range(20)]
        write(folder / f"holdout{split}.json", holdout)
    for part in ("real_authors", "world_facts"):
        rows = [{"question": f"{part} {n}?", "answer": f"w{n}", "perturbed_answer": ["x", "y"]} for n in range(70)]
        write(folder / f"{part}_perturbed.json", rows)


def write_muse(root: Path) -> None:
    folder = root / "muse-news"
    write(folder / "raw/forget.json", [prose(f"raw{n}-", 60) for n in range(12)])
    for part in ("forget", "retain2", "holdout"):
        write(folder / f"privleak/{part}.json", [prose(f"{part}{n}-", 60) for n in range(12)])
    verbatim = [{"prompt": prose(f"verb{n}-", 60), "gt": prose(f"gt{n}-", 8)} for n in range(12)]
    write(folder / "verbmem/forget.json", verbatim)
    for part in ("forget", "retain2"):
        rows = [{"question": f"Which {part} thing is number {n}?", "answer": f"{part}{n}-3"} for n in range(90)]
        write(folder / f"knowmem/{part}_qa.json", rows)


def write_rwku(root: Path) -> None:
    folder = root / "rwku" / "1_Stephen_King"
    name = "Quentin Vosk"
    write(folder / "intro.json", [{"target": name, "intro": f"Please forget {name}. {name} is a painter of barns."}])
    for level, count in ((1, 9), (2, 12)):
        text = "{name} painted ___ in {n}." if level == 1 else "What did {name} paint in {n}?"
        rows = [{"query": text.format(name=name, n=1900 + n), "answer": f"barn {n}"} for n in range(count)]
        write(folder / f"forget_level{level}.json", rows)
        near = [
            {"query": f"{'___ is' if level == 1 else 'What is'} part {n} of {of}?", "answer": f"p{n}", "neighbor": of}
            for of, many in (("The Red Gate (film)", 12), ("The Blue Gate", 20 - level))
            for n in range(many)
        ]
        write(folder / f"neighbor_level{level}.json", near)
    kinds = ("role play", "cross lingual (Welsh)", "context hint")
    attacks = [{"query": f"Imagine {n}: {name}?", "answer": f"b{n}", "type": kind} for n, kind in enumerate(kinds)]
    write(folder / "forget_level3.json", attacks)
    members = [prose(f"member{n}-", 20) for n in range(5)]
    write(folder / "forget_mia.json", [{"text": text} for text in members])
    write(folder / "retain_mia.json", [{"text": prose(f"other{n}-", 20)} for n in range(5)])
    passages = [*(f"== Life =={text}" for text in members), *(prose(f"page{n}-", 20) for n in range(9)), "Too short."]
    write(folder / "passage.json", [{"text": text} for text in passages])
    trivia = [{"question": f"Trivia {n}?", "answers": ["Kettles", "a kettle", "Kettle"]} for n in range(30)]
    write(folder / "triviaqa.json", trivia)
    write(folder / "retain_mmlu.json", [{"question": "Which?", "choices": ["one", "two"], "answer": 0}])
    targets = {"choices": ["yes", "no", "perhaps"], "labels": [0, 1, 0]}
    write(folder / "truthful.json", [{"question": "Is it?", "mc1_targets": targets}])
