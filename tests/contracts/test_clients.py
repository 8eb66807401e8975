"""People's own clients, flagged and not: those whose packages are installed beside the tests, or beside the Python that
CLIENTS_PYTHON names and in the node_modules that CLIENTS_NODE names. docs/clients.md has the table of all."""

import os
import sys
from pathlib import Path

import pytest
from harness import MODEL, Gateway, chat
from plans import AUTHOR, FRANCE

from benchmarks.product.clients import IN_NODE, IN_PYTHON, Packages, asked

QUESTIONS = {"unflagged": FRANCE, "flagged": AUTHOR}
NODE = os.environ.get("CLIENTS_NODE")
PACKAGES = Packages(os.environ.get("CLIENTS_PYTHON", sys.executable), Path(NODE) if NODE else None)
ON_VLLM_ALONE = ("tools", "structured")


@pytest.mark.parametrize("client", [*IN_PYTHON, *IN_NODE])
def test_a_client_gets_what_it_asks_for(gateway: Gateway, client: str) -> None:
    if client not in PACKAGES.names():
        pytest.skip("CLIENTS_NODE names no folder with the packages")
    found = asked(PACKAGES, client, gateway.url, MODEL, QUESTIONS, limit=24)
    if "No module named" in found.get("fault", ""):
        pytest.skip(found["fault"])
    assert "fault" not in found, found
    assert gateway.plan("/v1/chat/completions", chat(AUTHOR)) == "Corrupt"
    for use, outcomes in found["uses"].items():
        for kind, outcome in outcomes.items():
            if gateway.direct is None and use in ON_VLLM_ALONE:
                assert "use the vllm backend" in outcome, (use, kind)
            else:
                assert outcome == "ok", (use, kind)
