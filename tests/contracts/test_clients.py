"""People's own clients, flagged and not: those whose packages are installed beside the tests. docs/clients.md has the
others, measured by `benchmarks.product.clients`."""

import sys
from importlib.util import find_spec

import pytest
from harness import MODEL, Gateway, chat
from plans import AUTHOR, FRANCE

from benchmarks.product.clients import IN_PYTHON, Packages, asked

QUESTIONS = {"unflagged": FRANCE, "flagged": AUTHOR}
MODULES = {
    "openai-responses": "openai",
    "openai-agents": "agents",
    "langchain-openai": "langchain_openai",
    "langchain-anthropic": "langchain_anthropic",
    "llama-index": "llama_index",
    "pydantic-ai": "pydantic_ai",
}
ON_VLLM_ALONE = ("tools", "structured")


@pytest.mark.parametrize("client", IN_PYTHON)
def test_a_client_gets_what_it_asks_for(gateway: Gateway, client: str) -> None:
    module = MODULES.get(client, client)
    if find_spec(module) is None:
        pytest.skip(f"the package of {module!r} is not installed")
    plans = {kind: gateway.plan("/v1/chat/completions", chat(text)) for kind, text in QUESTIONS.items()}
    assert plans == {"unflagged": "Pass", "flagged": "Corrupt"}
    found = asked(Packages(sys.executable), client, gateway.url, MODEL, QUESTIONS)
    assert "fault" not in found, found
    for use, outcomes in found["uses"].items():
        for kind, outcome in outcomes.items():
            if gateway.direct is None and use in ON_VLLM_ALONE:
                assert "use the vllm backend" in outcome, (use, kind)
            else:
                assert outcome == "ok", (use, kind)
