"""What every request passes on its way in and out: host check, safe headers, request id, log line, metrics. Pure ASGI."""

import logging
import time
from collections.abc import Sequence
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_response
from service.api.metrics import Metrics
from service.errors import ForeignHost

_ACCESS_LOG = logging.getLogger("service.access")
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
}


class HostCheck:
    """Refuses requests that name another host, so that a hostile page cannot reach the service through a DNS name of its own (DNS rebinding).

    Args:
        app: what to protect.
        allowed: host names; "*.lab.example" allows subdomains, "*" any.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = tuple(each.lower() for each in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400 or passes on."""
        if scope["type"] == "http":
            host = _host_name(Headers(scope=scope).get("host", ""))
            if not any(_matches(host, pattern) for pattern in self._allowed):
                error = ForeignHost(f"This service does not answer for host {host[:100]!r}; BATCHLENS_ALLOWED_HOSTS says for which it does.")
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Envelope:
    """Adds safe headers and a request id to every answer, writes one log line for it, and counts it.

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
        started, status, request_id = time.perf_counter(), 500, uuid4().hex[:12]

        async def send_in_envelope(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _SAFE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_in_envelope)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.count(scope["method"], _route(scope), status, seconds)
            _ACCESS_LOG.info("%s %s %s %d %.1fms", request_id, scope["method"], scope["path"], status, seconds * 1000)


def _host_name(header: str) -> str:
    """Takes the port off a Host header: "lab:8000" -> "lab", "[::1]:8000" -> "::1"."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _matches(host: str, pattern: str) -> bool:
    return pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _route(scope: Scope) -> str:
    """Names the route, not the path: a metric must not have as many labels as there are batches."""
    return getattr(scope.get("route"), "path", "none")
