"""The loader of one split: a long-lived DataLoader that renders what is asked, with everything that makes it dependable.

Two requests for one batch share one job. Finished batches stay in their slots until the memory is needed, the least recently used going first. Jobs wait in a
bounded queue. When a worker dies, a new crew takes over and renders what was under way again: batches are pure functions of their address, so nobody notices.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from service.errors import BatchTooLarge, DeadlineExceeded, NoSlot, QueueFull, ShuttingDown
from service.loading.accounts import Counts, LoaderLimits
from service.loading.arena import Arena, Budget
from service.loading.crew import GOODBYE_SECONDS
from service.loading.executor import DeviceExecutor, DeviceOutcome
from service.loading.job import Delivery, Job, Ticket
from service.loading.lessons import Crashes, SampleSizes
from service.loading.loans import Copies, Loans
from service.loading.order import Order
from service.loading.readahead import ReadAhead
from service.loading.store import Store
from service.loading.ticker import Ticker
from service.loading.workshop import Orphan, Workshop
from service.plural import count_of
from service.sources.source import Reader

_LOG = logging.getLogger(__name__)
_DEATHS_ALLOWED = 2
"""A job fails alone when one of its samples has ended this many workers."""

_AHEAD_SHARE = 4


class Loader:
    """Renders the batches of one split. Thread-safe.

    Args:
        name: "dataset/split", for logs.
        reader: reads the samples.
        limits: what it may use.
        budget: memory for decoded pixels, shared with other loaders.
        device_id: where to render.
        executor: who renders there; None for the workers themselves.
        copies: memory for copies of batches that are sent, shared with other loaders; of its own by default.

    Raises:
        InsufficientMemory: its memory cannot be mapped.
        OSError: there are no more descriptors.
        RuntimeError: there are no more threads.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        limits: LoaderLimits,
        budget: Budget,
        device_id: str,
        executor: DeviceExecutor | None,
        copies: Copies | None = None,
    ) -> None:
        self._name = name
        self._limits = limits
        self._device_id, self._executor = device_id, executor
        self._lock = threading.Lock()
        self._store = Store(limits.slab_bytes)
        self._ahead = ReadAhead()
        self._unread: set[Job] = set()
        self._arena = Arena(budget)
        self._counts = Counts()
        self._waiting: deque[Job] = deque()
        self._executing: set[Job] = set()
        self._loans = Loans(limits.slab_bytes // 2)
        self._copies = copies or Copies(limits.body_bytes)
        self._sample_sizes = SampleSizes()
        self._crashes = Crashes()
        self._version = ""
        self._is_starved = False
        self._is_closed = False
        self._workshop = Workshop(name, reader, limits, self._store.slab.memory, self._arena, self._lock, self._take, self._mourn)
        try:
            self._ticker = Ticker(f"deadline {name}", self._enforce_deadline)
        except RuntimeError:
            self._workshop.stop()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether all of its workers live."""
        return self._workshop.is_complete

    @property
    def is_failing(self) -> bool:
        """Whether its workers have died again and again without having done anything."""
        return self._workshop.is_failing

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is rendered."""
        with self._lock:
            return not self._waiting and not self._workshop.jobs and not self._executing

    @asynccontextmanager
    async def fetch(self, order: Order) -> AsyncIterator[Delivery]:
        """Renders an order, or finds it rendered; the batch is valid inside the `async with`.

        Raises:
            BatchlensError: as `submit` says, or what stood in the way of rendering.
        """
        ticket = self.submit(order)
        try:
            delivery = await asyncio.wrap_future(ticket.future)
            yield replace(delivery, claim=partial(self._claim, ticket.job), copy=self._copies.copy)
        finally:
            self.release(ticket)

    def submit(self, order: Order) -> Ticket:
        """Claims a batch; `release` must follow.

        Raises:
            QueueFull: too many jobs wait.
            RenderCrashed: this batch has ended its workers before.
            ShuttingDown: the loader is closed.
        """
        with self._lock:
            if self._is_closed:
                raise ShuttingDown(f"The loader of {self._name} is closing.")
            self._crashes.check(order)
            self._keep_up(order.address.version)
            self._ahead.note(order)
            job = self._store.find((order.key, self._device_id))
            if job is not None:
                is_reused = job not in self._unread
                self._unread.discard(job)
                self._counts.reused += is_reused
                self._counts.served += job.batch is not None
                ticket = job.add_ticket(is_reused)
                self._dispatch()
                return ticket
            job = self._enqueue(order)
            ticket = job.add_ticket(is_reused=False)
            self._dispatch()
            return ticket

    def release(self, ticket: Ticket) -> None:
        """Ends a claim: the batch's memory may be used again, and work that nobody waits for is dropped."""
        with self._lock:
            if ticket.future.cancelled() or not ticket.future.done():
                self._ahead.leave(ticket.job.order)
            ticket.job.tickets.remove(ticket)
            self._settle(ticket.job)
            self._dispatch()

    def move(self, device_id: str, executor: DeviceExecutor | None) -> None:
        """Renders elsewhere from now on; what is under way ends where it began."""
        with self._lock:
            self._device_id, self._executor = device_id, executor
            self._store.discard_other_devices(device_id)
            self._arena.clear()

    def drop_images(self) -> None:
        """Give the memory of decoded images back, for others that need it."""
        with self._lock:
            self._arena.clear()

    def close(self, patience_seconds: float = GOODBYE_SECONDS) -> None:
        """Finishes what the workers have in hand, refuses what waits, ends them and gives the memory back. Once is enough; more do no harm.

        Args:
            patience_seconds: how long the workers may take; what they have not done by then is refused.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._refuse_all(self._waiting)
        self._ticker.stop()
        try:
            self._workshop.stop(patience_seconds)
        finally:
            with self._lock:
                self._refuse_all([*self._waiting, *self._workshop.empty()])
                self._arena.close()

    def report(self) -> dict[str, Any]:
        """Tells state, device, workers, counts and memory, JSON-ready."""
        with self._lock:
            slab = self._store.slab
            return {
                "state": "closed" if self._is_closed else "ready" if self._workshop.is_complete else "starting",
                "device": self._device_id,
                "workers": self._limits.workers,
                "pids": self._workshop.pids,
                **asdict(self._counts),
                "queued": len(self._waiting),
                "rendering": len({*self._workshop.jobs, *self._executing}),
                "slab": {
                    "size_bytes": self._store.size_bytes,
                    "used_bytes": slab.used_bytes,
                    "slots": slab.slots,
                    "kept": self._store.kept,
                    "device_bytes": self._store.device_bytes,
                },
                "arena": {"size_bytes": self._arena.size_bytes, "used_bytes": self._arena.used_bytes, "samples": self._arena.samples},
            }

    def _claim(self, job: Job, size_bytes: int) -> Callable[[], None] | None:
        """Claims a finished batch once more, for views of it that are still being sent; None where memory for a copy was reserved instead."""
        with self._lock:
            self._take_back()
            end = self._loans.lend(job, size_bytes)
            if end is None and not self._copies.reserve(size_bytes):
                end = self._loans.lend(job, size_bytes, is_bounded=False)
            return end

    def _take_back(self) -> None:
        for job in self._loans.take_back():
            self._settle(job)

    def _keep_up(self, version: str) -> None:
        """Forgets what was rendered of an older version, and with it that listing: nobody can ask for it any more."""
        if version != self._version:
            self._version = version
            self._store.discard_other_versions(version)
            self._ahead.clear()

    def _enqueue(self, order: Order) -> Job:
        if len(self._waiting) >= self._limits.queue_length:
            self._counts.refused += 1
            raise QueueFull(f"The queue of {self._name} is full: {count_of(len(self._waiting), 'batch', 'batches')} waiting.")
        job = Job(order, self._device_id, self._executor)
        self._store.add(job)
        self._waiting.append(job)
        return job

    def _dispatch(self) -> None:
        """Gives waiting jobs to the workers, as long as those have room and there is memory; then reads ahead, if nobody waits."""
        self._take_back()
        while self._waiting and self._workshop.has_room:
            job = self._waiting[0]
            try:
                size_bytes = self._sample_sizes.estimate(job, self._store.size_bytes)
            except BatchTooLarge as exc:
                self._waiting.popleft()
                self._fail(job, exc)
                continue
            if not job.is_wanted:
                self._waiting.popleft()
                self._store.discard(job)
                continue
            offset = self._store.allocate(size_bytes)
            self._is_starved = offset is None
            if offset is None:
                return
            self._waiting.popleft()
            self._workshop.hand_out(job, offset, size_bytes, is_shared=True)
        while not self._waiting and not self._is_closed and self._workshop.has_idle:
            if not self._read_ahead():
                return

    def _read_ahead(self) -> bool:
        """Hands out one batch that nobody has asked for yet, within a quarter of the memory; says whether there was one."""
        for gone in [each for each in self._unread if not self._store.owns(each)]:  # It had to give way, or was too large: not to be tried again and again.
            self._unread.discard(gone)
            self._ahead.leave(gone.order)
        order = self._ahead.next(lambda key: self._store.holds((key, self._device_id)) or self._crashes.holds(key))
        if order is None:
            return False
        if self._crashes.refuses(order):  # For a sample that has crashed others.
            self._ahead.leave(order)
            return False
        job = Job(order, self._device_id, self._executor)
        available_bytes = self._store.size_bytes // _AHEAD_SHARE // (len(self._unread) + 1)
        if self._sample_sizes.least(job) > available_bytes:
            return False
        size_bytes = self._sample_sizes.estimate(job, available_bytes)
        offset = self._store.allocate(size_bytes)
        if offset is None:
            return False
        self._store.add(job)
        self._unread.add(job)
        self._counts.ahead += 1
        self._workshop.hand_out(job, offset, size_bytes, is_shared=False)
        return True

    def _take(self, job: Job) -> None:
        """Takes a job back from the workers, or a part of one."""
        if not job.tasks:  # Else others still write to the slot.
            self._guard(job, partial(self._advance, job))
        self._dispatch()

    def _advance(self, job: Job) -> None:
        if job.error is not None:
            self._fail(job, job.error)
        elif job.needed_bytes:
            self._learn(job)
        elif job.executor is not None:
            self._executing.add(job)
            task, report = job.done[0]
            job.executor.submit(task, report, self._store.slab.memory, partial(self._take_device_outcome, job))
        else:
            job.finish(self._store.slab.memory)
            if job.known_sample_bytes is None:
                self._store.trim(job)
                self._sample_sizes.note(job)
            self._count(job)

    def _take_device_outcome(self, job: Job, outcome: DeviceOutcome) -> None:
        with self._lock:
            self._executing.discard(job)
            self._guard(job, partial(self._advance_on_device, job, outcome))
            self._dispatch()

    def _advance_on_device(self, job: Job, outcome: DeviceOutcome) -> None:
        if outcome.error is not None:
            self._fail(job, job.name(outcome.error, outcome.position))
            return
        job.finish_on_device(outcome)
        self._store.keep_on_device(job)
        self._count(job)

    def _guard(self, job: Job, step: Callable[[], None]) -> None:
        """Takes a step; a fault in it fails the job, not the thread."""
        try:
            step()
        except Exception as exc:  # noqa: BLE001
            _LOG.exception("a batch of %s failed", self._name)
            self._executing.discard(job)
            self._fail(job, exc)

    def _learn(self, job: Job) -> None:
        """Remembers how large a recipe's samples get, and puts the job first in the queue again."""
        self._store.free_slot(job)
        self._sample_sizes.learn(job)
        self._waiting.appendleft(job)

    def _count(self, job: Job) -> None:
        self._counts.rendered += 1
        self._counts.images += len(job.order)
        self._counts.served += len(job.tickets)
        self._settle(job)

    def _refuse_all(self, jobs: Iterable[Job]) -> None:
        for job in list(jobs):
            self._fail(job, ShuttingDown(f"The loader of {self._name} is closing."))
        self._waiting.clear()

    def _fail(self, job: Job, error: Exception) -> None:
        if job in self._unread:  # Else it would be tried again at once.
            self._ahead.leave(job.order)
        job.fail(error)
        self._store.discard(job)

    def _settle(self, job: Job) -> None:
        """Drops a job that nobody waits for before it is begun, or that was rendered on a device no longer used."""
        if job.tickets:
            return
        if job in self._waiting:
            self._waiting.remove(job)
            self._store.discard(job)
        elif job.batch is not None and job.device_id != self._device_id:
            self._store.discard(job)

    def _mourn(self, orphans: list[Orphan]) -> None:
        """Sees to jobs whose workers have died."""
        self._counts.restarts += 1
        for job, victims in reversed(orphans):
            self._try_again(job, victims)
        self._dispatch()

    def _try_again(self, job: Job, victims: Sequence[int]) -> None:
        """Puts a job in the queue again: first, or last where it may be to blame, so that others pass it."""
        job.blamed.update(victims)
        self._store.free_slot(job)
        guilty = next((position for position in victims if job.blamed[position] >= _DEATHS_ALLOWED), None)
        if guilty is not None:
            self._fail(job, self._crashes.add(job, guilty))
        elif not job.is_wanted:
            self._ahead.leave(job.order)
            self._store.discard(job)
        elif victims:
            self._waiting.append(job)
        else:
            self._waiting.appendleft(job)

    def _enforce_deadline(self) -> None:
        """Refuses claims that are older than the deadline, and ends workers that have been at one task for longer."""
        limit = time.monotonic() - self._limits.deadline_seconds
        late: Exception = DeadlineExceeded(f"The batch was not done within {self._limits.deadline_seconds:g} seconds.")
        starved = NoSlot(f"For {self._limits.deadline_seconds:g} seconds there was no memory for this batch: clients hold all that {self._name} has.")
        with self._lock:
            for job in [*self._workshop.jobs, *self._executing]:
                job.refuse_older(limit, late)
            for job in list(self._waiting):
                job.refuse_older(limit, starved if self._is_starved else late)
                if not job.is_wanted:
                    self._waiting.remove(job)
                    self._store.discard(job)
            self._dispatch()
        self._workshop.end_overdue(limit)
