"""What a worker process does: take a task, render its rows into their slot, say what was done."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import torch
from torch.utils.data import IterableDataset, get_worker_info

from service.errors import BatchlensError, RenderCrashed, RenderFailed
from service.loading.board import Board
from service.loading.foreland import Foreland
from service.loading.remarks import CapturingReader, Remarks
from service.loading.rendering import Rendering, prove_fast_way
from service.loading.slab import SharedMemory
from service.loading.stderr_capture import StderrFile
from service.loading.task import Outcome, Task
from service.recipes.canvas import Canvas
from service.recipes.operation import is_out_of_memory
from service.sources.source import Reader


class Queue(Protocol):
    """The end of a queue that a worker needs."""

    def get(self) -> Task | None:
        """Waits for the next task; None at the end."""
        ...

    def empty(self) -> bool:
        """Whether no task waits."""
        ...


class TaskStream(IterableDataset[Outcome]):
    """The dataset behind the DataLoader: an endless stream of outcomes, one for each task taken from the queue.

    Args:
        tasks: queue shared by the workers.
        slab: memory that slots lie in.
        arena: memory that decoded pixels lie in.
        reader: reads the samples.
        board: where workers note what they do.
        stderr: of each worker, what it writes there; none where tasks are rendered in the server itself.
    """

    def __init__(self, tasks: Queue, slab: SharedMemory, arena: SharedMemory, reader: Reader, board: Board, stderr: tuple[StderrFile, ...] = ()) -> None:
        self._tasks = tasks
        self._slab = slab
        self._arena = arena
        self._reader = reader
        self._board = board
        self._stderr = stderr

    def __iter__(self) -> Iterator[Outcome]:
        """Renders tasks until the queue says None."""
        info = get_worker_info()
        worker = info.id if info is not None else 0
        if info is not None:
            self._stderr[worker].redirect()
            threading.Thread(target=_leave_with_server, name="leave with server", daemon=True).start()
        torch.set_num_threads(1)  # Sums over an image must not depend on how many threads share them.
        warnings.filterwarnings("ignore", module="PIL")  # About the files of others; a decoded image is right or an error.
        if info is not None:
            prove_fast_way()  # Now, while nobody waits.
        canvas = Canvas()
        foreland = Foreland(self._slab) if info is not None else None
        while (task := self._take(foreland)) is not None:
            remarks = Remarks(self._stderr[worker] if self._stderr else None)
            yield replace(self._perform(task, worker, canvas, remarks), remarks=remarks.close())

    def _take(self, foreland: Foreland | None) -> Task | None:
        """Waits for the next task, and makes use of the time."""
        while foreland is not None and self._tasks.empty() and foreland.grow():
            pass
        task = self._tasks.get()
        if foreland is not None and task is not None:
            foreland.reach(task.offset)
        return task

    def _perform(self, task: Task, worker: int, canvas: Canvas, remarks: Remarks) -> Outcome:
        started = time.perf_counter()
        rendering = None

        def note(position: int) -> None:
            remarks.move(position)
            self._board.move(worker, position)

        self._board.begin(worker, task.id)
        try:
            reader = self._reader if self._stderr else CapturingReader(self._reader, remarks)
            rendering = Rendering(task, self._slab, self._arena, reader, canvas, note)
            report = rendering.run()
        except BatchlensError as exc:
            return Outcome(task.id, error=exc, position=None if rendering is None else rendering.position, seconds=time.perf_counter() - started)
        except Exception as exc:  # noqa: BLE001  a fault in one task must not end the stream
            if not is_out_of_memory(exc):
                return Outcome(task.id, error=RenderFailed(traceback.format_exc()), seconds=time.perf_counter() - started)
            error = RenderCrashed("takes more memory than a worker can have")
            return Outcome(task.id, error=error, position=None if rendering is None else rendering.position, seconds=time.perf_counter() - started)
        finally:
            self._board.begin(worker, 0)
        needed_bytes = rendering.needed_bytes if rendering.needed_bytes > task.size_bytes else 0
        return Outcome(task.id, report, needed_bytes, seconds=time.perf_counter() - started)


def _leave_with_server() -> None:
    """Ends this worker as soon as its server is gone, however that went. The DataLoader's own watch looks at the fork server, which outlives it."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)
