"""The API's description at `/openapi.json`: what FastAPI derives from the routes, mended where it cannot know better."""

from typing import Any

from fastapi import FastAPI

from service.api.schemas import Problem


def install_description(app: FastAPI) -> None:
    """Describes problems, which no route returns by type; and takes null out of queries, which cannot carry it."""
    derive = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            described = derive()
            described["components"]["schemas"][Problem.__name__] = Problem.model_json_schema()
            for operation in (each for path in described["paths"].values() for each in path.values()):
                for parameter in operation.get("parameters", []):
                    parameter["schema"] = _without_null(parameter["schema"])
        return derive()

    app.openapi = describe  # type: ignore[method-assign]  # as FastAPI's documentation has it


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kept = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kept[0]} if len(kept) == 1 else schema
