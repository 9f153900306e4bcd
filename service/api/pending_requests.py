"""Requests whose answer has not begun: those that can still be refused."""

import asyncio


class PendingRequests:
    """The tasks of such requests. To be used on the event loop alone.

    Attributes:
        is_refusing: whether they are being refused: the service is at the end of its grace period.
    """

    def __init__(self) -> None:
        self.is_refusing = False
        self._tasks: set[asyncio.Task[object]] = set()

    def add(self) -> None:
        """Add the current task; `discard` must follow."""
        if task := asyncio.current_task():
            self._tasks.add(task)

    def discard(self) -> None:
        """Forget the current task: its answer begins."""
        if task := asyncio.current_task():
            self._tasks.discard(task)

    def refuse_all(self) -> int:
        """Cancel them, so that each answers 503; return how many there were."""
        self.is_refusing = True
        for task in self._tasks:
            task.cancel()
        return len(self._tasks)
