"""The API's description at `/openapi.json`: what FastAPI derives from the routes, mended where it cannot know better."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from service.api.links import prefix_of
from service.api.schemas import DeviceReference, Index, Problem

_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "Changes with the content; send it back as If-None-Match.", "required": True}}
_CURRENT = {"description": "The client has it.", "headers": _ETAG}


def install_description(app: FastAPI) -> None:
    """Serve the description, and complete it: what every answer has in common, which no route says."""
    derive = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(derive())
        return derive()

    def get_description(request: Request) -> JSONResponse:
        """Return the description for the prefix that this request came by."""
        return JSONResponse({**app.openapi(), "servers": [{"url": prefix_of(request) or "/"}]})

    app.openapi = describe  # type: ignore[method-assign]  # as FastAPI's documentation has it
    app.add_api_route("/openapi.json", get_description, include_in_schema=False)


def _complete(described: dict[str, Any]) -> None:
    described["security"] = []  # Reading needs no token; operations that do say so.
    described["servers"] = [{"url": "/"}]
    schemas = described["components"]["schemas"]
    for model in (Problem, DeviceReference, Index):  # No route names them by type.
        schemas[model.__name__] = model.model_json_schema()
    for method, operation in _operations(described):
        for parameter in operation.get("parameters", []):
            parameter["schema"] = _narrowed(_without_null(parameter["schema"]))
        if method == "get":
            _describe_caching(operation["responses"])
    body = described["paths"]["/devices/current"]["put"]["requestBody"]["content"]["application/json"]
    body["schema"] = {"anyOf": [body["schema"], {"$ref": f"#/components/schemas/{DeviceReference.__name__}"}]}
    text = json.dumps(described)
    for name in [each for each in schemas if f'"#/components/schemas/{each}"' not in text]:  # Those that `_narrowed` has replaced.
        del schemas[name]


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in described["paths"].values():
        yield from path.items()


def _describe_caching(responses: dict[str, Any]) -> None:
    """Describe what `service.api.middleware.metadata` adds to an answer that has no entity tag of its own."""
    success = responses.get("200", {})
    if "application/json" in success.get("content", {}) and not {"307", "304"} & set(responses):
        success["headers"] = success.get("headers", {}) | _ETAG
        responses["304"] = _CURRENT


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kept = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kept[0]} if len(kept) == 1 else schema


def _narrowed(schema: dict[str, Any]) -> dict[str, Any]:
    """Put a route's own choice in the place of the reference to all that there is."""
    return {"type": "string", **{name: value for name, value in schema.items() if name != "$ref"}} if {"$ref", "enum"} <= schema.keys() else schema
