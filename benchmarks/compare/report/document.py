"""The report as a document: blocks of plain text, and the two ways to set them down, Markdown and one HTML page.

Text is escaped when it is set down. The HTML page loads nothing and runs nothing.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from benchmarks.compare.report.drawings import svg

__all__ = ["MET", "SHORT", "Block", "Bullets", "Heading", "Picture", "ReportTable", "Words", "markdown", "page"]

MET, SHORT = "✓", "✗"  # a table's cell that begins with one is coloured
_CSS = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1b1b1b; background: #fff; max-width: 62rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-top: 1px solid #ddd;
  padding-top: 1rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
p { max-width: 46rem; }
.wide { overflow-x: auto; margin: .6rem 0 1rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { border-bottom: 1px solid #e4e4e4; padding: .3rem .6rem; text-align: left; vertical-align: top; min-width: 4rem;
  max-width: 22rem; }
thead th { vertical-align: bottom; border-bottom: 2px solid #999; }
th:first-child { position: sticky; left: 0; background: #fff; }
td.met { background: #e3f3ea; } td.short { background: #fdeae4; }
details { margin: .4rem 0; } summary { cursor: pointer; }
figure { margin: 1rem 0; } figcaption { font-size: .85rem; color: #555; }
svg { max-width: 100%; height: auto; } svg * { stroke-linejoin: round; stroke-linecap: butt; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Heading:
    words: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    words: str


@dataclass(frozen=True, slots=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportTable:
    """The first cell of a row names it. A folded one shows its title until it is opened."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing, in HTML alone; `caption` says what is seen."""

    figure: Figure
    caption: str


Block = Heading | Words | Bullets | ReportTable | Picture


def markdown(blocks: Iterable[Block]) -> str:
    """GitHub's markdown, tables and all; pictures are left out."""
    return "\n\n".join(part for part in map(_as_markdown, blocks) if part) + "\n"


def page(title: str, blocks: Iterable[Block]) -> str:
    """One HTML file with nothing outside it: no script, font, style or image is loaded."""
    body = "\n".join(map(_as_html, blocks))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_CSS}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _as_markdown(block: Block) -> str:
    match block:
        case Heading(words, level):
            return f"{'#' * level} {_escaped(words)}"
        case Words(words):
            return _escaped(words)
        case Bullets(items):
            return "\n".join(f"- {_escaped(item)}" for item in items)
        case ReportTable(head, rows, title):
            lines = [f"| {' | '.join(map(_escaped, line))} |" for line in (head, *rows)]
            table = "\n".join([lines[0], "| --- " * len(head) + "|", *lines[1:]])
            return f"**{_escaped(title)}**\n\n{table}" if title else table
        case Picture():
            return ""


def _escaped(words: str) -> str:
    """The words on one line, with the characters escaped that Markdown would interpret."""
    return re.sub(r"([\\`*_\[\]<>#|&~])", r"\\\1", " ".join(words.split()))


def _as_html(block: Block) -> str:
    match block:
        case Heading(words, level):
            return f"<h{level}>{html.escape(words)}</h{level}>"
        case Words(words):
            return f"<p>{html.escape(words)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{html.escape(item)}</li>" for item in items) + "\n</ul>"
        case ReportTable(_, _, title, folded=True):
            return f"<details><summary>{html.escape(title)}</summary>\n{_html_table(block, caption='')}\n</details>"
        case ReportTable():
            return _html_table(block, caption=block.title)
        case Picture(figure, caption):
            words = html.escape(caption)
            drawn = f'<div class="wide">{svg(figure, label=caption)}</div>'
            return f"<figure>\n{drawn}\n<figcaption>{words}</figcaption>\n</figure>"


def _html_table(table: ReportTable, *, caption: str) -> str:
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    rows = "\n".join(f"<tr>{_html_cells(row)}</tr>" for row in table.rows)
    return f'<div class="wide"><table>{above}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'


def _html_cells(row: Sequence[str]) -> str:
    colours = {MET: ' class="met"', SHORT: ' class="short"'}
    cells = "".join(f"<td{colours.get(cell[:1], '')}>{html.escape(cell)}</td>" for cell in row[1:])
    return f'<th scope="row">{html.escape(row[0])}</th>{cells}'
