"""The crew that works for a loader, and the one that takes over when it dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.errors import ShuttingDown
from service.loading.crew import GOODBYE_SECONDS, Crew, Death, ignore
from service.loading.lessons import Setbacks
from service.loading.task import Outcome

Engage = Callable[[Callable[[Crew, Outcome], None], Callable[[Crew, Death], None]], Crew]
"""Makes a crew that is not started yet; takes whom it tells about outcomes and about its death."""

_LOG = logging.getLogger(__name__)
_PROVEN_SECONDS = 2.0
"""A crew that lives for so long is taken to be sound, even if it had nothing to do."""


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
            self._crew = engage(self._take_outcome, self._take_death)
            self._crew.start()

    @property
    def crew(self) -> Crew:
        """The one that works. The loader holds the lock while it hands it something to do; what else a crew can do needs no lock."""
        return self._crew

    @property
    def is_failing(self) -> bool:
        """Whether crews have died again and again without having done anything, and the present one is not proven either."""
        crew = self._crew
        is_proven = crew.is_complete and time.monotonic() - crew.started_seconds > _PROVEN_SECONDS
        return self._setbacks.is_lasting and not is_proven

    def stop(self, patience_seconds: float = GOODBYE_SECONDS) -> None:
        """Ends the crew, and lets none follow it. The loader does not hold the lock.

        Args:
            patience_seconds: how long tasks in the workers' hands may take to finish.
        """
        with self._lock:
            self._is_over.set()
            crew = self._crew
        try:
            crew.stop(patience_seconds)
        finally:  # No way back to the loader, so that it is gone with its last user.
            self._on_outcome = self._on_death = ignore
            self._make = _engage_nobody

    def _take_outcome(self, crew: Crew, outcome: Outcome) -> None:
        with self._lock:
            if crew is self._crew:
                self._setbacks.clear()
                self._on_outcome(outcome)

    def _take_death(self, crew: Crew, death: Death) -> None:
        """Replaces a crew that lost a worker, after a pause where crews die young; tries again where no crew can be had."""
        fields = {"fields": {"text": death.last_words} if death.last_words else {}}
        _LOG.warning("workers of %s ended with %s; replacing all", self._name, list(death.exit_codes), extra=fields)
        while not self._is_over.wait(self._setbacks.add()):
            try:
                successor = self._make(self._take_outcome, self._take_death)  # Not under the lock, since it takes its time.
                with self._lock:
                    if crew is self._crew and not self._is_over.is_set():
                        successor.start()
                        self._crew = successor  # Under the lock that its own death would need.
                        self._on_death(death)
            except Exception:  # noqa: BLE001
                _LOG.exception("no workers can be had for %s", self._name)
            else:
                return


def _engage_nobody(*_: object) -> Crew:
    raise ShuttingDown("The loader is closed.")
