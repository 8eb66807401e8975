"""The gateway's own OpenAPI document: what it takes and what it answers, made of the parsers' models and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from gateway.core import Endpoint
from gateway.openai_format.fields import DROPPED, NOTHING, READ, REFUSED, SAMPLING
from gateway.openai_format.messages import request as messages
from gateway.openai_format.requests import BODIES
from gateway.openai_format.responses import request as responses

__all__ = ["openapi"]

_Json = dict[str, Any]
_ERRORS = {
    "400": "The request itself is at fault; `param` names the field.",
    "401": "No valid API key.",
    "404": "The model is not served here.",
    "408": "The body did not come in time.",
    "413": "Over a limit of size.",
    "415": "The body is not plain JSON in UTF-8.",
    "429": "Too many requests, of this key or of all; `Retry-After` says when to try again.",
    "500": "The gateway failed.",
    "502": "The model server failed.",
    "503": "Nothing can be answered now.",
    "504": "The model server took too long.",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "minLength": 1},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
        }
    },
}
_ANTHROPIC_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string", "minLength": 1}},
        },
    },
}
_MESSAGE = {
    "type": "object",
    "required": ["id", "type", "role", "content", "model", "stop_reason", "usage"],
    "properties": {
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "content": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["type"]}},
    },
}
_COUNT = {
    "type": "object",
    "required": ["input_tokens"],
    "properties": {"input_tokens": {"type": "integer", "minimum": 0}},
}
_RESPONSE = {
    "type": "object",
    "required": ["id", "object", "created_at", "status", "model", "output", "usage"],
    "properties": {
        "object": {"const": "response"},
        "status": {"enum": ["completed", "incomplete"]},
        "output": {"type": "array", "items": {"type": "object", "required": ["id", "type"]}},
    },
}
_ANSWER = {
    "type": "object",
    "required": ["id", "object", "created", "model", "choices", "usage"],
    "properties": {
        "id": {"type": "string"},
        "created": {"type": "integer"},
        "model": {"type": "string"},
        "choices": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["index", "finish_reason"]},
        },
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {"id": {"type": "string"}, "object": {"const": "model"}, "created": {"type": "integer"}},
}
_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
}
_ID = {"x-request-id": {"description": "The gateway's id of the request.", "schema": {"type": "string"}}}


def openapi() -> _Json:
    """The document (OpenAPI 3.1). It says nothing of models, scopes or settings."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Unrecall", "version": "1", "description": "An OpenAI-compatible gateway."},
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"key": []}],
        "paths": {
            "/v1/chat/completions": {"post": _prompts("chat")},
            "/v1/completions": {"post": _prompts("completions")},
            "/v1/messages": {"post": _messages("Answers a conversation in Anthropic's format.", messages.Messages)},
            "/v1/messages/count_tokens": {"post": _messages("Counts a prompt's tokens.", messages.Counted)},
            "/v1/responses": {"post": _responses()},
            "/v1/models": {"get": _get("The models that may be asked.", _LIST, "401")},
            "/v1/models/{name}": {
                "get": {
                    **_get("One model.", _MODEL, "401", "404"),
                    "parameters": [
                        {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                    ],
                }
            },
            "/healthz": {"get": _get("The process lives.", {"type": "object", "required": ["alive"]})},
        },
    }


def _get(summary: str, schema: Mapping[str, Any], *errors: str) -> _Json:
    return {"summary": summary, "responses": {"200": _response(summary, schema), **_errors(*errors)}}


def _prompts(endpoint: Endpoint) -> _Json:
    answer = _response("The answer; with `stream`, events as they come.", _ANSWER)
    answer["content"]["text/event-stream"] = {}
    return {
        "summary": f"Answers a {'conversation' if endpoint == 'chat' else 'prompt'}.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _body(endpoint)}}},
        "responses": {"200": answer, **_errors(*_ERRORS)},
    }


def _messages(summary: str, model: type[BaseModel]) -> _Json:
    counts = model is messages.Counted
    answer = _response("The message; with `stream`, events as they come.", _COUNT if counts else _MESSAGE)
    if not counts:
        answer["content"]["text/event-stream"] = {}
    place = f"~1v1~1messages{'~1count_tokens' if counts else ''}"
    schema = model.model_json_schema(ref_template=_ref(place), by_alias=True)
    schema["properties"] |= _others(messages.REFUSED, messages.DROPPED)
    schema["additionalProperties"] = {"enum": [None]}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": answer, **{status: _response(_ERRORS[status], _ANTHROPIC_ERROR) for status in _ERRORS}},
    }


def _responses() -> _Json:
    answer = _response("The response; with `stream`, events as they come.", _RESPONSE)
    answer["content"]["text/event-stream"] = {}
    schema = responses.Response.model_json_schema(ref_template=_ref("~1v1~1responses"), by_alias=True)
    items = schema["properties"]["input"]
    schema["properties"] |= _others(responses.REFUSED, responses.DROPPED)
    schema["properties"]["input"] = {"anyOf": [{"type": "string"}, items]}
    schema["additionalProperties"] = {"enum": [None]}
    return {
        "summary": "Answers in the format of OpenAI's Responses.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": answer, **_errors(*_ERRORS)},
    }


def _others(refused: Mapping[str, str], dropped: Sequence[str]) -> _Json:
    idle = {name: {"enum": [None], "description": why} for name, why in refused.items()}
    return {**idle, **{name: {"description": "is dropped"} for name in dropped}}


def _ref(place: str) -> str:
    return f"#/paths/{place}/post/requestBody/content/application~1json/schema/$defs/{{model}}"


def _response(description: str, schema: Mapping[str, Any]) -> _Json:
    return {"description": description, "headers": _ID, "content": {"application/json": {"schema": dict(schema)}}}


def _errors(*statuses: str) -> _Json:
    return {status: _response(_ERRORS[status], _ERROR) for status in statuses}


def _body(endpoint: Endpoint) -> _Json:
    """The parser's model, and the fields that are taken if they ask for nothing (docs/requests.md)."""
    model: type[BaseModel] = BODIES[endpoint]
    schema = model.model_json_schema(ref_template=f"#/paths/{_PLACES[endpoint]}/$defs/{{model}}")
    fields = schema["properties"]
    idle = {name: {"enum": [None, *NOTHING.get(name, ())], "description": why} for name, why in REFUSED.items()}
    books: _Json = {name: {"description": "is dropped"} for name in DROPPED}
    unread: _Json = {
        name: {"enum": [None]} for name in {*READ["chat"], *READ["completions"], *SAMPLING} - fields.keys()
    }
    schema["properties"] = {**idle, **books, **unread, **fields}
    schema["additionalProperties"] = {"enum": [None, {}, [], ""]}
    return schema


_PLACES = {
    name: f"~1v1~1{path}/post/requestBody/content/application~1json/schema"
    for name, path in (("chat", "chat~1completions"), ("completions", "completions"))
}
