"""The OpenAPI document, held against a running gateway by requests that are made of it (Schemathesis)."""

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from harness import MODEL, Gateway, Json, chat, completion, gateway_over
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tiny import tiny_model

from gateway.backends.embedded.backend import EmbeddedBackend
from gateway.openai_format.openapi import openapi
from gateway.server.surfaces import PATHS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
schema = schemathesis.openapi.from_dict(openapi())


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    backend = EmbeddedBackend(tiny_model(), name=MODEL, default_tokens=2)
    with gateway_over(backend, tmp_path_factory.mktemp("none"), limits={"output_tokens": 4, "choices": 2}) as served:
        yield served


@schema.parametrize()
@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_gateway_does_what_its_document_says(case: schemathesis.Case, gateway: Gateway) -> None:
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = MODEL  # else every request would be about a model that is not served
    case.call_and_validate(base_url=gateway.url, checks=CHECKS, timeout=60)


def test_the_document_is_served_and_names_every_path_of_prompts(gateway: Gateway) -> None:
    served = gateway.get("/openapi.json").json()
    assert served == openapi()
    assert set(PATHS) <= set(served["paths"])


def bodies(path: str) -> list[Json]:
    both = [{"stream": stream, "metadata": {"user_id": "b"}} for stream in (False, True)]
    if path.endswith("count_tokens"):
        return [{"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}]
    if path.endswith("messages"):
        turns = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        return [{"model": MODEL, "max_tokens": 2, "messages": turns, "top_k": 3, **more} for more in both]
    if path.endswith("responses"):
        return [{"model": MODEL, "max_output_tokens": 2, "input": "Hello", **more} for more in both]
    ask = chat if "chat" in path else completion
    return [ask("Hello", max_tokens=2, store=False, top_k=3, **more) for more in both]


@pytest.mark.parametrize("path", PATHS)
def test_the_document_takes_what_the_gateway_takes(gateway: Gateway, path: str) -> None:
    operation = schema[path]["POST"]
    for body in bodies(path):
        case = operation.Case(body=body, media_type="application/json")
        answer = case.call(base_url=gateway.url)
        assert answer.status_code == 200
        case.validate_response(answer, checks=CHECKS)


def test_a_refused_field_is_refused_and_described(gateway: Gateway) -> None:
    described = openapi()["paths"]["/v1/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert described["properties"]["suffix"]["enum"] == [None, ""]
    for value, status in (("", 200), (None, 200), ("x", 400)):
        answer = httpx.post(
            f"{gateway.url}/v1/completions", json=completion("Hello", max_tokens=1, suffix=value), timeout=60
        )
        assert answer.status_code == status
