"""How much a client may send."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge


class BodyLimit:
    """Stops reading a request's body that gets too large: it is held in memory, and read before a token is asked for.

    Args:
        app: what to protect.
        most_bytes: the longest body that is read.
    """

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on; reading a longer body raises BodyTooLarge."""
        received_bytes = 0

        async def receive_some() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._most_bytes:
                raise BodyTooLarge(f"This service reads bodies of at most {self._most_bytes:,} bytes.", maximum=self._most_bytes)
            return message

        await self._app(scope, receive_some, send)
