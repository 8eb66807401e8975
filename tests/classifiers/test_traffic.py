"""Traffic files: the project's own prompts, and an operator's."""

from pathlib import Path

import pytest

from classifiers.traffic import TrafficError, general_traffic, read_prompts


def test_the_shipped_prompts_are_enough_for_the_default_rate() -> None:
    prompts = general_traffic()
    assert len(prompts) == len(set(prompts))
    assert 0.58 * len(prompts) > 999
    assert all(prompt.strip() == prompt for prompt in prompts)


def test_a_text_file_is_a_prompt_a_line(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("one\n\n  two \r\nthree", encoding="utf-8")
    assert read_prompts(file) == ["one", "two", "three"]


def test_json_lines_are_prompts_or_conversations(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(
        '{"prompt": "one"}\n\n{"messages": [{"role": "user", "content": "two"}, {"role": "user", "content": "3"}]}\n'
        '{"prompt": "a\u2028b\u0085c"}\n',
        encoding="utf-8",
    )
    assert read_prompts(file) == ["one", "two\n3", "a\u2028b\u0085c"]


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"text": "x"}', '{"messages": [{}]}', '{"messages": 3}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"prompt": "one"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(TrafficError, match=r"log\.jsonl line 2"):
        read_prompts(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"gone\.txt"):
        read_prompts(tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(TrafficError, match=r"latin\.txt"):
        read_prompts(tmp_path / "latin.txt")
