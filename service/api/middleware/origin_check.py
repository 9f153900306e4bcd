"""Whose pages may ask."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import problem_response
from service.api.middleware.host_check import is_allowed_host
from service.api.middleware.proxy_headers import FORWARDED_HOST, route_path
from service.errors import ForeignOrigin

_ASSETS = ("/assets/", "/docs/assets/")
"""Files that are the same for all. Chromium sends `Origin` with a page's own module scripts, which an untold proxy under another name makes look foreign."""

_READS = {"GET", "HEAD", "OPTIONS"}


class OriginCheck:
    """Refuses what the pages of other sites send (CSRF): a browser names the page's origin with everything but plain links, forms that read, and images.

    The rule is what may pass, not what may not, so it holds for methods that nobody thought of: requests without `Origin`, which no browser sends across sites
    with a method that writes, and requests whose `Origin` names the very host and port that they go to. Behind a trusted proxy that is also the host that the
    proxy was asked for, if it is an allowed one. Origins that the operator allows may read, and write where writes need a token.

    Args:
        app: what to protect.
        allowed_hosts: as of `HostCheck`.
        allowed_origins: origins of other sites, or "*".
        has_token: whether writes need a token.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str], allowed_origins: Sequence[str] = (), has_token: bool = False) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = frozenset(allowed_origins)
        self._has_token = has_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 403 or passes on."""
        if scope["type"] == "http" and not (scope["method"] in _READS and route_path(scope).startswith(_ASSETS)):
            headers = Headers(scope=scope)
            own = self._own_hosts(scope, headers)
            may_pass = scope["method"] in _READS or self._has_token
            foreign = [each for each in headers.getlist("origin") if _authority(each) not in own and not (may_pass and self._is_allowed(each))]
            if foreign:
                await problem_response(_refusal(foreign[0], self._is_allowed(foreign[0])))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _own_hosts(self, scope: Scope, headers: Headers) -> set[str]:
        forwarded = scope.get(FORWARDED_HOST, "")
        return {headers.get("host", "").lower(), forwarded if is_allowed_host(forwarded, self._allowed_hosts) else ""} - {""}

    def _is_allowed(self, origin: str) -> bool:
        return not self._allowed_origins.isdisjoint({"*", origin})


def _refusal(origin: str, may_read: bool) -> ForeignOrigin:
    if may_read:
        return ForeignOrigin(f"Pages of {origin[:100]!r} may only read: this service has no token, which writes from there need. Set BATCHLENS_TOKEN.")
    return ForeignOrigin(
        f"Pages of {origin[:100]!r} may not use this service, only its own and those of BATCHLENS_ALLOWED_ORIGINS."
        " A proxy in between has to pass the Host header on as it came, or as X-Forwarded-Host with a host of BATCHLENS_ALLOWED_HOSTS."
    )


def _authority(origin: str) -> str:
    """Gives host and port of an origin (RFC 6454): "https://lab:8443" -> "lab:8443"; "" for "null" and for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
