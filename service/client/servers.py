"""Which server to ask, and when: requests are spread, and one that is in trouble is left alone for a while."""

import random
import threading
import time
from collections.abc import Sequence

from service.client.endpoint import Endpoint

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 2.0
_DOUBLINGS = 6
_JITTER = 0.25
_DISTRUST = 4  # A server that hangs costs its silence in one request of five at most, as long as others answer.


class Server:
    """One server, and how it has been lately.

    Args:
        endpoint: where it is, and what it is sent.

    Attributes:
        ready_at: until then it is not asked.
        trusted_at: until then it is asked only where no other server is ready.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.ready_at = self.trusted_at = 0.0
        self._failures = 0

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.endpoint.url

    def succeeded(self) -> None:
        """Notes an answer; a wait that the server itself has asked for stays."""
        self._failures = 0

    def failed(self, lasted_seconds: float, retry_after_seconds: float | None) -> None:
        """Notes that it did not do what was asked, and for how long to leave it alone.

        Delays of our own double with each failure in a row, up to 2 s. Both kinds are stretched at random (never shortened), so that clients that were turned
        away together do not come back together.

        Args:
            lasted_seconds: how long it took to fail.
            retry_after_seconds: what the server has asked for; None where it said nothing. Never shorter than our first delay, whatever it says.
        """
        if retry_after_seconds is not None:
            delay = max(_FIRST_DELAY_SECONDS, retry_after_seconds)
        else:
            delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** min(self._failures, _DOUBLINGS))
        self._failures += 1
        now = time.monotonic()
        self.ready_at = max(self.ready_at, now + delay * (1 + _JITTER * random.random()))  # noqa: S311  no secret
        self.trusted_at = max(self.trusted_at, self.ready_at, now + _DISTRUST * lasted_seconds)


class Servers:
    """All servers of a loader. Thread-safe.

    Args:
        endpoints: at least one.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._servers = [Server(each) for each in endpoints]
        self._lock = threading.Lock()

    def pick(self, turn: int) -> Server:
        """Gives the server whose turn it is, or the next that is trusted; where none is, the one that will be ready first."""
        now = time.monotonic()
        with self._lock:
            start = turn % len(self._servers)
            ordered = self._servers[start:] + self._servers[:start]
            return next((each for each in ordered if each.trusted_at <= now), min(ordered, key=lambda each: each.ready_at))

    def note_success(self, server: Server) -> None:
        """Notes that a server has answered."""
        with self._lock:
            server.succeeded()

    def note_failure(self, server: Server, lasted_seconds: float, retry_after_seconds: float | None = None) -> None:
        """Notes that a server has failed; see `Server.failed`."""
        with self._lock:
            server.failed(lasted_seconds, retry_after_seconds)
