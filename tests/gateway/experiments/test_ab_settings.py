"""Settings of a comparison: from every place, and what is wrong with them said by name."""

from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from gateway.arms import ArmSettings
from gateway.errors import SetupError
from gateway.experiments.assignment import GUARDED
from gateway.settings import Settings, load_settings

TWO = """
backend: vllm
upstream: http://guarded
ab_arms:
  - {name: npo, share: 0.25, unlearned: true, upstream: "http://a, http://b", upstream_key: k}
  - {name: small, share: 0.5, model: /models/small}
ab_mode: shadow
ab_by: key
"""


def loaded(tmp_path: Path, content: str) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_text(content)
    return load_settings(path, {})


def test_arms_come_from_a_file(tmp_path: Path) -> None:
    settings = loaded(tmp_path, TWO)
    key = SecretStr("k")
    urls = ("http://a", "http://b")
    assert settings.ab_arms == (
        ArmSettings(name="npo", share=0.25, unlearned=True, upstream=urls, upstream_key=key),
        ArmSettings(name="small", share=0.5, unlearned=False, model="/models/small"),
    )
    assert (settings.ab_mode, settings.ab_by) == ("shadow", "key")
    assert "'k'" not in repr(settings)


def test_arms_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = '{"name": "npo", "share": 1, "unlearned": ["oz"], "upstream": "http://a"}'
    monkeypatch.setenv("UNRECALL_AB_ARMS", f"[{arm}]")
    (found,) = load_settings(None, {}).ab_arms
    assert found.forgotten == frozenset({"oz"})


def test_nothing_is_compared_and_an_arm_is_guarded_unless_said_otherwise() -> None:
    assert load_settings(None, {}).ab_arms == ()
    assert ArmSettings(name="b", share=0.1, model="m").forgotten is False
    assert "UNGUARDED" in (ArmSettings.model_fields["unlearned"].description or "")


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([{"share": 0.6}, {"name": "c", "share": 0.6}], "ab_arms: the arms' shares are 1.2 together; lower them"),
        ([{}, {}], "two arms are called 'b'"),
        ([{"name": GUARDED}], "'guarded' is the name of the gateway's own arm"),
        ([{"name": "../b"}], r"ab_arms\.0\.name"),
        ([{"share": 0}], r"ab_arms\.0\.share"),
        ([{"share": 1.5}], r"ab_arms\.0\.share"),
        ([{"model": None}], "arm 'b' needs either an upstream or a model"),
        ([{"upstream": "http://a"}], "arm 'b' needs either an upstream or a model, and not both"),
        ([{"unlearned": "yes"}], r"ab_arms\.0\.unlearned"),
        ([{"unlearned": 1}], r"ab_arms\.0\.unlearned"),
        ([{"unlearnt": True}], r"there is no setting 'ab_arms\.0\.unlearnt'"),
    ],
)
def test_bad_arms_are_refused_by_name(tmp_path: Path, arms: list[dict[str, object]], words: str) -> None:
    content = yaml.safe_dump({"ab_arms": [{"name": "b", "share": 0.5, "model": "m", **arm} for arm in arms]})
    with pytest.raises(SetupError, match=words):
        loaded(tmp_path, content)


def test_options_of_a_comparison_that_has_no_arms_are_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="ab_mode is given and no ab_arms"):
        loaded(tmp_path, "ab_mode: shadow")


def test_ten_tenths_are_a_whole(tmp_path: Path) -> None:
    arms = [{"name": f"arm{n}", "share": 0.1, "model": "m"} for n in range(10)]
    assert len(loaded(tmp_path, yaml.safe_dump({"ab_arms": arms})).ab_arms) == 10


def test_no_list_is_said_so_in_the_operators_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("ab_arms: npo")
    with pytest.raises(SetupError, match="ab_arms: give a list"):
        load_settings(file, {})
    monkeypatch.setenv("UNRECALL_AB_ARMS", '[{"name": ')
    with pytest.raises(SetupError, match=r"it is no JSON; write UNRECALL_AB_ARMS="):
        load_settings(None, {})
