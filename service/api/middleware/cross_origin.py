"""Pages of other sites that the operator lets read the service's answers (CORS)."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.api.errors import problem_response
from service.errors import ForeignOrigin

_READS = ("GET", "HEAD")
_WRITES = ("PUT", "POST", "DELETE")
EXPOSED_HEADERS = (
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "Deprecation",
    "ETag",
    "Link",
    "Location",
    "Repr-Digest",
    "Retry-After",
    "Server-Timing",
    "Sunset",
    "WWW-Authenticate",
    "X-Batchlens-Version",
    "X-Request-ID",
)


class CrossOrigin(CORSMiddleware):
    """starlette's, with refusals as problems.

    Args:
        app: what answers.
        allowed_origins: origins such as "https://dashboard.lab.example", or "*".
        has_token: whether writes need a token; without one, pages of other sites may only read.
    """

    def __init__(self, app: ASGIApp, allowed_origins: Sequence[str], has_token: bool) -> None:
        super().__init__(
            app,
            allow_origins=allowed_origins,
            allow_methods=(*_READS, *(_WRITES if has_token else ())),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer what a browser asks before it sends a request."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        method, origin = request_headers["access-control-request-method"], request_headers["origin"]
        refusal = problem_response(
            ForeignOrigin(
                f"Pages of {origin[:100]!r} may not send {method[:20]!r}. BATCHLENS_ALLOWED_ORIGINS lists the origins that may;"
                f" allowed methods are {', '.join(self.allow_methods)}."
            )
        )
        refusal.headers["Vary"] = response.headers["Vary"]
        if self.is_allowed_origin(origin):
            self.allow_explicit_origin(refusal.headers, origin)
        return refusal
