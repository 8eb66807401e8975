"""The demo's questions: read as all rows are, and told what is wrong with them."""

from pathlib import Path

import pytest

from gateway.cli.demo import questions_beside
from gateway.errors import SetupError

EXAMPLE = Path(__file__).parents[3] / "examples" / "harry-potter" / "scope.yaml"


def test_the_example_has_questions_on_all_sides() -> None:
    assert {question["side"] for question in questions_beside(EXAMPLE)} >= {"inside", "near", "far"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"side": "far", "prompt": "x"}\n{', "line 2 is not JSON"),
        ('{"side": "far", "question": "x"}', "line 1 has the columns side, question and needs side and prompt"),
        ('{"side": "far", "side": "near", "prompt": "x"}', "line 1: the key 'side' stands twice"),
    ],
)
def test_a_bad_question_is_told_with_its_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "questions.jsonl").write_text(content)
    with pytest.raises(SetupError, match=rf"questions\.jsonl {words}"):
        questions_beside(tmp_path / "scope.yaml")
    (tmp_path / "questions.jsonl").unlink()
    with pytest.raises(SetupError, match=r"cannot read .*questions\.jsonl"):
        questions_beside(tmp_path / "scope.yaml")
