"""Where workers note what they are at, so that a crash can be traced to its sample."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from service.loading.slab import SharedMemory


class Note(NamedTuple):
    """What a worker is at.

    Attributes:
        task_id: 0 when idle.
        position: of the row in the task.
        since_seconds: `time.monotonic()` when it began the task.
    """

    task_id: int
    position: int
    since_seconds: float


class Board:
    """Shared memory with a note of each worker.

    Args:
        workers: number of workers, at least one.
    """

    def __init__(self, workers: int, _memory: SharedMemory | None = None) -> None:
        self._workers = max(1, workers)
        self._memory = _memory or SharedMemory(self._workers * 3 * 8)
        self._notes: npt.NDArray[np.int64] = self._memory.array.view(np.int64).reshape(self._workers, 3)

    def __reduce__(self) -> tuple[Any, ...]:
        return Board, (self._workers, self._memory)

    def begin(self, worker: int, task_id: int) -> None:
        """Notes that a worker begins a task; task 0 means idle."""
        self._notes[worker] = task_id, 0, time.monotonic_ns()

    def move(self, worker: int, position: int) -> None:
        """Notes which row a worker is at."""
        self._notes[worker, 1] = position

    def read(self, worker: int) -> Note:
        """Gives what a worker noted last."""
        task_id, position, since_ns = self._notes[worker].tolist()
        return Note(task_id, position, since_ns / 1e9)
