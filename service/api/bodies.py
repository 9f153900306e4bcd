"""Bodies in pieces: large tensors go out as views of the slot they were rendered in."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from service.encoding.formats import Piece


def wants_digest(request: Request) -> bool:
    """Says whether the client asks for a SHA-256 of the body (Want-Repr-Digest, RFC 9530, section 4)."""
    wanted = (each.partition("=") for each in request.headers.get("want-repr-digest", "").split(","))
    return any(name.strip() == "sha-256" and weight.strip() != "0" for name, _, weight in wanted)


def digest(pieces: Sequence[Piece]) -> str:
    """Gives the value of Repr-Digest: SHA-256 over the whole body."""
    hashed = sha256()
    for piece in pieces:
        hashed.update(piece)
    return f"sha-256=:{b64encode(hashed.digest()).decode()}:"


class PiecewiseResponse(Response):
    """A body of several pieces, sent without joining them.

    Args:
        pieces: of the body, in order.
        media_type: of the whole.
        headers: further headers.
    """

    def __init__(self, pieces: Sequence[Piece], media_type: str, headers: Mapping[str, str]) -> None:
        self._pieces = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
        length = sum(piece.nbytes for piece in self._pieces)
        super().__init__(None, media_type=media_type, headers={**headers, "Content-Length": str(length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's own signature
        """Sends head and pieces; lets go of each piece once it is sent."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._pieces:
            await send({"type": "http.response.body", "body": self._pieces.pop(0), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
