"""One generation of workers: a DataLoader over a stream of tasks, the thread that pumps its outcomes, and the thread that watches its processes.

A DataLoader cannot lose a worker and go on: its queues may be locked by the dead. So a crew ends as a whole, within milliseconds of the first death (told by
the processes' own descriptors; the iterator itself takes 5 s), and its loader engages a new one.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader

from service.loading.board import Board, Note
from service.loading.forkserver import START_METHOD, preload
from service.loading.slab import SharedMemory
from service.loading.stderr_capture import StderrFile
from service.loading.task import Outcome, Task
from service.loading.worker import TaskStream
from service.loading.worker_process import WorkerProcess
from service.sources.source import Reader

_LOG = logging.getLogger(__name__)
_TICK_SECONDS = 0.5
_LOOK_SECONDS = 0.01
_READ_BYTES = 1 << 20
GOODBYE_SECONDS = 2.0
"""How long workers may take to end."""


@dataclass(frozen=True, slots=True)
class Death:
    """Workers that ended without being asked to.

    Attributes:
        blamed: what each of them was rendering; not those that the loader itself ended.
        exit_codes: of each, negative for a signal.
        last_words: what they wrote to standard error in the end; "" for nothing.
    """

    blamed: tuple[Note, ...]
    exit_codes: tuple[int | None, ...]
    last_words: str = ""


class Crew:
    """Workers that render tasks into a slab.

    Args:
        name: for thread names and logs.
        workers: number of processes; 0 renders in the pump thread.
        slab: memory that slots lie in.
        arena: memory that decoded pixels lie in.
        reader: reads the samples.
        on_outcome: called from the pump thread with every outcome.
        on_death: called once from the watch thread when a worker died, or the DataLoader failed; all others are dead by then.

    Attributes:
        workers: as given.
        started_seconds: `time.monotonic()` when the processes were there; infinite before.
    """

    def __init__(
        self,
        *,
        name: str,
        workers: int,
        slab: SharedMemory,
        arena: SharedMemory,
        reader: Reader,
        on_outcome: Callable[[Crew, Outcome], None],
        on_death: Callable[[Crew, Death], None],
    ) -> None:
        if workers:
            preload()
        context = multiprocessing.get_context(START_METHOD)
        self.workers = workers
        self._tasks: Any = context.Queue() if workers else queue.SimpleQueue()
        self._is_buried = threading.Lock()
        self._board = Board(workers)
        self._stderr = tuple(StderrFile() for _ in range(workers))
        self._on_outcome, self._on_death = on_outcome, on_death
        self._processes: list[WorkerProcess] = []
        self.started_seconds = float("inf")
        self._is_ending = threading.Event()
        self._is_started = threading.Event()
        self._has_failed = threading.Event()
        self._is_over = threading.Event()
        loader: DataLoader[Outcome] = DataLoader(
            TaskStream(self._tasks, slab, arena, reader, self._board, self._stderr),
            batch_size=None,
            num_workers=workers,
            collate_fn=_keep,
            in_order=False,
            generator=torch.Generator(),  # Else the iterator would draw from the global one, while another loader renders in this process.
            multiprocessing_context=context if workers else None,
        )
        self._pump_thread = threading.Thread(target=self._pump, args=(loader,), name=f"pump {name}", daemon=True)
        self._watch_thread = threading.Thread(target=self._watch, name=f"watch {name}", daemon=True)

    def start(self) -> None:
        """Starts the processes and threads; returns at once. Raises RuntimeError where no thread can be had, and leaves none behind."""
        self._watch_thread.start()
        try:
            self._pump_thread.start()
        except RuntimeError:
            self._is_ending.set()
            self._is_started.set()
            raise

    @property
    def pids(self) -> list[int]:
        """Process ids of the living workers."""
        return [process.pid for process in self._processes if process.is_alive]

    @property
    def is_complete(self) -> bool:
        """Whether every worker has been started and lives."""
        return self._is_started.is_set() and not self._has_failed.is_set() and len(self.pids) == self.workers

    def submit(self, task: Task) -> None:
        """Puts a task on the workers' queue; one that comes too late for this crew is left to the next."""
        with suppress(ValueError):  # The queue is closed.
            self._tasks.put(task)

    def kill_overdue(self, begun_before_seconds: float) -> None:
        """Kills the workers whose task began before that time (`time.monotonic()`); the watch thread reports the death."""
        for worker, process in enumerate(self._processes):
            note = self._board.read(worker)
            if note.task_id and note.since_seconds < begun_before_seconds:
                process.kill()

    def kill(self) -> None:
        """Kills every worker; the watch thread reports the death."""
        for process in self._processes:
            process.kill()

    def stop(self, patience_seconds: float = GOODBYE_SECONDS) -> None:
        """Lets tasks in the workers' hands finish, then ends processes and threads; kills what takes longer.

        Args:
            patience_seconds: for the tasks.
        """
        self._is_ending.set()
        self._is_over.set()
        self._is_started.wait(GOODBYE_SECONDS)
        with suppress(ValueError):  # The queue is closed: the crew is dead already.
            for _ in range(max(1, self.workers)):
                self._tasks.put(None)
        self._pump_thread.join(patience_seconds)
        self._bury()
        self._watch_thread.join(GOODBYE_SECONDS)
        self._on_outcome = self._on_death = ignore  # No way back to the loader, so that it is gone with its last user.

    def _pump(self, loader: DataLoader[Outcome]) -> None:
        torch.set_num_threads(1)
        try:
            outcomes = iter(loader)
            self._watch_processes(getattr(outcomes, "_workers", ()))  # DataLoader has no public name for them.
            self.started_seconds = time.monotonic()
            self._is_started.set()
            for outcome in outcomes:
                self._on_outcome(self, outcome)
        except Exception:  # noqa: BLE001  whatever it is, this crew is done
            if not self._is_ending.is_set():  # Else the DataLoader only noticed, 5 s late, that its workers are gone.
                _LOG.exception("the DataLoader of %s failed", threading.current_thread().name)
                self._has_failed.set()
                self._is_over.set()
        finally:
            self._is_started.set()

    def _watch_processes(self, processes: Sequence[BaseProcess]) -> None:
        """Gets hold of every process, so that none is left to itself; raises OSError where that fails for one, which is dead then."""
        failure = None
        for process in processes:
            try:
                self._processes.append(WorkerProcess(process))
            except OSError as exc:  # It has died already, or there are no descriptors left.
                failure = exc
                with suppress(OSError):
                    process.kill()
        if failure is not None:
            raise failure

    def _watch(self) -> None:
        self._is_started.wait()
        while not self._is_ending.is_set() and not self._has_failed.is_set():
            if not self._processes:
                self._is_over.wait()
            elif multiprocessing.connection.wait([each.fileno() for each in self._processes], _TICK_SECONDS):
                break
        if not self._is_ending.is_set():
            self._is_ending.set()
            self._on_death(self, self._post_mortem())

    def _post_mortem(self) -> Death:
        """Says who died and what of, not counting those that were killed for being late; then ends the others."""
        dead = [(self._board.read(worker), process) for worker, process in enumerate(self._processes) if not process.is_alive]
        blamed = tuple(note for note, process in dead if note.task_id and not process.was_killed)
        self._bury()
        words = (text for text in (each.read() for each in self._stderr) if text)
        return Death(blamed, tuple(process.exit_code for _, process in dead), "\n".join(words))

    def _bury(self) -> None:
        """Kills every process and sees its end, so that nothing writes to a slot any more."""
        self.kill()
        for process in self._processes:
            if not process.wait(GOODBYE_SECONDS):
                _LOG.error("worker %d does not end", process.pid)
        if self.workers and self._is_buried.acquire(blocking=False):
            self._end_queue()

    def _end_queue(self) -> None:
        """Closes the queue, and reads what no worker will: else the thread that feeds it would wait for ever where its pipe is full."""
        reader = os.dup(self._tasks._reader.fileno())  # There is no public way to it.
        try:
            self._tasks.cancel_join_thread()
            self._tasks.close()
            feeder = self._tasks._thread
            ends = time.monotonic() + GOODBYE_SECONDS
            while feeder is not None and feeder.is_alive() and time.monotonic() < ends:
                if select.select([reader], [], [], _LOOK_SECONDS)[0]:
                    os.read(reader, _READ_BYTES)
        finally:
            os.close(reader)


def ignore(*_: object) -> None:
    """Takes the place of a callback that is not to be called any more, and keeps nobody alive."""


def _keep(outcome: Any) -> Any:  # noqa: ANN401  the DataLoader's own signature speaks of lists
    return outcome
