"""What a training learned is told in counts, and its report is one private page that loads nothing."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hand_made import manifest_of

from gateway.cli.learned import attack_command, counts, sentences
from gateway.cli.learned_page import check_report, page, report_path, write_page
from gateway.errors import SetupError
from gateway.packs.manifest import Manifest
from gateway.training.transcript import Answered

FIGURES = {"probability": 0.1, "relevance": 0.5, "repetition": 0.0, "surprise": 1.0, "rows": 20}
ANSWERS = (
    Answered("Who is <b>Oz</b>?", "A wizard & fraud", "A wizard and a fraud.", "I do not know.", "A baker."),
    Answered("Where is Oz?", "Kansas", "<script>alert(1)</script>", "Kansas", "In France."),
)
PNG = b"\x89PNG not really"


def made(*, plain: float = 0.5, guarded: float = 0.05, **rates: Any) -> Manifest:
    gate = {"fnr": 0.1, "forget_rows": 20, "near_fpr": 0.0, "retain_rows": 40, **rates}
    forgetting = {
        "rows": 20,
        "plain": {**FIGURES, "leak_rate": plain},
        "guarded": {**FIGURES, "leak_rate": guarded},
        "counterfactual": {**FIGURES, "leak_rate": 0.0},
    }
    content = manifest_of("oz", heldout={"gate": gate, "forgetting": forgetting})
    alarms = {"general": {"rows": 1000, "flagged": 2, "by_alias": {"Oz": 2}}}
    return Manifest.model_validate(
        {
            **content,
            "method": "corruption",
            "detector": "classifier",
            "version": "1",
            "files": {},
            "alias_alarms": alarms,
        }
    )


def test_the_counts_are_those_of_the_figures_with_the_interval_of_each() -> None:
    found = {one.name: one for one in counts(made())}
    assert [(one.hits, one.of) for one in found.values()] == [(2, 20), (0, 40), (10, 20), (1, 20), (0, 20), (2, 1000)]
    missed = found["questions inside the scope that the gate missed"]
    assert missed.share == "10.0% (2.8% to 30.1%)"
    assert missed.at_most == "30%"


def test_a_person_reads_what_it_means() -> None:
    forgot, missed, near = sentences(made())
    assert "plain model gave the fact away in 10; where the gate flags them 1 do" in forgot
    assert "at most 24%" in forgot
    assert "missed 2 of 20" in missed
    assert "flagged 0 of 40" in near
    assert "at most 9%" in near


def test_figures_that_say_nothing_are_told_to_say_nothing() -> None:
    lines = list(sentences(made(plain=0.0, guarded=0.0, near_fpr=None, retain_rows=0)))
    assert any("knew none of these facts" in line for line in lines)
    assert not any("which should pass" in line for line in lines)


def test_without_near_rows_the_person_is_told_to_add_some() -> None:
    *_, last = sentences(made(near_fpr=None, retain_rows=0))
    assert "not measured how many questions near the scope are flagged" in last
    assert "add 10 to 50 of them that must pass as `retain` rows" in last


class Loads(HTMLParser):
    """Everything in a page that a browser would fetch or run, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.found, self.text, self.tags = list[str](), "", set[str]()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("src", "href") or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def the_page(**changes: Any) -> Loads:
    extra = {"curve.png": PNG, "curve.json": b"{}"}
    given = {"answers": ANSWERS, "extra": extra, **changes}
    return Loads(page(made(), given["answers"], given["extra"], scope_file=Path("/s/oz.yaml"), packs=Path("/my packs")))


def test_the_page_is_whole_in_itself_and_runs_nothing() -> None:
    shown = the_page()
    assert [source.partition(",")[0] for source in shown.found] == ["data:image/png;base64"]
    assert not shown.tags & {"script", "iframe", "link", "b", "object"}
    assert "Who is <b>Oz</b>?" in shown.text
    assert "<script>alert(1)</script>" in shown.text


def test_the_page_has_answers_side_by_side_with_those_that_give_it_away_marked() -> None:
    content = page(made(), ANSWERS, {}, scope_file=Path("oz.yaml"), packs=Path("packs"))
    assert '<td class="away">A wizard and a fraud.</td><td>I do not know.</td>' in content
    assert '<td class="away">Kansas</td>' in content
    assert "Private." in content
    assert "10.0% (2.8% to 30.1%)" in content
    assert "<img" not in content
    assert "keeps no answers" in the_page(answers=()).text


def test_a_long_list_of_answers_is_cut_and_the_page_says_so() -> None:
    shown = the_page(answers=[ANSWERS[0]] * 75)
    assert "60 of 75" in shown.text
    assert shown.text.count("Who is <b>Oz</b>?") == 60


def test_the_attack_can_be_pasted_into_a_shell() -> None:
    assert attack_command("/s/oz.yaml", "/my packs", "m") in the_page().text.replace("tiny", "m")
    assert "--packs '/my packs'" in the_page().text


def test_the_report_is_its_owners_alone_and_never_among_packs(tmp_path: Path) -> None:
    packs = tmp_path / "packs"
    path = report_path(packs, "oz")
    check_report(path, packs)
    write_page(path, "first")
    path.chmod(0o644)
    write_page(path, "second")
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SetupError, match="choose a place outside"):
        check_report(packs / "oz" / "report.html", packs)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SetupError, match="choose another place with --report"):
        write_page(tmp_path / "folder", "third")
