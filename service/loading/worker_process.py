"""A worker process as its loader watches it: by a descriptor of its own, not by the word of the fork server, which may itself be gone."""

import os
import select
import signal
from contextlib import suppress
from multiprocessing.process import BaseProcess


class WorkerProcess:
    """Watches one process by its pidfd (Linux 5.3): it can be killed, and its end be seen, whoever its parent is.

    Args:
        process: has been started.

    Attributes:
        pid: its process id.
        was_killed: whether `kill` was called.
    """

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None  # noqa: S101  a process that was started has one
        self.pid = process.pid
        self.was_killed = False
        self._process = process
        self._descriptor = os.pidfd_open(self.pid)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def fileno(self) -> int:
        """The descriptor: readable once the process has ended."""
        return self._descriptor

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self.wait(0)

    @property
    def exit_code(self) -> int | None:
        """As the fork server tells it; negative for a signal."""
        return self._process.exitcode

    def kill(self) -> None:
        """Ends it now."""
        self.was_killed = True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Waits for its end at most so long; says whether it has come."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
