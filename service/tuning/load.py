"""How busy other programs keep the processors while this one measures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from service.tuning.family import Family

_TOLERATED = 0.1
"""A machine is busy if more than this part of the processors that this process may use is taken by others."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor time since the machine started, in the kernel's ticks.

    Attributes:
        busy: of all programs, on the processors in question, and what a hypervisor has taken of them.
        own: of this process and its descendants.
        elapsed: on each processor, idle or not.
    """

    busy: int
    own: int
    elapsed: float


class Load:
    """The processors that others keep busy, before measurements and while they last.

    Args:
        family: this process and its descendants, whose work does not count.
        processors: that this process may keep busy; fewer than it may run on where a control group limits its time.
        cpus: numbers of the processors that it may run on; as the kernel says by default.
        proc: where the kernel's files are.

    Attributes:
        before: processors that others kept busy before; None if that is not known.
        during: likewise, while it was measured.
    """

    def __init__(self, family: Family, processors: int, cpus: Collection[int] | None = None, proc: Path = Path("/proc")) -> None:
        self._family = family
        self._processors = processors
        self._cpus = {f"cpu{each}" for each in (os.sched_getaffinity(0) if cpus is None else cpus)}
        self._proc = proc
        self.before: float | None = None
        self.during: float | None = None

    @property
    def is_busy(self) -> bool:
        """Whether others took, at any time, processors that the measurements could have used."""
        most = max(self.before or 0.0, self.during or 0.0)
        return most - (len(self._cpus) - self._processors) > _TOLERATED * self._processors

    def read(self) -> Ticks | None:
        """Return the time that was spent until now; None if the kernel does not tell."""
        try:
            lines = [line.split() for line in self._proc.joinpath("stat").read_text().splitlines()]
        except OSError:
            return None
        spent = [[int(each) for each in line[1:9]] for line in lines if line and line[0] in self._cpus]
        if not spent or any(len(each) < 8 for each in spent):
            return None
        busy = sum(user + nice + system + steal for user, nice, system, _, _, _, _, steal in spent)
        return Ticks(busy, self._family.ticks(), sum(map(sum, spent)) / len(spent))

    def since(self, start: Ticks | None) -> float | None:
        """Return how many processors others kept busy since an earlier reading, on average; None if that is not known."""
        now = self.read()
        if start is None or now is None or now.elapsed <= start.elapsed:
            return None
        return max(0.0, (now.busy - start.busy) - (now.own - start.own)) / (now.elapsed - start.elapsed)
