"""What the workers have in hand: jobs cut into tasks, the arena that these read and write, and the crew that does them."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from service.loading.crew import GOODBYE_SECONDS, Crew, Death, ignore
from service.loading.stderr_capture import log_stderr
from service.loading.succession import Succession

if TYPE_CHECKING:
    from service.loading.accounts import LoaderLimits
    from service.loading.arena import Arena
    from service.loading.job import Job
    from service.loading.slab import SharedMemory
    from service.loading.task import Outcome, Task
    from service.sources.source import Reader

Orphan = tuple["Job", Sequence[int]]
"""A job whose workers are gone, and the positions that these were at."""

_LOG = logging.getLogger(__name__)
_TASKS_PER_WORKER = 2
"""One being rendered and one at hand, so that no worker waits for the server."""

_ROWS_WORTH_A_TASK = 4
"""Fewer rows are not shared out among idle workers."""

_SLACK_SECONDS = 1.0
"""A task waits for at most one other and each ends by the deadline; what takes longer than both, and this, is lost."""

_MOST_REMARKS = 10_000
"""So many are remembered, so that they are not logged in each epoch anew."""


class Workshop:
    """Hands jobs out and takes them back. Its loader holds the lock wherever nothing else is said.

    Args:
        name: of the loader, for logs.
        reader: reads the samples.
        limits: what may be used.
        slab: memory that slots lie in.
        arena: where decoded pixels lie.
        lock: of the loader; `on_back` and `on_death` are called under it.
        on_back: called with a job whenever one of its tasks is back; it has no more tasks when all are.
        on_death: called when workers died and there are new ones, with all that was in hand: it is in nobody's now.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        limits: LoaderLimits,
        slab: SharedMemory,
        arena: Arena,
        lock: threading.Lock,
        on_back: Callable[[Job], None],
        on_death: Callable[[list[Orphan]], None],
    ) -> None:
        self._name, self._reader, self._limits = name, reader, limits
        self._slab, self._arena = slab, arena
        self._lock = lock
        self._on_back, self._on_death = on_back, on_death
        self._working: dict[int, Job] = {}
        self._task_ids = itertools.count(1)
        self._remarks: set[tuple[object, ...]] = set()
        self._crews = Succession(name, lock, self._engage, self._take_outcome, self._take_death)

    @property
    def jobs(self) -> list[Job]:
        """What is in hand, the oldest first."""
        return list(dict.fromkeys(self._working.values()))

    @property
    def has_room(self) -> bool:
        """Whether more may be handed out."""
        return len(self._working) < _TASKS_PER_WORKER * max(1, self._limits.workers)

    @property
    def has_idle(self) -> bool:
        """Whether a worker has nothing to do. The server itself, where it renders, is never idle: nothing is done there unasked."""
        return len(self._working) < self._limits.workers

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers. Needs no lock."""
        return self._crews.crew.pids

    @property
    def is_complete(self) -> bool:
        """Whether all workers live. Needs no lock."""
        return self._crews.crew.is_complete

    @property
    def is_failing(self) -> bool:
        """Whether workers have died again and again without having done anything. Needs no lock."""
        return self._crews.is_failing

    def hand_out(self, job: Job, offset: int, size_bytes: int, *, is_shared: bool) -> None:
        """Gives a job to the workers.

        Args:
            job: what to render.
            offset: where its slot begins in the slab.
            size_bytes: of the slot.
            is_shared: whether workers that would stand idle may share it.
        """
        job.handed_seconds = time.monotonic()
        parts, limits = self._count_parts(job) if is_shared else 1, self._limits
        most_sample_bytes = limits.slab_bytes if limits.most_sample_bytes is None else limits.most_sample_bytes
        for task in job.make_tasks(self._task_ids, self._arena, offset, size_bytes, parts, most_sample_bytes):
            self._working[task.id] = job
            self._crews.crew.submit(task)

    def end_overdue(self, begun_before_seconds: float) -> None:
        """Ends workers that began a task before that time (`time.monotonic()`), and all of them where a task got lost. Not under the lock."""
        with self._lock:
            crew = self._crews.crew
            oldest = min((max(job.handed_seconds, crew.started_seconds) for job in self._working.values()), default=float("inf"))
        crew.kill_overdue(begun_before_seconds)
        if oldest < begun_before_seconds - self._limits.deadline_seconds - _SLACK_SECONDS and self._limits.workers:
            _LOG.error("a task of %s was never done; replacing its workers", self._name)
            crew.kill()

    def stop(self, patience_seconds: float = GOODBYE_SECONDS) -> None:
        """Lets the workers finish what they have in hand, and ends them. Not under the lock.

        Args:
            patience_seconds: how long they may take.
        """
        try:
            self._crews.stop(patience_seconds)
        finally:
            self._on_back = self._on_death = ignore  # No way back to the loader, so that it is gone with its last user.

    def empty(self) -> list[Job]:
        """Takes everything out of the workers' hands, which have ended; gives what was there."""
        jobs = self.jobs
        for job in jobs:
            self._abandon(job)
        self._working.clear()
        return jobs

    def _engage(self, on_outcome: Callable[[Crew, Outcome], None], on_death: Callable[[Crew, Death], None]) -> Crew:
        return Crew(
            name=self._name,
            workers=self._limits.workers,
            slab=self._slab,
            arena=self._arena.memory,
            reader=self._reader,
            on_outcome=on_outcome,
            on_death=on_death,
        )

    def _count_parts(self, job: Job) -> int:
        """Says how many workers share a batch: those that would stand idle, as long as each has a few rows."""
        idle = self._limits.workers - len(self._working)
        return max(1, min(idle, len(job.order) // _ROWS_WORTH_A_TASK))

    def _take_outcome(self, outcome: Outcome) -> None:
        job = self._working.pop(outcome.task_id)
        for position, text in outcome.remarks:
            self._log_remark(job, job.tasks[outcome.task_id], position, text)
        self._settle_arena(job.tasks[outcome.task_id], outcome)
        job.take(outcome)
        self._on_back(job)

    def _log_remark(self, job: Job, task: Task, position: int | None, text: str) -> None:
        """Log what a library wrote to standard error while it read a sample, or before it read any; once, however often it is read."""
        sample: dict[str, object] = {"dataset": job.order.dataset.name, "split": job.order.split.name}
        if position is not None:
            row = task.first + position
            sample |= {"sample": int(job.order.plan.indices[row]), "file": job.order.file(row).label}
        known = (job.order.address.version, sample.get("sample"), text)
        if known in self._remarks:
            return
        if len(self._remarks) >= _MOST_REMARKS:
            self._remarks.clear()
        self._remarks.add(known)
        log_stderr(text, **sample)

    def _settle_arena(self, task: Task, outcome: Outcome) -> None:
        """Enters what a worker left in the arena into its directory."""
        if outcome.report is None:
            self._arena.give_up(task.room)
        else:
            self._arena.settle(task.max_resolution, task.indices, task.room, outcome.report.placed, outcome.report.sizes)

    def _take_death(self, death: Death) -> None:
        orphans: list[Orphan] = [(job, _find_victims(job, death)) for job in self.jobs]
        self.empty()
        self._on_death(orphans)

    def _abandon(self, job: Job) -> None:
        """Forgets the parts of a job that nobody works on any more."""
        for task in job.tasks.values():
            self._arena.give_up(task.room)
        job.tasks.clear()


def _find_victims(job: Job, death: Death) -> list[int]:
    """Lists the positions of a job that dead workers were at."""
    return [job.tasks[note.task_id].first + note.position for note in death.blamed if note.task_id in job.tasks]
