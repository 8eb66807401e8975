"""The operator is told, by name, which aliases flag prompts outside the scope, and what to do."""

from classifiers.names.measure import AliasAlarms
from gateway.cli import alias_alarms


def test_the_table_says_what_names_alone_flag_and_in_how_many_rows() -> None:
    alarms = {"general": AliasAlarms(3449, 7, {"March": 7}), "traffic": AliasAlarms(0, 0, {})}
    assert list(alias_alarms.rows(alarms)) == [
        ("names alone: shipped general prompts flagged", "0.20%", "3449"),
        ("names alone: rows of --traffic flagged", "-", "0"),
    ]


def test_a_name_that_flags_more_than_the_classifier_may_is_warned_of_with_what_to_do() -> None:
    alarms = {"general": AliasAlarms(3449, 223, {"Ron": 1, "You": 220}), "traffic": AliasAlarms(100, 3, {"March": 3})}
    first, second = alias_alarms.warnings(alarms, alpha=0.001)
    assert "alias 'You' alone flags 220 of 3449 shipped general prompts (6.38%)" in first
    assert "0.10%" in first
    assert "{name: 'You', match: confirmed}" in first
    assert "alias 'March' alone flags 3 of 100 rows of --traffic (3.00%)" in second


def test_names_that_flag_little_are_not_warned_of() -> None:
    assert list(alias_alarms.warnings({"general": AliasAlarms(3449, 3, {"Ron": 3})}, alpha=None)) == []
    assert list(alias_alarms.warnings({}, alpha=0.001)) == []
