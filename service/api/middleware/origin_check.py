"""Whose pages may ask."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.errors import problem_response
from service.errors import ForeignOrigin


class OriginCheck:
    """Refuses what the pages of other sites send (CSRF): a browser names the page's origin with everything but plain links, forms that read, and images.

    The rule is what may pass, not what may not, so it holds for methods that nobody thought of: requests without `Origin`, which no browser sends across sites
    with a method that writes, and requests whose `Origin` names the very host and port that they go to.

    Args:
        app: what to protect.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 403 or passes on."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            own = headers.get("host", "").lower()
            foreign = [each for each in headers.getlist("origin") if _authority(each) not in {own} - {""}]
            if foreign:
                error = ForeignOrigin(
                    f"Pages of {foreign[0][:100]!r} may not use this service, only its own. A proxy in between has to pass the Host header on as it came."
                )
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _authority(origin: str) -> str:
    """Gives host and port of an origin (RFC 6454): "https://lab:8443" -> "lab:8443"; "" for "null" and for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
