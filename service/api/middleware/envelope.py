"""What every answer carries, and what is kept of it."""

import logging
import time
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import unexpected_response
from service.api.metrics import Metrics

_ACCESS_LOG = logging.getLogger("service.access")
_DEFAULT_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
}


class Envelope:
    """Adds safe headers and a request id to every answer, writes one log line for it, and counts it. Whatever was not foreseen becomes a 500.

    Where nothing is said of caches, they have to check: else they would guess, and show the page of an older version.

    Args:
        app: what answers.
        metrics: where to count.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, request_id = time.perf_counter(), 0, uuid4().hex[:12]

        async def send_in_envelope(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _DEFAULT_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_in_envelope)
        except Exception as exc:
            if status:
                raise  # Half an answer is out; the server logs this and breaks the connection off.
            await unexpected_response(scope["method"], scope["path"], exc)(scope, receive, send_in_envelope)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count(scope["method"], _route(scope), status or 499, seconds)
            _ACCESS_LOG.info("%s %s %s %d %.1fms", request_id, scope["method"], quote(scope["path"]), status or 499, seconds * 1000)


def _route(scope: Scope) -> str:
    """Names the route, not the path: a metric must not have as many labels as there are batches."""
    return getattr(scope.get("route"), "path", "none")
