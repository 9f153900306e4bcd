"""What every answer carries, and what is kept of it."""

import logging
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.departure import ClientGone
from service.api.errors import unexpected_response
from service.api.logs import ACCESS_LOGGER, REQUEST_ID
from service.api.metrics import Metrics

_ACCESS_LOG = logging.getLogger(ACCESS_LOGGER)
_CLIENT_LEFT = 499


class Envelope:
    """Adds safe headers and a request id to every answer, writes one log line for it, and counts it. Whatever was not foreseen becomes a 500.

    Where nothing is said of caches, they have to check: else they would guess, and show the page of an older version.

    Args:
        app: what answers.
        metrics: where to count.
        headers: what each answer carries, unless it says something else itself.
        wrap: what answers of this middleware itself go through.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, headers: Mapping[str, str], wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = headers
        self._wrap = wrap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        account = Account(scope["method"], scope["path"])
        REQUEST_ID.set(account.request_id)

        async def send_in_envelope(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = account.request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                account.status, account.timing = message["status"], headers.get("Server-Timing", "")
            else:
                account.sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, send_in_envelope)
        except ClientGone:
            pass
        except Exception as exc:
            if account.status:
                raise  # Half an answer is out; the server logs this and breaks the connection off.
            await self._wrap(unexpected_response(scope["method"], scope["path"], exc))(scope, receive, send_in_envelope)
        finally:
            account.close(self._metrics, _route(scope))


class Account:
    """What is kept of one request.

    Args:
        method: of the request.
        path: of the request; decoded.

    Attributes:
        request_id: of its own.
        status: of the answer; 0 before there is one.
        timing: the answer's Server-Timing.
        sent_bytes: length of the answer's body.
    """

    def __init__(self, method: str, path: str) -> None:
        self.request_id = uuid4().hex[:12]
        self.status, self.timing, self.sent_bytes = 0, "", 0
        self._method, self._path, self._started = method, path, time.perf_counter()

    def close(self, metrics: Metrics, route: str) -> None:
        """Counts the request and writes its line; 499 where the client left before there was an answer. The query stays out of the log: it may be long."""
        seconds, status = time.perf_counter() - self._started, self.status or _CLIENT_LEFT
        metrics.count(self._method, route, status, seconds)
        fields = {
            "request": self.request_id,
            "method": self._method,
            "path": quote(self._path),
            "status": status,
            "bytes": self.sent_bytes,
            "seconds": f"{seconds:.4f}",
            "timing": self.timing,
        }
        _ACCESS_LOG.info("answered", extra={"fields": fields})


def _route(scope: Scope) -> str:
    """Names the route, not the path: a metric must not have as many labels as there are batches."""
    return getattr(scope.get("route"), "path", "none")
