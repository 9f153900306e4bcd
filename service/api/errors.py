"""Errors on the wire: RFC 9457 problems, and the one table from error class to HTTP status."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from service import errors
from service.api.schemas import Problem

_LOG = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"

STATUSES: Mapping[type[errors.BatchlensError], int] = {
    errors.NotFound: 404,
    errors.InvalidRequest: 422,
    errors.NotAcceptable: 406,
    errors.SampleError: 422,
    errors.SampleChanged: 409,
    errors.VersionGone: 409,
    errors.Unavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.ForeignHost: 400,
    errors.MissingToken: 401,
    errors.WritesForbidden: 403,
}
"""A class that is not listed answers as its nearest listed ancestor."""


def status_of(kind: type[errors.BatchlensError]) -> int:
    """Gives the HTTP status of an error class; 500 where the table says nothing."""
    return next((STATUSES[each] for each in kind.__mro__ if each in STATUSES), 500)


def problem_response(error: errors.BatchlensError) -> Response:
    """Turns an error into its problem document."""
    headers = {}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.MissingToken):
        headers["WWW-Authenticate"] = 'Bearer realm="batchlens"'
    return _respond(status_of(type(error)), error.code, error.detail, error.facts, headers)


def problems(*kinds: type[errors.BatchlensError]) -> dict[int | str, dict[str, Any]]:
    """Describes failures for OpenAPI, with one example for each error class.

    Args:
        *kinds: error classes that a route can answer with; every route can also refuse a foreign host or a bad parameter.
    """
    described: dict[int | str, dict[str, Any]] = {}
    described_kinds: list[type[errors.BatchlensError]] = [*kinds, errors.InvalidParameter, errors.ForeignHost]
    for kind in described_kinds:
        status = status_of(kind)
        entry = described.setdefault(status, {"model": Problem, "description": _title(status), "content": {MEDIA_TYPE: {"examples": {}}}})
        example = {"type": "about:blank", "title": _title(status), "status": status, "detail": (kind.__doc__ or "").strip(), "code": kind.code}
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {"summary": (kind.__doc__ or "").strip(), "value": example}
    return described


def install_error_handlers(app: FastAPI) -> None:
    """Makes every failure of the app a problem document."""
    app.add_exception_handler(errors.BatchlensError, _on_batchlens_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)


def _on_batchlens_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, errors.BatchlensError)  # noqa: S101  Starlette's signature says Exception
    if status_of(type(exc)) == 500:
        return _on_unexpected(request, exc)
    return problem_response(exc)


def _on_validation_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)  # noqa: S101
    found = [{"where": ".".join(map(str, each["loc"])), "message": each["msg"], "value": _shorten(each.get("input"))} for each in exc.errors()]
    detail = "; ".join(f"{each['where']}: {each['message']} (got {each['value']})" for each in found)
    return _respond(422, errors.InvalidParameter.code, detail, {"errors": found}, {})


def _on_http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101
    if exc.status_code == 404:
        return problem_response(errors.UnknownPage(f"Nothing answers at {request.url.path!r}. See /docs for what does."))
    code = "method-not-allowed" if exc.status_code == 405 else f"http-{exc.status_code}"
    return _respond(exc.status_code, code, str(exc.detail), {}, dict(exc.headers or {}))


def _on_unexpected(request: Request, exc: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=exc)
    return _respond(500, "internal-error", "The service met an error of its own; the log has the details.", {}, {})


def _respond(status: int, code: str, detail: str, facts: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    body = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail, "code": code}
    return JSONResponse({**facts, **body}, status, headers, MEDIA_TYPE)


def _title(status: int) -> str:
    from http import HTTPStatus

    return HTTPStatus(status).phrase


def _shorten(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
