"""Requests whose answer has not begun: those that can still be refused."""

import asyncio
from typing import Any


class PendingRequests:
    """The tasks of such requests. To be used on the event loop alone.

    Attributes:
        is_refusing: whether they are being refused: the service is at the end of its grace period.
    """

    def __init__(self) -> None:
        self.is_refusing = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, task: asyncio.Task[Any]) -> None:
        """Add a request; `discard` must follow."""
        self._tasks.add(task)

    def discard(self, task: asyncio.Task[Any]) -> None:
        """Forget a request: its answer begins, or it is over."""
        self._tasks.discard(task)

    def refuse_all(self) -> int:
        """Cancel them, so that each answers 503; return how many there were."""
        self.is_refusing = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
