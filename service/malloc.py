"""A bound on the freed memory that the C library retains, for a process that runs for a year."""

import os
import sys

_THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(4 << 20)}
"""glibc raises both by itself, up to 32 and 64 MiB in each of eight arenas a processor: a server of many threads that draws pictures
grows by hundreds of MiB of free memory. Fixed, they stay (mallopt(3)); only a program's environment at its start can do that."""


def restart_with_bounded_malloc() -> None:
    """Run this program again with malloc's thresholds fixed, or return if it runs so already.

    Processes that it starts get malloc as it is: a worker decodes photos faster if it retains more. An environment that
    sets one of the variables decides for itself.
    """
    if all(os.environ.get(name) == value for name, value in _THRESHOLDS.items()):
        for name in _THRESHOLDS:
            del os.environ[name]
    elif os.environ.keys().isdisjoint(_THRESHOLDS):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | _THRESHOLDS)  # noqa: S606  its own command
