"""The crew that works for a loader, and the one that takes over when it dies."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from service.loading.crew import Crew, Death
from service.loading.lessons import Setbacks
from service.loading.task import Outcome, Task

Engage = Callable[[Callable[[Crew, Outcome], None], Callable[[Crew, Death], None]], Crew]
"""Makes a crew that is not started yet; takes whom it tells about outcomes and about its death."""

_LOG = logging.getLogger(__name__)


class Succession:
    """One crew at a time. Thread-safe, given that its loader holds the lock wherever it says so.

    Args:
        name: of the loader, for logs.
        lock: of the loader; `on_outcome` and `on_death` are called under it.
        engage: makes a crew.
        on_outcome: called with every outcome of the crew that works; late words of one that is gone are dropped.
        on_death: called when a crew is dead and its successor is there, which is to be given its work.
    """

    def __init__(self, name: str, lock: threading.Lock, engage: Engage, on_outcome: Callable[[Outcome], None], on_death: Callable[[Death], None]) -> None:
        self._name = name
        self._lock = lock
        self._make = engage
        self._on_outcome, self._on_death = on_outcome, on_death
        self._setbacks = Setbacks()
        self._is_over = threading.Event()
        with lock:  # A crew may die before it is known here.
            self._crew = self._engage()

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return self._crew.pids

    @property
    def is_complete(self) -> bool:
        """Whether every worker of the crew has been started and lives."""
        return self._crew.is_complete

    def submit(self, task: Task) -> None:
        """Gives a task to the crew that works. The loader holds the lock."""
        self._crew.submit(task)

    def kill_overdue(self, begun_before_seconds: float) -> None:
        """Kills the workers whose task began before that time (`time.monotonic()`). The loader does not hold the lock: it takes its time."""
        self._crew.kill_overdue(begun_before_seconds)

    def stop(self) -> None:
        """Ends the crew, and lets none follow it. The loader does not hold the lock."""
        with self._lock:
            self._is_over.set()
            crew = self._crew
        try:
            crew.stop()
        finally:
            self._on_outcome = self._on_death = _ignore  # No way back to the loader, so that it is gone with its last user.

    def _engage(self) -> Crew:
        crew = self._make(self._take_outcome, self._take_death)
        crew.start()
        return crew

    def _take_outcome(self, crew: Crew, outcome: Outcome) -> None:
        with self._lock:
            if crew is self._crew:
                self._setbacks.clear()
                self._on_outcome(outcome)

    def _take_death(self, crew: Crew, death: Death) -> None:
        """Replaces a crew that lost a worker; tries again where no crew can be had."""
        _LOG.warning("workers of %s ended with %s; replacing all", self._name, list(death.exit_codes))
        while (successor := self._find_successor()) is None:
            if self._is_over.is_set():
                return
        with self._lock:
            is_needed = crew is self._crew and not self._is_over.is_set()
            if is_needed:
                self._crew = successor
                self._on_death(death)
        if not is_needed:
            successor.stop()

    def _find_successor(self) -> Crew | None:
        """Engages a crew, after a pause where crews die young; not under the lock, since that takes its time. None where none can be had."""
        if self._is_over.wait(self._setbacks.add()):
            return None
        try:
            return self._engage()
        except Exception:  # noqa: BLE001
            _LOG.exception("no workers can be had for %s", self._name)
            return None


def _ignore(_: object) -> None:
    return
