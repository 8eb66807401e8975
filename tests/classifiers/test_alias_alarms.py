"""What the names of a scope alone flag in prompts outside it, name by name."""

import pytest

from classifiers.names.measure import AliasAlarms, count_alarms
from classifiers.names.ordinary import Alias, decided
from classifiers.traffic import general_traffic

PROMPTS = [
    "Do you know who won?",
    "Is Paris big?",
    "Paris in March",
    "what is in march",
    "Nothing",
    "Is it Ron?",
]


def test_each_prompt_counts_once_and_each_name_that_flags_it_counts() -> None:
    alarms = count_alarms(["Paris", "March", "Ron", "Texas"], PROMPTS)
    assert alarms == AliasAlarms(rows=6, flagged=4, by_alias={"Paris": 2, "March": 2, "Ron": 1})


def test_a_name_that_needs_a_second_sign_is_no_alarm_without_it() -> None:
    assert count_alarms([Alias("Paris", "confirmed")], PROMPTS).flagged == 0
    assert count_alarms([Alias("March", "exact")], PROMPTS).by_alias == {"March": 1}
    assert count_alarms([Alias("Paris", "confirmed"), "March"], PROMPTS).by_alias == {"March": 2}


def test_names_that_flag_much_are_told_the_worst_first() -> None:
    alarms = AliasAlarms(1000, 14, {"Ron": 1, "Paris": 3, "You": 12})
    assert alarms.over(0.001) == {"You": 12, "Paris": 3}
    assert alarms.over(0.5) == {}
    assert AliasAlarms(0, 0, {}).over(0.001) == {}


@pytest.mark.parametrize("name", ["You", "It", "The Stand", "1984"])
def test_a_scope_of_ordinary_words_does_not_swallow_the_general_traffic(name: str) -> None:
    traffic = general_traffic()
    assert count_alarms([Alias(name, "word")], traffic).flagged >= count_alarms([decided(name)], traffic).flagged
    assert count_alarms([decided(name)], traffic).flagged <= 0.001 * len(traffic)


def test_names_in_other_scripts_are_counted_too() -> None:
    alarms = count_alarms(["孙悟空", "도비"], ["我喜欢孙悟空", "도비는 자유다", "你好"])
    assert alarms.by_alias == {"孙悟空": 1, "도비": 1}
