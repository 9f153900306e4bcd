"""Lists many folders: in this process at first, and where that takes long, in several others as well.

Threads would not do. Measured on 2 cores, for a million files in a thousand folders: this process alone 3.7 s, two threads 5.1 s, eight threads 6 to 8 s (each
look at a file is a call of a microsecond around which the interpreter's lock is let go and fought for), two processes 1.9 s; with nothing in the system's
caches 15.6, 10.9, 12.4 and 7.7 s.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from queue import SimpleQueue
from types import TracebackType

from service.processor import Processor
from service.sources import folder_lister
from service.sources.folder_lister import Listing, list_folder, read_answers, write_request

_LOG = logging.getLogger(__name__)
_ALONE_SECONDS = 0.5
_MOST_FOLDERS = 64
Process = subprocess.Popen[bytes]


class Listers:
    """Lists folders; a context that ends the processes it has started.

    Args:
        alone_seconds: how long to work alone; a dataset of up to a hundred thousand files is done by then.
        processes: how many help after that; by default two for each processor, from 4 to 16, since they also wait for disks and networks.
    """

    def __init__(self, alone_seconds: float = _ALONE_SECONDS, processes: int | None = None) -> None:
        self._alone_until = time.monotonic() + alone_seconds
        self._count = processes or min(16, max(4, 2 * Processor().count()))
        self._pool: ThreadPoolExecutor | None = None
        self._processes: list[Process] = []
        self._is_over = False
        self._idle: SimpleQueue[Process | None] = SimpleQueue()

    def __enter__(self) -> "Listers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over = True
        for process in self._processes:
            process.kill()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            process.communicate()

    def listings(self, paths: Sequence[str], has_images: bool) -> Iterator[Listing]:
        """Lists folders in the order given; see `list_folder`."""
        for position, path in enumerate(paths):
            if time.monotonic() > self._alone_until and len(paths) - position > 1:
                yield from self._share(paths[position:], has_images)
                return
            yield list_folder(path, has_images)

    def _share(self, paths: Sequence[str], has_images: bool) -> Iterator[Listing]:
        """Shares the work among processes, each of which is talked to by one thread at a time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count, "lister")
            self._processes = [process for process in (_start() for _ in range(self._count)) if process is not None]
            for number in range(self._count):
                self._idle.put(self._processes[number] if number < len(self._processes) else None)
        size = max(1, min(_MOST_FOLDERS, len(paths) // (8 * self._count)))
        parts = [list(paths[start : start + size]) for start in range(0, len(paths), size)]
        return chain.from_iterable(self._pool.map(lambda part: self._ask(part, has_images), parts))

    def _ask(self, paths: list[str], has_images: bool) -> list[Listing]:
        process = self._idle.get()
        try:
            if process is not None and process.stdin is not None and process.stdout is not None:
                write_request(process.stdin, paths, has_images)
                return list(read_answers(process.stdout, len(paths)))
        except (OSError, ValueError, EOFError) as exc:
            _LOG.debug("A process that lists folders has ended: %r", exc)
            process = None
        finally:
            self._idle.put(process)
        return [] if self._is_over else [list_folder(path, has_images) for path in paths]


def _start() -> Process | None:
    command = [sys.executable, "-I", "-S", folder_lister.__file__]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  this package's own file
    except OSError as exc:
        _LOG.debug("No process to list folders with: %s", exc)
        return None
