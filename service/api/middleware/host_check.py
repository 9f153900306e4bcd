"""Whom the service answers for."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import problem_response
from service.api.middleware.proxy_headers import route_path
from service.errors import ForeignHost

_FOR_PROBES = re.compile(r"/health/.*|/metrics")
"""Paths that answer to any host: probes of kubelets and load balancers name the address of a pod, or no host at all (HTTP/1.0)."""

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*))(?::[0-9]*)?")


class HostCheck:
    """Refuses requests that name another host, so that a hostile page cannot reach the service through a DNS name of its own (DNS rebinding).

    Args:
        app: what to protect.
        allowed: host names; "*.lab.example" allows subdomains, "*" any.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 400 or passes on."""
        if scope["type"] == "http" and not _FOR_PROBES.fullmatch(route_path(scope)):
            named = Headers(scope=scope).getlist("host")
            # Two could be read as one here and as the other elsewhere (RFC 9112, section 3.2).
            named_once = named[0] if len(named) == 1 else ""
            if not is_allowed_host(named_once, self._allowed):
                host = _host_name(named_once)
                error = ForeignHost(f"This service does not answer for host {host[:100]!r}; BATCHLENS_ALLOWED_HOSTS says for which it does.")
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_allowed_host(header: str, allowed: Sequence[str]) -> bool:
    """Whether a Host header names one of the allowed hosts."""
    host = _host_name(header)
    return any(_matches(host, pattern.lower()) for pattern in allowed)


def _host_name(header: str) -> str:
    """Takes the port off a Host header: "lab:8000" -> "lab", "[::1]:8000" -> "::1"; "" for what is no host."""
    found = _HOST.fullmatch(header)
    return (found[1] or found[2]).lower() if found else ""


def _matches(host: str, pattern: str) -> bool:
    return pattern in {"*", host} or (pattern.startswith("*.") and host.endswith(pattern[1:]))
