"""The developer role, for templates that know it and for those that do not."""

import pytest

from gateway.core import Message
from gateway.prompts.roles import known_roles

KIND, BRIEF, ASKED = Message("system", "Be kind."), Message("developer", "Be brief."), Message("user", "Who?")
BRIEF_SYSTEM = Message("system", "Be brief.")


@pytest.mark.parametrize(
    ("messages", "known"),
    [
        ((BRIEF, ASKED), (BRIEF_SYSTEM, ASKED)),
        ((KIND, BRIEF, ASKED), (Message("system", "Be kind.\n\nBe brief."), ASKED)),
        ((ASKED, BRIEF), (BRIEF_SYSTEM, ASKED)),
        ((ASKED, KIND), (ASKED, KIND)),
        ((BRIEF, ASKED, Message("system", "")), (BRIEF_SYSTEM, ASKED)),
        ((ASKED,), (ASKED,)),
    ],
)
def test_a_template_without_the_role_gets_a_system_message(
    messages: tuple[Message, ...], known: tuple[Message, ...]
) -> None:
    assert known_roles(messages, "{{ messages }}") == known


@pytest.mark.parametrize("template", ["{% if m.role == 'developer' %}", '{% if m.role == "developer" %}'])
def test_a_template_with_the_role_gets_it(template: str) -> None:
    assert known_roles((KIND, BRIEF, ASKED), template) == (KIND, BRIEF, ASKED)
