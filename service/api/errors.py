"""Errors on the wire: RFC 9457 problems, and the one table from error class to HTTP status."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from service import errors
from service.api.query_check import query_names
from service.api.schemas import Problem

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_QUOTED = 80
_MOST_ERRORS = 50

STATUSES: Mapping[type[errors.BatchlensError], int] = {
    errors.NotFound: 404,
    errors.InvalidRequest: 422,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.RangeNotSatisfiable: 416,
    errors.SampleError: 422,
    errors.SampleChanged: 409,
    errors.SampleUnavailable: 503,
    errors.VersionGone: 409,
    errors.InvalidDataset: 409,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.ForeignHost: 400,
    errors.ForeignOrigin: 403,
    errors.MissingToken: 401,
    errors.WritesForbidden: 403,
}
"""A class that is not listed answers as its nearest listed ancestor."""

_TOLD_BY: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "How to prove who asks."},
    415: {"Accept": "The media types that are read."},
    416: {"Content-Range": "The file's length, as `bytes */LENGTH`."},
    503: {"Retry-After": "Seconds after which to try again."},
}


def status_of(kind: type[errors.BatchlensError]) -> int:
    """Gives the HTTP status of an error class; 500 where the table says nothing."""
    return next((STATUSES[each] for each in kind.__mro__ if each in STATUSES), 500)


def problem_response(error: errors.BatchlensError) -> Response:
    """Turns an error into its problem document."""
    return _respond(status_of(type(error)), error.code, error.detail, error.facts, _headers(error))


def _headers(error: errors.BatchlensError) -> dict[str, str]:
    match error:
        case errors.Unavailable(retry_after_seconds=seconds):
            return {"Retry-After": str(seconds)}
        case errors.SampleUnavailable():
            return {"Retry-After": "1"}
        case errors.MissingToken():
            return {"WWW-Authenticate": 'Bearer realm="batchlens"'}
        case errors.MethodNotAllowed(facts={"allowed": list(names)}) | errors.UnsupportedMediaType(facts={"accepted": list(names)}):
            return {"Allow" if isinstance(error, errors.MethodNotAllowed) else "Accept": ", ".join(names)}
        case errors.RangeNotSatisfiable(facts={"size": size}):
            return {"Content-Range": f"bytes */{size}"}
        case _:
            return {}


def problems(*kinds: type[errors.BatchlensError]) -> dict[int | str, dict[str, Any]]:
    """Describes failures for OpenAPI, with one example for each error class.

    Args:
        *kinds: error classes that a route can answer with; every route can also refuse a foreign host, a foreign page or a bad parameter, and fail.
    """
    described: dict[int | str, dict[str, Any]] = {}
    shared: list[type[errors.BatchlensError]] = [errors.InvalidParameter, errors.ForeignHost, errors.ForeignOrigin, errors.InternalError]
    if errors.UnknownDataset in kinds:
        shared.append(errors.DatasetUnavailable)  # Whoever names a dataset may name one that cannot be listed.
    for kind in [*kinds, *shared]:
        status, text = status_of(kind), (kind.__doc__ or "").strip()
        entry = described.setdefault(status, _describe_status(status))
        example = {"type": "about:blank", "title": _title(status), "status": status, "detail": text, "code": kind.code}
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {"summary": text, "value": example}
    return described


def _describe_status(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}, "examples": {}}}
    headers = {name: {"schema": {"type": "string"}, "description": text, "required": True} for name, text in _TOLD_BY.get(status, {}).items()}
    return {"description": _title(status), "content": content, **({"headers": headers} if headers else {})}


def install_error_handlers(app: FastAPI) -> None:
    """Makes every foreseen failure of the app a problem document; `service.api.middleware.envelope` does so for the others."""
    app.add_exception_handler(errors.BatchlensError, _on_batchlens_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def unexpected_response(method: str, path: str, exc: Exception) -> Response:
    """Logs what nobody foresaw, and turns it into a problem document that hides it."""
    _LOG.error("%s %s failed", method, quote(path), exc_info=exc)
    return problem_response(errors.InternalError("The service met an error of its own; the log has the details."))


async def _on_batchlens_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, errors.BatchlensError)  # noqa: S101  Starlette's signature says Exception
    if status_of(type(exc)) == 500:
        return unexpected_response(request.method, request.scope["path"], exc)
    return problem_response(exc)


async def _on_validation_error(request: Request, exc: Exception) -> Response:
    """Explain each error once: FastAPI reports it for every dependency that led to it."""
    assert isinstance(exc, RequestValidationError)  # noqa: S101
    reported = exc.errors()
    if any(each["loc"] == ("body",) and isinstance(each.get("input"), bytes) for each in reported):
        return problem_response(_unsupported(request))
    explained = [_explain(each) for each in reported]
    found = [each for position, each in enumerate(explained) if each not in explained[:position]][:_MOST_ERRORS]
    detail = "; ".join(f"{each['where']}: {each['message']}" + (f" (got {each['value']})" if each["value"] else "") for each in found)
    facts: dict[str, object] = {"errors": found}
    if any(_is_unknown(each) for each in reported):
        known = sorted(query_names(request.scope["route"]))
        facts["known"] = known
        detail += f". Known parameters: {', '.join(known) or 'none'}."
    return _respond(422, errors.InvalidParameter.code, detail, facts, {})


def _unsupported(request: Request) -> errors.BatchlensError:
    """Describe a body that FastAPI left as bytes, since its media type is not JSON."""
    media_type = request.headers.get("content-type")
    came = f"This body is {media_type[:_QUOTED]!r}" if media_type else "This body does not say what it is"
    return errors.UnsupportedMediaType(f"{came}. Send JSON, with the header 'Content-Type: application/json'.", accepted=["application/json"])


def _is_unknown(error: Mapping[str, Any]) -> bool:
    return bool(error["type"] == "extra_forbidden" and error["loc"][0] == "query")


async def _on_http_exception(request: Request, exc: Exception) -> Response:
    """Answers what Starlette and FastAPI refuse of their own accord."""
    assert isinstance(exc, HTTPException)  # noqa: S101
    if isinstance(exc.__cause__, errors.BatchlensError):
        return problem_response(exc.__cause__)
    path = request.scope["path"]
    if exc.status_code == 404:
        return problem_response(errors.UnknownPage(f"Nothing answers at {path!r}. See /docs for what does."))
    if exc.status_code == 400:
        return problem_response(errors.InvalidParameter("body: It cannot be read as JSON."))
    if exc.status_code == 405:
        allowed = _allowed_methods(request) or sorted((exc.headers or {})["Allow"].split(", "))
        return problem_response(errors.MethodNotAllowed(f"{path!r} does not answer {request.method}, only {', '.join(allowed)}.", allowed=allowed))
    return _respond(exc.status_code, f"http-{exc.status_code}", str(exc.detail), {}, dict(exc.headers or {}))


def _allowed_methods(request: Request) -> list[str]:
    """Lists what a path's routes answer; empty where it lies in a mounted application, which has to know. Starlette names the first route's methods alone."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    found = {
        each for each in ("GET", "PUT", "POST", "PATCH", "DELETE") if any(route.matches({**request.scope, "method": each})[0] is Match.FULL for route in routes)
    }
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _explain(error: Mapping[str, Any]) -> dict[str, str]:
    """Says where and why a value was refused, and quotes it."""
    where, message, value = error["loc"], error["msg"], _shorten(error.get("input"))
    if error["type"] == "json_invalid":
        where, message, value = where[:1], f"It is no JSON: {error['ctx']['error']} at position {where[1]}", ""
    elif _is_unknown(error):
        message = "There is no such parameter"
    return {"where": ".".join(map(str, where))[:_QUOTED], "message": message, "value": value}


def _respond(status: int, code: str, detail: str, facts: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    body = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail, "code": code}
    return _ProblemResponse({**facts, **body}, status, headers)


class _ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE

    def render(self, content: object) -> bytes:
        """Writes JSON; a lone surrogate, which a body may hold and UTF-8 may not, becomes a question mark."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def _title(status: int) -> str:
    return HTTPStatus(status).phrase


def _shorten(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}…"
