"""What a reverse proxy says about the request that it passes on."""

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.root_path import parse_root_path

_LOG = logging.getLogger(__name__)
FORWARDED_HOST = "batchlens.forwarded_host"
"""Key of the scope: X-Forwarded-Host of a trusted proxy, not checked yet."""


class ProxyHeaders(ProxyHeadersMiddleware):
    """uvicorn's X-Forwarded-For and X-Forwarded-Proto, and X-Forwarded-Prefix and X-Forwarded-Host, from trusted peers alone.

    The one place that sets `scope["root_path"]`, the prefix of every link. Proxies that strip the prefix and proxies that do not are told apart by the path:
    `scope["path"]` begins with the prefix afterwards, as the ASGI specification has it. Redirects to this host come as a path, since the scheme and the host
    that the client sees may be others than the proxy's.

    Args:
        app: what answers.
        forwarded_allow_ips: addresses and networks of proxies, or "*"; as uvicorn's setting of that name.
        root_path: the prefix where no proxy names one.
    """

    def __init__(self, app: ASGIApp, forwarded_allow_ips: Sequence[str], root_path: str) -> None:
        super().__init__(app, list(forwarded_allow_ips))  # type: ignore[arg-type]  # uvicorn and starlette each have types of their own
        self._root_path = root_path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  as above
        """Passes the request on."""
        if scope["type"] == "http":
            set_root_path(scope, self._read(scope))
            send = _relative_redirects(scope, send)
        await super().__call__(scope, receive, send)

    def _read(self, scope: Scope) -> str:
        """Return the prefix; keep the host that the client asked for."""
        client = scope.get("client")
        if (client[0] if client else None) not in self.trusted_hosts:
            return self._root_path
        headers = Headers(scope=scope)
        hosts, prefixes = headers.getlist("x-forwarded-host"), headers.getlist("x-forwarded-prefix")
        if len(hosts) == 1:
            scope[FORWARDED_HOST] = hosts[0].lower()
        try:
            return parse_root_path(prefixes[0]) if len(prefixes) == 1 else self._root_path
        except ValueError:
            _LOG.debug("X-Forwarded-Prefix is not a path: %r", prefixes[0][:100])
            return self._root_path


def set_root_path(scope: Scope, root_path: str) -> None:
    """Set the prefix of a request, whose path may begin with it or not."""
    path = scope["path"]
    for prefix in {root_path, unquote(root_path)} - {""}:
        if path == prefix or path.startswith(f"{prefix}/"):
            path = path[len(prefix) :]
    scope["root_path"], scope["path"] = root_path, root_path + path


def route_path(scope: Scope) -> str:
    """Return a request's path without the prefix."""
    path: str = scope["path"]
    return path[len(scope.get("root_path", "")) :]


def _relative_redirects(scope: Scope, send: Send) -> Send:
    host = Headers(scope=scope).get("host", "")

    async def send_relative(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            origin = f"{scope.get('scheme', 'http')}://{host}/"
            location = headers.get("location", "")
            if location.startswith(origin) and not location.startswith(f"{origin}/"):  # "//" would begin the name of another host.
                headers["Location"] = location[len(origin) - 1 :]
        await send(message)

    return send_relative
