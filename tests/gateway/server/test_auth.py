"""Who may ask, and who may look inside."""

import pytest
from pydantic import SecretStr

from gateway.errors import Unauthorized
from gateway.server.auth import ADMIN_HEADER, Access

KEYS = [SecretStr("first"), SecretStr("second")]


@pytest.mark.parametrize("value", ["Bearer first", "Bearer second", "bearer second", "BEARER  first "])
def test_any_of_the_keys_opens(value: str) -> None:
    Access(api_keys=KEYS).check_client({"authorization": value})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "first"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer firs"},
        {"authorization": "Bearer first second"},
        {"authorization": "Bearer FIRST"},
        {"authorization": "Basic first"},
        {"authorization": "Bearer \xff\u20ac"},
        {ADMIN_HEADER: "boss"},
        {"x-api-key": "firs"},
    ],
)
def test_anything_else_does_not(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as error:
        Access(api_keys=KEYS, admin_key=SecretStr("boss")).check_client(headers)
    assert error.value.status == 401
    assert error.value.code == "invalid_api_key"
    assert "first" not in error.value.message


def test_without_keys_anyone_may_ask() -> None:
    Access().check_client({})
    Access(admin_key=SecretStr("boss")).check_client({"authorization": "Bearer whatever"})


@pytest.mark.parametrize(("offered", "admin"), [("boss", True), ("bos", False), ("", False), ("first", False)])
def test_only_the_admin_key_makes_an_admin(offered: str, admin: bool) -> None:
    access = Access(api_keys=KEYS, admin_key=SecretStr("boss"))
    assert access.is_admin({ADMIN_HEADER: offered}) is admin


def test_without_an_admin_key_nobody_is_admin() -> None:
    access = Access(api_keys=KEYS)
    assert not access.is_admin({ADMIN_HEADER: ""})
    assert not access.is_admin({})


def test_anthropics_clients_send_their_key_in_a_header_of_their_own() -> None:
    access = Access(api_keys=[SecretStr("k")])
    access.check_client({"x-api-key": "k"})
    with pytest.raises(Unauthorized):
        access.check_client({"x-api-key": "other"})
    with pytest.raises(Unauthorized):
        access.check_client({"authorization": "Bearer other", "x-api-key": "k"})
    assert access.caller({"x-api-key": "k"}, "") == access.caller({"authorization": "Bearer k"}, "")
