"""The end of a grace period, as a request sees it: 503."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import problem_response
from service.api.pending_requests import PendingRequests
from service.errors import ShuttingDown


class GracefulShutdown:
    """Keeps account of requests whose answer has not begun, and answers 503 to those that are refused at the end of the grace period.

    Args:
        app: what answers.
        pending: the account.
    """

    def __init__(self, app: ASGIApp, pending: PendingRequests) -> None:
        self._app = app
        self._pending = pending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 503 or passes on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._pending.is_refusing or not await self._is_answered(scope, receive, send):
            await problem_response(ShuttingDown("The service is shutting down."))(scope, receive, send)

    async def _is_answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Pass the request on; return False if it was refused before its answer began."""
        task, has_begun = asyncio.current_task(), False
        assert task is not None  # noqa: S101  every request has a task

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            self._pending.discard(task)  # A streamed answer is sent from another task than this one.
            has_begun = True
            await send(message)

        self._pending.add(task)
        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if has_begun or not self._pending.is_refusing:
                raise
            task.uncancel()
            return False
        finally:
            self._pending.discard(task)
        return True
