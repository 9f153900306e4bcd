"""The server process: uvicorn, with connections that have bounds, and an end in two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.api.connection import BoundedProtocol
from service.api.dependencies import Services

_GRACE_SECONDS = 8


class Server(uvicorn.Server):
    """Answers requests until a signal comes. The first one ends it in order: not ready at once, running requests finish. A second one ends it now.

    Args:
        app: what answers.
    """

    def __init__(self, app: FastAPI) -> None:
        self._services: Services = app.state.services
        self._is_over = False
        patience_seconds = self._services.settings.deadline_seconds
        config = uvicorn.Config(
            app,
            http=partial(BoundedProtocol, metrics=self._services.metrics, patience_seconds=patience_seconds),  # type: ignore[arg-type]  # called as a class is
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
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
