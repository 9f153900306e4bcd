"""One session from pass to pass, so that connections need not be opened, and find their speed, anew each epoch."""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from service.client.session import Session


class SessionKeeper:
    """Lends sessions, and keeps one that comes back whole. Thread-safe; a copy made by pickling keeps none, nor does one that a forked process finds.

    What it keeps is closed with it, or when the process ends.

    Args:
        make: makes a session.
    """

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._kept: tuple[int, Session, weakref.finalize[..., Any]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return SessionKeeper, (self._make,)

    def take(self) -> Session:
        """Gives the session that is kept, else a new one; it belongs to whoever takes it."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is None:
            return self._make()
        pid, session, finalizer = kept
        finalizer.detach()
        if pid != os.getpid():
            session.close()  # Closes this process's descriptors; the connections are the parent's.
            return self._make()
        return session

    def keep(self, session: Session) -> None:
        """Takes a session back that nobody uses any more; closes it where one is kept already."""
        finalizer = weakref.finalize(self, session.close)
        with self._lock:
            if self._kept is None:
                self._kept = (os.getpid(), session, finalizer)
                return
        finalizer()

    def close(self) -> None:
        """Closes what is kept."""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept[2]()
