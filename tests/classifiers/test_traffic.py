"""The project's own out-of-scope prompts."""

from classifiers.traffic import general_traffic


def test_the_shipped_prompts_are_enough_for_the_default_rate() -> None:
    prompts = general_traffic()
    assert len(prompts) == len(set(prompts))
    assert 0.58 * len(prompts) > 999
    assert all(prompt.strip() == prompt for prompt in prompts)
