"""Log lines about servers that keep a loader waiting."""

import logging
import threading
import time
from collections.abc import Callable

_LOG = logging.getLogger(__name__)
_WARNING_SECONDS = 10.0


class WaitLog:
    """Logs each wait for a server at level INFO; every ten seconds at most one of a server's at WARNING, which Python shows without any set-up.

    Thread-safe.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._warned: dict[str, float] = {}

    def failed(self, url: str, cause: str, wait_seconds: float) -> None:
        """Log that a server did not do what was asked, and for how long it is left alone."""
        now = self._clock()
        with self._lock:
            since = self._since.setdefault(url, now)
            is_due = now - self._warned.get(url, float("-inf")) >= _WARNING_SECONDS
            if is_due:
                self._warned[url] = now
        spent = f", after {now - since:.0f} s" if now - since >= 1 else ""
        _LOG.log(logging.WARNING if is_due else logging.INFO, "%s: %s. Trying again in %.1f s%s.", url, cause.rstrip("."), wait_seconds, spent)

    def answered(self, url: str) -> None:
        """Log that a server that has failed answers again."""
        with self._lock:
            since = self._since.pop(url, None)
        if since is not None:
            _LOG.info("%s: answers again, after %.1f s.", url, self._clock() - since)
