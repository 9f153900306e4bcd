"""Which server to ask, and when: requests are spread, and one that is in trouble is left alone for a while."""

import random
import threading
import time
from collections.abc import Sequence

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0
_DOUBLINGS = 6
_JITTER = 0.25


class Server:
    """One base URL, and how it has been lately.

    Args:
        url: without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.ready_at = 0.0
        self._failures = 0

    def succeeded(self) -> None:
        """Notes an answer; a wait that the server itself has asked for stays."""
        self._failures = 0

    def failed(self, retry_after_seconds: float | None) -> None:
        """Notes that it did not do what was asked, and for how long to leave it alone.

        Delays of our own double with each failure in a row, up to 5 s. Both kinds are stretched at random (never shortened), so that clients that were turned
        away together do not come back together.

        Args:
            retry_after_seconds: what the server has asked for; None where it said nothing.
        """
        delay = retry_after_seconds
        if delay is None:
            delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(self._failures, _DOUBLINGS))
        self._failures += 1
        self.ready_at = max(self.ready_at, time.monotonic() + delay * (1 + _JITTER * random.random()))  # noqa: S311  no secret


class Servers:
    """All base URLs of a loader. Thread-safe.

    Args:
        urls: at least one.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._servers = [Server(url) for url in urls]
        self._lock = threading.Lock()

    def pick(self, turn: int) -> Server:
        """Gives the server whose turn it is, or the next that is ready; where none is, the one that will be ready first."""
        now = time.monotonic()
        with self._lock:
            start = turn % len(self._servers)
            ordered = self._servers[start:] + self._servers[:start]
            return next((each for each in ordered if each.ready_at <= now), min(ordered, key=lambda each: each.ready_at))

    def note(self, server: Server, *, is_fine: bool, retry_after_seconds: float | None = None) -> None:
        """Notes how a server did; see `Server.failed`."""
        with self._lock:
            if is_fine:
                server.succeeded()
            else:
                server.failed(retry_after_seconds)
