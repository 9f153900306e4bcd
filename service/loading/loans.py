"""Batches whose memory is still being sent, after their request has been answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from service.loading.job import Job, Ticket


class Loans:
    """Counts what views hold that are on their way to clients. Not thread-safe, but for what ends a loan.

    Args:
        most_bytes: that may be lent at once, so that clients that read slowly cannot hold all the memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lent_bytes = 0
        self._returned: deque[tuple[Ticket, int]] = deque()

    def lend(self, job: Job, size_bytes: int) -> Callable[[], None] | None:
        """Claims a finished batch once more.

        Args:
            job: whose batch it is.
            size_bytes: what the views hold.

        Returns:
            what ends the claim: may be called at any time, by the garbage collector while a lock is held, too. None where too much is lent already.
        """
        if self._lent_bytes + size_bytes > self._most_bytes:
            return None
        self._lent_bytes += size_bytes
        return partial(self._returned.append, (job.add_ticket(is_reused=True), size_bytes))

    def take_back(self) -> Iterator[Job]:
        """Ends the claims whose views are gone; gives their jobs."""
        while self._returned:
            ticket, size_bytes = self._returned.popleft()
            self._lent_bytes -= size_bytes
            ticket.job.tickets.remove(ticket)
            yield ticket.job
