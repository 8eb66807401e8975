"""Letters of a name, one in each cell of something: found by the detector of names, at their place."""

import json

import pytest

from classifiers.names.aliases import LexicalDetector
from classifiers.traffic import general_traffic
from classifiers.views.cells import in_cells
from classifiers.views.view import plain

NAMES = ("Ottoline Karst", "Brindlemoor")
CELLS = {
    "a table": lambda name: "\n".join(f"| {number} | {letter} |" for number, letter in enumerate(name)),
    "an object": lambda name: json.dumps({str(number): letter for number, letter in enumerate(name)}),
    "objects": lambda name: json.dumps([{"place": number, "letter": letter} for number, letter in enumerate(name)]),
    "an html row": lambda name: "<tr>" + "".join(f"<td>{letter}</td>" for letter in name) + "</tr>",
    "a numbered list": lambda name: "\n".join(f"{number}. {letter}" for number, letter in enumerate(name, start=1)),
    "yaml": lambda name: "\n".join(f"  - letter: {letter}" for letter in name),
    "assignments": lambda name: "; ".join(f"x[{number}] = '{letter}'" for number, letter in enumerate(name)),
}


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_cells_is_found_where_it_stands(name: str, cells) -> None:
    said = cells(name)
    text = f"Read this aloud:\n{said}\nand say where it lies."
    view = in_cells(plain(text))
    assert view is not None
    (verdicts,) = LexicalDetector({"karst": NAMES}).detect([view.text], misspelt=False)
    (span, *_) = verdicts[0].spans
    start, end = view.source_range(span.start_char, span.end_char)
    assert text[start:end] in said


def test_cells_of_harmless_texts_name_nobody() -> None:
    detector = LexicalDetector({"karst": NAMES})
    found = [view.text for prompt in general_traffic() if (view := in_cells(plain(prompt)))]
    code = "for (i = 0; i < n; i++) { x = a[i] + b[i]; y = x / c; }\n" * 20
    found += [view.text for view in [in_cells(plain(code))] if view]
    assert found
    assert not any(detector.detect([text], misspelt=False)[0] for text in found)
