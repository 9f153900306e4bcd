"""The server process: uvicorn, with connections that have bounds, a start that waits until batches can be rendered, and an end in two steps."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.connection import BoundedProtocol
from service.api.dependencies import Services
from service.errors import Unavailable
from service.plural import count_of

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 0.02


class Server(uvicorn.Server):
    """Answers requests until a signal comes. The first one ends it in order: not ready at once, running requests finish. A second one ends it now.

    A request has the deadline to finish, as any other; whose answer has not begun by then gets 503. An answer that has begun is sent to its end, however long
    that takes, as long as its client takes it fast enough for `BoundedProtocol`.

    Args:
        app: what answers.
        on_ready: called before the first connection is accepted, in a thread.
    """

    def __init__(self, app: FastAPI, on_ready: Callable[[], None]) -> None:
        self._services: Services = app.state.services
        self._is_over = False
        self._grace_seconds = self._services.settings.deadline_seconds
        protocol = partial(BoundedProtocol, metrics=self._services.metrics, patience_seconds=self._grace_seconds)
        config = uvicorn.Config(
            _StartWhenReady(app, self._services, on_ready),
            http=protocol,  # type: ignore[arg-type]  # called as a class is
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # The app reads them: `service.api.middleware.proxy_headers`.
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal; listens from the start on, while uvicorn does so only once it runs."""
        if self._is_over:
            return  # uvicorn raises the signal once more after a clean end, which is exit code 0.
        if self._services.leaving.is_set():
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)  # Workers notice that the server is gone, and go.
        self._services.leaving.set()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listens to signals while the server runs."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._is_over = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order; see the class."""
        timer = asyncio.get_running_loop().call_later(self._grace_seconds, self._end_grace)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    def _end_grace(self) -> None:
        count = self._services.pending.refuse_all()
        if count:
            _LOG.warning("After %g seconds, %s without an answer: 503", self._grace_seconds, count_of(count, "request"))
        for connection in list(self.server_state.connections):  # Some may have come while the listener was being closed.
            connection.shutdown()


class _StartWhenReady:
    """Completes the start of an app when batches can be rendered, or the deadline has passed: then the app itself has to say why they cannot.

    Args:
        app: what starts.
        services: its objects.
        on_ready: called then, in a thread.
    """

    def __init__(self, app: ASGIApp, services: Services, on_ready: Callable[[], None]) -> None:
        self._app = app
        self._services = services
        self._on_ready = on_ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on."""

        async def send_when_ready(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._wait()
                await run_in_threadpool(self._on_ready)
            await send(message)

        await self._app(scope, receive, send_when_ready if scope["type"] == "lifespan" else send)

    async def _wait(self) -> None:
        ends = time.monotonic() + self._services.settings.deadline_seconds
        while not self._is_ready() and not self._services.leaving.is_set() and time.monotonic() < ends:
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_ready(self) -> bool:
        try:
            self._services.registry.check_ready()
        except Unavailable:
            return False
        return True
