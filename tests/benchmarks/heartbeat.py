"""Notices when this process was stopped for a while (a laptop's lid, a busy host, SIGSTOP), which no figure may contain."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

_BEAT_SECONDS = 0.05
_GAP_SECONDS = 0.5
_ATTEMPTS = 5
T = TypeVar("T")


class Heartbeat:
    """Beats in a thread of its own and remembers when it last missed one."""

    def __init__(self, gap_seconds: float = _GAP_SECONDS) -> None:
        self._gap_seconds = gap_seconds
        self._missed_at = -1.0
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def undisturbed(self, measure: Callable[[], T]) -> T:
        """Measures, and does it again where the process was stopped meanwhile; the fifth attempt counts in any case."""
        for _ in range(_ATTEMPTS):
            begun = time.monotonic()
            found = measure()
            time.sleep(2 * _BEAT_SECONDS)
            if self._missed_at < begun:
                break
        return found

    def _beat(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(_BEAT_SECONDS)
            now = time.monotonic()
            if now - last > self._gap_seconds:
                self._missed_at = now
            last = now
