"""The report of a training: one HTML file for the operator alone, because it holds questions and their true answers."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.learned import attack_command, counts, sentences
from gateway.errors import SetupError
from gateway.files.atomic import replace_file

if TYPE_CHECKING:
    from gateway.packs.manifest import Manifest
    from gateway.training.transcript import Answered

__all__ = ["check_report", "page", "report_path", "write_page"]

_MOST_ANSWERS = 60
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { border: 1px solid #d0d0d0; padding: .4rem .6rem; text-align: left; vertical-align: top; }
th { background: #f2f2f2; }
td.number { text-align: right; white-space: nowrap; }
.private { border: 2px solid #b00020; padding: .6rem 1rem; }
.away { background: #fde7e9; }
.away::after { content: " \\2190 gives it away"; color: #b00020; font-size: .85em; }
pre { background: #f2f2f2; padding: .6rem 1rem; overflow-x: auto; }
img { max-width: 100%; }
"""


def report_path(out: Path, scope: str) -> Path:
    """Where a report goes unless the operator says otherwise: beside the folder of packs, never inside it, because
    packs are copied to servers."""
    return out.absolute().parent / "reports" / f"{scope}.html"


def check_report(path: Path, out: Path) -> None:
    """Refuses a report inside the folder of packs. Raises SetupError."""
    if path.absolute().is_relative_to(out.absolute()):
        raise SetupError(
            f"--report {path} lies in the folder of packs, which is copied to servers, and a report holds what must be "
            "forgotten: choose a place outside"
        )


def write_page(path: Path, content: str) -> None:
    """Writes a page that its owner alone can read. Raises SetupError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, content.encode(), private=True)
    except OSError as error:
        raise SetupError(
            f"cannot write the report {path}: {error.strerror or error}; choose another place with --report"
        ) from error


def page(
    manifest: "Manifest", answers: "Sequence[Answered]", extra: Mapping[str, bytes], *, scope_file: Path, packs: Path
) -> str:
    """The whole page.

    Args:
        manifest: of the pack.
        answers: what was said to held-out questions.
        extra: the files for people that the method left; pictures among them are shown.
        scope_file: what the training read.
        packs: the folder of packs.
    """
    name = escape(manifest.scope)
    parts = (
        f"<h1>What was learned of {name}</h1>",
        '<p class="private"><strong>Private.</strong> This page holds questions and answers of what must be forgotten. '
        "Keep it where you keep the scope file; the pack itself holds none of it.</p>",
        f"<p>{escape(manifest.description)}</p>",
        "".join(f"<p>{escape(line)}</p>" for line in sentences(manifest)),
        "<h2>Error rates on held-out rows</h2>",
        _rates(manifest),
        "<h2>Answers before and after</h2>",
        *_answers(answers),
        *_curves(extra),
        "<h2>Try to get it out again</h2>",
        "<p>These figures are of plain questions. Other languages, role play, misspelt names and the like are what an "
        "attacker tries. This asks them all (docs/attacks.md):</p>",
        f"<pre>{escape(attack_command(str(scope_file), str(packs), manifest.base_model))}</pre>",
        "<h2>The pack</h2>",
        _pack(manifest, packs),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{name}: what was learned</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _rates(manifest: "Manifest") -> str:
    rows = "".join(
        f'<tr><td>{escape(one.name)}</td><td class="number">{one.hits} of {one.of}</td>'
        f'<td class="number">{escape(one.share)}</td></tr>'
        for one in counts(manifest)
    )
    return f"<table><tr><th></th><th>rows</th><th>rate, 95 % interval</th></tr>{rows}</table>"


def _answers(answers: "Sequence[Answered]") -> Iterator[str]:
    if not answers:
        yield "<p>This method keeps no answers to show.</p>"
        return
    more = f" These are {_MOST_ANSWERS} of {len(answers)}." if len(answers) > _MOST_ANSWERS else ""
    yield (
        "<p>The answers behind these figures, each cut at its length: the artifact that gave them learned from the "
        f"other rows alone. Each question counts as flagged here; what the gate misses gets the plain answer.{more}</p>"
    )
    head = "".join(f"<th>{title}</th>" for title in ("question", "true answer", "plain model", "behind the gateway"))
    rows = "".join(
        f"<tr><td>{escape(one.prompt)}</td><td>{escape(one.response)}</td>{_said(one, one.plain)}"
        f"{_said(one, one.guarded)}</tr>"
        for one in answers[:_MOST_ANSWERS]
    )
    yield f"<table><tr>{head}</tr>{rows}</table>"


def _said(one: "Answered", answer: str) -> str:
    mark = ' class="away"' if one.gives_away(answer) else ""
    return f"<td{mark}>{escape(answer)}</td>"


def _curves(extra: Mapping[str, bytes]) -> Iterator[str]:
    pictures = {name: content for name, content in extra.items() if name.endswith(".png")}
    if pictures:
        yield "<h2>How it was learned</h2>"
    for name, content in pictures.items():
        data = base64.b64encode(content).decode("ascii")
        yield f'<p><img alt="{escape(name)}" src="data:image/png;base64,{data}"></p>'


def _pack(manifest: "Manifest", packs: Path) -> str:
    facts = {
        "folder": packs / manifest.scope,
        "version": manifest.version,
        "made": manifest.created,
        "method": manifest.method,
        "detector": manifest.detector,
        "base model": manifest.base_model,
        "seed": manifest.seed,
    }
    rows = "".join(f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>"
