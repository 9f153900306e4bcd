"""Calls a function again and again, in a thread of its own."""

import logging
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


class Ticker:
    """Calls a function twice a second until it is stopped, whatever the function raises.

    Args:
        name: of the thread.
        function: what to call.
    """

    SECONDS = 0.5

    def __init__(self, name: str, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function
        self._is_stopped = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Calls no more."""
        self._is_stopped.set()
        self._function = None  # No way back to the owner, so that it is gone with its last user.

    def _run(self) -> None:
        while not self._is_stopped.wait(self.SECONDS):
            function = self._function
            if function is not None:
                try:
                    function()
                except Exception:  # noqa: BLE001
                    _LOG.exception("%s failed", threading.current_thread().name)
                del function
