"""Batches whose memory is still being sent, after their request has been answered: lent, or copied."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from service.loading.job import Job, Ticket


class Copies:
    """Copies of what is sent, of all loaders together, within a bound. Thread-safe.

    Args:
        most_bytes: that all copies together may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._free_bytes = most_bytes
        self._returned: deque[int] = deque()

    def reserve(self, size_bytes: int) -> bool:
        """Set memory aside for a copy, if there is so much; `copy` must follow."""
        with self._lock:
            while self._returned:
                self._free_bytes += self._returned.popleft()
            is_there = size_bytes <= self._free_bytes
            self._free_bytes -= size_bytes * is_there
            return is_there

    def copy(self, view: memoryview) -> memoryview:
        """Copy what memory was reserved for; it is free again with the last view of the copy."""
        try:
            copied = np.frombuffer(view, dtype=np.uint8).copy()
        except BaseException:
            self._returned.append(view.nbytes)
            raise
        # Called by the garbage collector, maybe while this thread holds the lock: so it takes none.
        weakref.finalize(copied, self._returned.append, view.nbytes).atexit = False
        return copied.data


class Loans:
    """Counts what views hold that are on their way to clients. Not thread-safe, but for what ends a loan.

    Args:
        most_bytes: that may be lent at once, so that clients that read slowly cannot hold all the memory.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lent_bytes = 0
        self._returned: deque[tuple[Ticket, int]] = deque()

    def lend(self, job: Job, size_bytes: int, *, is_bounded: bool = True) -> Callable[[], None] | None:
        """Claims a finished batch once more.

        Args:
            job: whose batch it is.
            size_bytes: what the views hold.
            is_bounded: whether the bound holds; not where there is no memory for a copy either.

        Returns:
            what ends the claim: may be called at any time, by the garbage collector while a lock is held, too. None where too much is lent already.
        """
        if is_bounded and self._lent_bytes + size_bytes > self._most_bytes:
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
