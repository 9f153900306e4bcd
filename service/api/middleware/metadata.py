"""Metadata on the wire: entity tags, 304, and gzip if the client accepts it."""

import gzip
from hashlib import blake2b

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.negotiation import accepts_coding, names_tag

_TAGGED = ("application/json", "text/html")
_TYPES = (*_TAGGED, "text/plain")  # Metrics, which are never the same twice.
_LEAST_BYTES = 1000
"""Below that, gzip saves less than one packet."""

_INLINE_BYTES = 1 << 15  # gzip takes 1 ms for that; more is done in a thread.
_LEVEL = 6


class Metadata:
    """Adds an entity tag to complete JSON and text, answers 304 to a client that has it, and compresses it.

    The tag is weak: it stands for the content, whatever its coding (RFC 9110, section 8.8.1). An answer with a tag of its own, as every batch has, passes
    as it is: a strong tag names the very bytes, so they must not be coded anew.

    Args:
        app: the application that answers GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and look at the answer to a GET."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_metadata(message):
                start = message
            elif start is not None:
                head, start = start, None
                if not message.get("more_body", False):
                    head, message = await _finish(head, message, Headers(scope=scope))
                await send(head)
                await send(message)
            else:
                await send(message)

        await self._app(scope, receive, send_tagged)


def _is_metadata(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == 200 and _media_type(headers) in _TYPES and "etag" not in headers and headers.get("cache-control") != "no-store"


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0]


async def _finish(start: Message, body: Message, request: Headers) -> tuple[Message, Message]:
    """Return head and body as they are sent."""
    content: bytes = body.get("body", b"")
    headers = MutableHeaders(raw=list(start["headers"]))
    headers.add_vary_header("Accept-Encoding")
    status = 200
    if _media_type(headers) in _TAGGED:
        headers["ETag"] = f'W/"{blake2b(content, digest_size=16).hexdigest()}"'
    if "ETag" in headers and names_tag(request.getlist("if-none-match"), headers["ETag"]):
        status, content = 304, b""
        del headers["Content-Length"]
        del headers["Content-Type"]
    elif len(content) >= _LEAST_BYTES and accepts_coding(request.getlist("accept-encoding"), "gzip"):
        content = await _compress(content)
        headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(content))
    return {**start, "status": status, "headers": headers.raw}, {**body, "body": content}


async def _compress(content: bytes) -> bytes:
    if len(content) <= _INLINE_BYTES:
        return gzip.compress(content, _LEVEL, mtime=0)
    return await to_thread.run_sync(lambda: gzip.compress(content, _LEVEL, mtime=0))
