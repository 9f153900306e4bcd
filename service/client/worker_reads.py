"""Whether workers of a DataLoader read copies of a loader: memory that all copies share, in whatever way the workers were started."""

import mmap
import os
import sys
import tempfile
import weakref
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any

_ANY, _FIRST = range(2)
_BYTES = 2


def find_worker() -> tuple[int, int] | None:
    """Return which worker of a DataLoader this process is, and of how many; None outside of workers."""
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return None if info is None else (info.id, info.num_workers)


class WorkerReads:
    """A mark that workers set and the process that owns the loader sees. A copy that is pickled to go elsewhere has a mark of its own."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = _create_memory()
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _BYTES)
        self._has_begun = False
        weakref.finalize(self, os.close, descriptor).atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        if get_spawning_popen() is None or not hasattr(reduction, "DupFd"):
            return WorkerReads, ()
        return _attach, (reduction.DupFd(self._descriptor),)

    @property
    def is_marked(self) -> bool:
        """Whether a worker has begun to read since the last `clear`."""
        return self._memory[_ANY] != 0

    def mark(self) -> None:
        """Note that a worker reads."""
        self._memory[_ANY] = 1

    def begin_pass(self, worker: int) -> bool:
        """Note that a worker begins a pass.

        Args:
            worker: which one, from 0.

        Returns:
            whether it repeats the one before: a new copy begins where another began that has gone since. Only the first worker knows, and only once.
        """
        self.mark()
        is_repeat = worker == 0 and not self._has_begun and self._memory[_FIRST] == 1
        if worker == 0:
            self._memory[_FIRST] = 2 if self._memory[_FIRST] else 1
        self._has_begun = True
        return is_repeat

    def clear(self) -> None:
        """Note that the owner has said where it is."""
        self._memory[_ANY] = self._memory[_FIRST] = 0


def _create_memory() -> int:
    """Return the descriptor of a small file; in memory, on Linux."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("batchlens-loader")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _BYTES)
    return descriptor


def _attach(descriptor: Any) -> WorkerReads:  # noqa: ANN401  multiprocessing's handle
    return WorkerReads(descriptor.detach())
