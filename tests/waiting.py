"""Waiting for something that comes about elsewhere."""

import time
from collections.abc import Callable


def wait_until(is_true: Callable[[], bool], seconds: float = 120) -> None:
    """Waits for something to come about; fails when it does not."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)
