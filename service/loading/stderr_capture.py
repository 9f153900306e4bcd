"""What libraries write to standard error while a sample is rendered: libtiff's own lines, Python's warnings, a dying process's last words.

C libraries write to descriptor 2 without asking. A worker's descriptor 2 is a file in memory for all its life, so that a look at that file's length is
all that a sample costs; the server holds the same file, and reads what a worker that died has left there.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from typing import Any

_LOG = logging.getLogger(__name__)
_STDERR = 2
_MOST_BYTES = 2000


class StderrFile:
    """A file in memory that takes standard error's place. A process that is being started can be handed it."""

    def __init__(self, _descriptor: int | None = None) -> None:
        if _descriptor is None:
            _descriptor = os.memfd_create("batchlens stderr", os.MFD_CLOEXEC)
            fcntl.fcntl(_descriptor, fcntl.F_SETFL, os.O_APPEND)  # What comes after `read` has emptied it begins at 0 again.
        self._descriptor = _descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _attach, (DupFd(self._descriptor),)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def redirect(self) -> None:
        """Send what this process writes to descriptor 2 here, from now on."""
        os.dup2(self._descriptor, _STDERR)

    def read(self) -> str:
        """Take out what was written since the last call, at most 2,000 bytes of it; "" for nothing, which takes a microsecond."""
        size_bytes = os.fstat(self._descriptor).st_size
        if not size_bytes:
            return ""
        text = os.pread(self._descriptor, _MOST_BYTES, 0).decode("utf-8", "replace").strip()
        os.ftruncate(self._descriptor, 0)
        return text if size_bytes <= _MOST_BYTES else f"{text} ... ({size_bytes:,} bytes)"


def _attach(descriptor: Any) -> StderrFile:  # noqa: ANN401  DupFd returns a private type
    return StderrFile(descriptor.detach())


_LOCK = threading.Lock()


@contextmanager
def capture_stderr(on_text: Callable[[str], None]) -> Iterator[None]:
    """Capture what this process writes to descriptor 2, for a process that is no worker; one thread at a time. Takes some microseconds.

    Args:
        on_text: called in the end with what was written, if anything was.
    """
    with _LOCK:
        file, before = StderrFile(), _duplicate_stderr()
        if before is None:
            yield
            return
        file.redirect()
        try:
            yield
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            text = file.read()
            if text:
                on_text(text)


def _duplicate_stderr() -> int | None:
    try:
        return os.dup(_STDERR)
    except OSError:  # It is closed.
        return None


def log_stderr(text: str, **sample: object) -> None:
    """Log what libraries have written, as one line.

    Args:
        text: what they have written.
        **sample: which sample they were reading.
    """
    _LOG.warning("a library wrote to standard error", extra={"fields": {**sample, "text": text}})
