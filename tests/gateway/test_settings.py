"""Settings: who wins, and that no misspelt one is ever quietly ignored."""

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SetupError
from gateway.settings import load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("UNRECALL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_without_anything_the_server_is_local_and_fails_closed() -> None:
    settings = load_settings(None, {})
    assert (settings.backend, settings.host, settings.port) == ("embedded", "127.0.0.1", 8000)
    assert settings.on_screen_error == "refuse"
    assert not settings.audit_prompts
    assert settings.limits.choices == 16


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("port: 1\nslots: 1\nqueue: 1\n")
    monkeypatch.setenv("UNRECALL_PORT", "2")
    monkeypatch.setenv("UNRECALL_SLOTS", "2")
    settings = load_settings(file, {"port": 3, "slots": None, "host": None})
    assert (settings.port, settings.slots, settings.queue) == (3, 2, 1)
    assert settings.host == "127.0.0.1"


def test_nested_settings_come_together_from_all_places(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("limits: {messages: 5, choices: 6}\n")
    monkeypatch.setenv("UNRECALL_LIMITS__CHOICES", "7")
    limits = load_settings(file, {}).limits
    assert (limits.messages, limits.choices, limits.output_tokens) == (5, 7, 32_768)


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_PORT", "")
    assert load_settings(None, {}).port == 8000


def test_keys_are_lists_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_API_KEYS", '["first", "second"]')
    monkeypatch.setenv("UNRECALL_ADMIN_KEY", "boss")
    settings = load_settings(None, {})
    assert [key.get_secret_value() for key in settings.api_keys] == ["first", "second"]
    assert not {"first", "second", "boss"} & set(repr(settings).replace("'", " ").split())
    assert "boss" not in repr(settings)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("prot: 1", "prot"),
        ("limits: {mesages: 1}", "mesages"),
        ("port: 99999", "port"),
        ("port: many", "port"),
        ("port: 1" + "0" * 5000, "line 1: it holds too large a number"),
        ("queue: 18446744073709551616", "line 1: it holds too large a number"),
        ("equal_pace_ms: .inf", "equal_pace_ms"),
        ("backend: magic", "backend"),
        ("on_screen_error: ignore", "on_screen_error: 'ignore' is none of 'refuse' or 'pass'; write one of them"),
        ("metrics: opn", r"metrics: 'opn' is none of 'admin' or 'open'; did you mean open\?"),
        ("limits: {choices: 0}", "limits.choices"),
        ("api_keys: ['']", "api_keys"),
        ("admin_key: ''", "admin_key"),
        ("api_keys: []", "api_keys is given and empty"),
        ("api_keys:", "api_keys is given and empty"),
        ("api_keys: ''", "api_keys is given and empty"),
        ("api_keys: ['  ']", "api_keys.0: a key has white space around it"),
        ('api_keys: ["abc\\n"]', "api_keys.0: a key has white space around it"),
        ("api_keys: [~]", "api_keys.0"),
        ("api_keys: [1234]", "api_keys.0: .*quote it"),
        ("api_keys: [[a]]", "api_keys.0: .*give one text"),
        ("api_keys: abc", r"api_keys: give a list, as in `api_keys: \[first, second\]`"),
        ("api_keys: {a: b}", "api_keys: give a list"),
        ("api_key: abc", r"no setting 'api_key'; did you mean api_keys\? Give it as `api_keys: \[first, second\]`"),
        ("api-keys: [abc]", r"did you mean api_keys\?"),
        ("admin_keys: abc", r"did you mean admin_key\?"),
        ("adapter_weights: 1", r"adapter_weights: give a list, as in `adapter_weights: \[0.5, 1.0\]`"),
        ("admin_key:", "admin_key is given and empty"),
        ("admin_key: ' '", "admin_key is given and empty"),
        ("admin_key: 1234", "admin_key: .*quote it"),
        ("upstream_key: ''", "upstream_key is given and empty"),
        ("upstream_key: ~", "upstream_key is given and empty"),
        ("ab_arms: [{name: b, share: 1, upstream: 'http://a', upstream_key: ''}]", "ab_arms.0: upstream_key is given"),
        ("ab_arms: [{name: b, share: 1, upstream: 'http://a', upstream_key: }]", "ab_arms.0: upstream_key is given"),
        ("port: 1\nslots: 1\nport: 2", "line 3: the key 'port' stands twice, first in line 1"),
        ("api_keys: [a]\napi_keys: []", "line 2: the key 'api_keys' stands twice"),
        ("limits: {choices: 1, choices: 2}", "'choices' stands twice"),
        ("ab_arms:\n- name: b\n  share: 1\n  share: 2", "line 4: the key 'share' stands twice"),
        ("admin_key: a\nADMIN_KEY: b", "ADMIN_KEY"),
        ("lora_strengths: [1]", "no setting 'lora_strengths'; its name is adapter_weights now"),
        ("slots: 0", "slots"),
        ("screen_timeout_s: 0", "screen_timeout_s"),
        ("screen_timeout_s: .inf", "screen_timeout_s"),
        ("client_timeout_s: .nan", "client_timeout_s"),
        ("- a", "must hold a mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_bad_file_is_refused_by_key(file: Path, content: str, words: str) -> None:
    file.write_text(content)
    with pytest.raises(SetupError, match=words):
        load_settings(file, {})


def test_an_empty_file_is_no_settings_and_a_missing_one_is_said(file: Path, tmp_path: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load_settings(file, {}).port == 8000
    for unreadable in (tmp_path / "gone.yaml", tmp_path):
        with pytest.raises(SetupError, match="cannot read the settings file"):
            load_settings(unreadable, {})


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("UNRECALL_PROT", "1", "UNRECALL_PROT is no setting"),
        ("UNRECALL_LIMIT__CHOICES", "1", "UNRECALL_LIMIT__CHOICES is no setting"),
        ("UNRECALL_LIMITS__CHOISES", "1", "choises"),
        ("UNRECALL_PORT", "x", "port"),
        (
            "UNRECALL_API_KEYS",
            "a secret",
            """no JSON; write UNRECALL_API_KEYS='\\["first", "second"\\]'""",
        ),
        ("UNRECALL_API_KEYS", '"a secret"', r"give a list, as in .* or UNRECALL_API_KEYS='\["),
        ("UNRECALL_API_KEY", "a secret", r"no setting; did you mean api_keys\? .*UNRECALL_API_KEYS="),
        ("UNRECALL_PORT", "1" + "0" * 5000, "port is too large a number"),
        ("UNRECALL_QUEUE", "18446744073709551616", "queue is too large a number"),
        ("UNRECALL_LIMITS", '{"messages": 1' + "0" * 400 + "}", "limits.messages is too large a number"),
        ("UNRECALL_LIMITS", '{"messages": 1' + "0" * 5000 + "}", "limits: .*it holds too large a number"),
        ("UNRECALL_LIMITS", '{"messages": 1e999}', "limits: .*it holds too large a number"),
        ("UNRECALL_API_KEYS", "", "UNRECALL_API_KEYS is given and empty.*unset the variable"),
        ("UNRECALL_API_KEYS", " ", "UNRECALL_API_KEYS is given and empty"),
        ("UNRECALL_API_KEYS", "[]", "api_keys is given and empty"),
        ("UNRECALL_API_KEYS", "null", "UNRECALL_API_KEYS is given and empty"),
        ("UNRECALL_API_KEYS", '[""]', "api_keys.0"),
        ("UNRECALL_ADMIN_KEY", "", "UNRECALL_ADMIN_KEY is given and empty"),
        ("UNRECALL_ADMIN_KEY", " boss\n", "admin_key: a key has white space"),
        ("UNRECALL_UPSTREAM_KEY", "\t", "UNRECALL_UPSTREAM_KEY is given and empty"),
        ("unrecall_admin_key", "", "unrecall_admin_key is given and empty"),
        ("unrecall_prot", "1", "unrecall_prot is no setting"),
        ("UNRECALL_LORA_STRENGTHS", "[1]", "UNRECALL_LORA_STRENGTHS is no setting; its name is adapter_weights now"),
        ("UNRECALL_LIMITS", '{"choices": 1, "choices": 2}', "'choices' stands twice"),
        (
            "UNRECALL_AB_ARMS",
            '[{"name": "b", "share": 1, "upstream": "x", "upstream_key": ""}]',
            "upstream_key is given",
        ),
        ("UNRECALL_AB_ARMS", '[{"name": "b", "name": "c", "share": 1, "upstream": "x"}]', "'name' stands twice"),
    ],
)
def test_a_bad_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SetupError, match=words) as error:
        load_settings(None, {})
    assert "a secret" not in str(error.value)
    assert "sys.set_int" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("UNRECALL_ADMIN_KEY", "one"), ("unrecall_admin_key", "two")),
        (("UNRECALL_API_KEYS", '["one"]'), ("Unrecall_Api_Keys", '["two"]')),
        (("UNRECALL_LIMITS", '{"choices": 3}'), ("UNRECALL_LIMITS__CHOICES", "4")),
    ],
)
def test_one_setting_in_two_variables_is_refused(
    monkeypatch: pytest.MonkeyPatch, first: tuple[str, str], second: tuple[str, str]
) -> None:
    monkeypatch.setenv(*first)
    load_settings(None, {})
    monkeypatch.setenv(*second)
    with pytest.raises(SetupError, match=rf"{first[0]}.*{second[0]}|{second[0]}.*{first[0]}"):
        load_settings(None, {})


def test_a_part_of_a_nested_setting_may_stand_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_LIMITS", '{"choices": 3}')
    monkeypatch.setenv("UNRECALL_LIMITS__MESSAGES", "4")
    limits = load_settings(None, {}).limits
    assert (limits.choices, limits.messages) == (3, 4)


def test_a_list_of_keys_in_pieces_never_opens_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_API_KEYS__0", "one")
    with pytest.raises(SetupError, match="api_keys"):
        load_settings(None, {})


def test_a_file_with_a_mark_and_merged_keys_is_read(file: Path) -> None:
    file.write_bytes("\ufeffport: 7\r\nlimits: &l {choices: 3}\r\n".encode())
    assert load_settings(file, {}).port == 7


def test_variables_of_others_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNRECALL_CACHE", "/tmp/x")  # noqa: S108 (never used)
    monkeypatch.setenv("PORT", "1")
    assert load_settings(None, {}).port == 8000


def test_an_upstream_that_nobody_would_ask_is_refused() -> None:
    with pytest.raises(SetupError, match="only the vllm backend asks it: add --backend vllm"):
        load_settings(None, {"upstream": "http://x"})


def test_a_device_that_the_runtime_would_not_use_is_refused() -> None:
    with pytest.raises(SetupError, match="openvino computes on the CPU alone: set encoder_runtime to torch"):
        load_settings(None, {"encoder_device": "cuda:1"})
    assert load_settings(None, {"encoder_device": "cuda:1", "encoder_runtime": "torch"}).encoder_device == "cuda:1"


@pytest.mark.parametrize("given", [{"backend": "vllm"}, {"backend": "vllm", "upstream": ""}])
def test_vllm_without_an_upstream_says_what_to_give(given: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match="--upstream http://HOST:PORT"):
        load_settings(None, given)
    assert load_settings(None, {**given, "upstream": "http://x"}).upstream == ("http://x",)
    assert load_settings(None, {**given, "upstream": "http://x, http://y"}).upstream == ("http://x", "http://y")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("http://10.0.0.5:8000/v1", "http://10.0.0.5:8000"),
        ("http://10.0.0.5:8000/v1/", "http://10.0.0.5:8000"),
        ("http://10.0.0.5:8000/", "http://10.0.0.5:8000"),
        ("10.0.0.5:8000", "http://10.0.0.5:8000"),
        ("gpu-1:8000/v1", "http://gpu-1:8000"),
        ("gpu-1", "http://gpu-1"),
        ("HTTPS://models.example", "https://models.example"),
        ("https://models.example/team/v1", "https://models.example/team"),
        ("http://[::1]:8000/v1", "http://[::1]:8000"),
        ("[fd00::1]:8000", "http://[fd00::1]:8000"),
    ],
)
def test_an_upstreams_address_as_people_write_it(given: str, used: str) -> None:
    assert load_settings(None, {"backend": "vllm", "upstream": given}).upstream == (used,)
    arm = {"name": "b", "share": 0.5, "upstream": f"{given}, other:1"}
    assert load_settings(None, {"ab_arms": [arm]}).ab_arms[0].upstream == (used, "http://other:1")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ftp://gpu-1", "no base URL"),
        ("http:/gpu-1", "no base URL"),
        ("http:gpu-1:8000", "no"),
        ("http://", "no base URL"),
        ("://gpu-1", "no base URL"),
        ("http://gpu-1:80000", "no URL"),
        ("http://gpu-1:eight", "no URL"),
        ("::1:8000", "no"),
        ("http://gpu-1/?key=a", "no base URL"),
        ("http://gpu-1/#v1", "no base URL"),
        ("http://gpu 1", "no"),
    ],
)
def test_an_upstreams_address_that_is_none(given: str, words: str) -> None:
    with pytest.raises(SetupError, match=f"upstream: .*{words}.*http://HOST:PORT"):
        load_settings(None, {"backend": "vllm", "upstream": given})


def test_an_upstreams_address_holds_no_password() -> None:
    for given in ("http://me:secret@gpu-1", "me:secret@gpu-1:8000", "http://secret@gpu-1:eight"):
        with pytest.raises(SetupError, match="upstream_key") as error:
            load_settings(None, {"backend": "vllm", "upstream": given})
        assert "secret" not in str(error.value)


def test_origins_of_web_pages() -> None:
    assert load_settings(None, {}).cors_origins == ()
    given = "https://App.example/, http://localhost:3000"
    assert load_settings(None, {"cors_origins": given}).cors_origins == ("https://app.example", "http://localhost:3000")
    assert load_settings(None, {"cors_origins": ["*"]}).cors_origins == ("*",)
    for wrong in ("app.example", "https://app.example/page", "null", "https://"):
        with pytest.raises(SetupError, match=r"cors_origins: .*https://HOST"):
            load_settings(None, {"cors_origins": wrong})


def test_an_ipv6_host_may_stand_in_brackets() -> None:
    assert load_settings(None, {"host": "[::1]"}).host == load_settings(None, {"host": "::1"}).host == "::1"
