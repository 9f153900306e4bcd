"""One rule for every query: a parameter that nothing reads, or that is given twice, is refused."""

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.datastructures import QueryParams
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import InvalidParameter


class QueryCheck:
    """Refuses what a route's query does not name. A dependency of the whole app, so that no route can forget it."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}

    async def __call__(self, request: Request) -> None:
        """Check the query of a request.

        Raises:
            RequestValidationError: a parameter is unknown or repeated. Unknown ones alone are left to the route's own model where it has one, which
                reports them together with whatever else is wrong.
        """
        if not request.scope["query_string"]:
            return
        given = request.query_params.multi_items()
        known = self._names(request.scope["route"])
        is_repeated = len({name for name, _ in given}) < len(given)
        if is_repeated or (given and not known):
            raise RequestValidationError(_list_errors(given, known))

    def _names(self, route: BaseRoute) -> frozenset[str]:
        """Return the known names; computed once, since a batch's route is asked thousands of times a second."""
        known = self._known.get(id(route))  # Routes live as long as the app.
        if known is None:
            known = self._known[id(route)] = query_names(route)
        return known


class WithoutQuery:
    """Refuses any query: static files have none.

    Args:
        app: the application to protect.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request without a query on.

        Raises:
            InvalidParameter: there is one.
        """
        if scope.get("query_string"):
            names = [name[:80] for name in QueryParams(scope["query_string"])]
            raise InvalidParameter(f"A file takes no parameters; there is {', '.join(map(repr, names[:10])) or 'a query'}.", known=[])
        await self._app(scope, receive, send)


def query_names(route: BaseRoute) -> frozenset[str]:
    """Return the names of all query parameters that an API route reads."""
    dependant: Dependant | None = getattr(route, "dependant", None)
    return frozenset(_iterate_names(dependant)) if dependant is not None else frozenset()


def _iterate_names(dependant: Dependant) -> Iterator[str]:
    for parameter in dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (field.alias or name for name, field in model.model_fields.items())
        else:
            yield parameter.alias
    for each in dependant.dependencies:
        yield from _iterate_names(each)


def _list_errors(given: list[tuple[str, str]], known: frozenset[str]) -> list[dict[str, Any]]:
    """Describe unknown and repeated parameters as pydantic describes errors."""
    values: dict[str, list[str]] = {}
    for name, value in given:
        values.setdefault(name, []).append(value)
    unknown = [_error("extra_forbidden", name, "", each[0]) for name, each in values.items() if name not in known]
    repeated = [
        _error("repeated", name, f"It is given {len(each)} times; give it once", each) for name, each in values.items() if len(each) > 1 and name in known
    ]
    return unknown + repeated


def _error(kind: str, name: str, message: str, value: object) -> dict[str, Any]:
    return {"type": kind, "loc": ("query", name), "msg": message, "input": value}
