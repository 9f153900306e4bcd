"""The CPU as this process may use it: affinity, memory, limits of control groups and of address space."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_V2_MEMORY = ("memory.max", "memory.current", "inactive_file")
_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
"""Files of a control group with its limit and its usage, and the line of memory.stat with the file cache that can be
dropped, descendants included."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A device's memory.

    Attributes:
        total_bytes: what this process could use at most, in bytes.
        free_bytes: what is free now, in bytes; on the CPU with what the kernel can reclaim at once.
    """

    total_bytes: int
    free_bytes: int | None


class Processor:
    """Reads the kernel's files; cheap enough to ask per request, thread-safe.

    Limits of a control group hold for everything below it, so the lowest on the way up to the root counts; of cgroup v1
    and v2, where both are mounted.

    Args:
        root: where `proc` and `sys` are mounted.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    @cached_property
    def name(self) -> str:
        """The model's name; the machine's architecture where the kernel does not say (ARM)."""
        for line in self._lines("proc/cpuinfo"):
            field, _, value = line.partition(":")
            if field.strip() == "model name" and value.strip():
                return value.strip()
        return platform.processor() or platform.machine()

    def count(self) -> int:
        """Return how many processors this process may keep busy, at least 1.

        That is its affinity, lowered by a control group's quota (rounded down).
        """
        available = float(len(os.sched_getaffinity(0)))
        for quota, period in self._quotas():
            available = min(available, quota / period)
        return max(1, int(available))

    def memory(self) -> Memory:
        """Return the machine's memory, or the control group's where that is less.

        Free is what can be taken without swapping.
        """
        machine = self._table("proc/meminfo")
        total, free = machine["MemTotal"], machine["MemAvailable"]
        for limit, used in self._memory_limits():
            total, free = min(total, limit), min(free, max(0, limit - max(0, used)))
        return Memory(total, free)

    def address_space(self) -> Memory | None:
        """Return this process's limit of virtual memory (RLIMIT_AS, `ulimit -v`) and what is left; None without."""
        for line in self._lines("proc/self/limits"):
            if line.startswith("Max address space"):
                limit = line.removeprefix("Max address space").split()[0]
                used = self._table("proc/self/status").get("VmSize", 0)
                return Memory(int(limit), max(0, int(limit) - used)) if limit.isdigit() else None
        return None

    def private_bytes(self) -> int:
        """Return the anonymous memory that this process has resident: what no file can bring back."""
        return self._table("proc/self/status").get("RssAnon", 0)

    def _memory_limits(self) -> Iterator[tuple[int, int]]:
        """Yield the limit of every control group that has one, and what is used of it less droppable file cache."""
        for names, groups in ((_V2_MEMORY, self._groups()), (_V1_MEMORY, self._groups("memory"))):
            for group in groups:
                limit, used = self._number(group / names[0]), self._number(group / names[1])
                if limit is not None and used is not None:
                    yield limit, used - self._inactive_bytes(group / "memory.stat", names[2])

    def _inactive_bytes(self, path: Path, name: str) -> int:
        return next((int(line.split()[1]) for line in self._lines(path) if line.startswith(f"{name} ")), 0)

    def _quotas(self) -> Iterator[tuple[int, int]]:
        """Yield the time on processors that each control group may have in each period, both in microseconds."""
        for group in self._groups():
            for line in self._lines(group / "cpu.max"):
                quota, period = line.split()
                if quota != "max":
                    yield int(quota), int(period)
        for group in self._groups("cpu"):
            most, each = self._number(group / "cpu.cfs_quota_us"), self._number(group / "cpu.cfs_period_us")
            if most is not None and each and most > 0:  # -1: no limit.
                yield most, each

    def _groups(self, controller: str = "") -> Iterator[Path]:
        """Walk from this process's control group up to the root of its hierarchy.

        Args:
            controller: of cgroup v1; "" for cgroup v2, which has one hierarchy. In a container, the path is often the
                host's and not in sight: the root is the container's own group then.
        """
        for line in self._lines("proc/self/cgroup"):
            _, controllers, own = line.split(":", 2)
            if controller not in controllers.split(","):
                continue
            # `unified`: beside v1, in systemd's hybrid layout.
            names = [controllers, controller] if controller else ["", "unified"]
            for base in (Path("sys/fs/cgroup", name) for name in dict.fromkeys(names)):
                yield from _upwards(base, own)
            return
        yield Path("sys/fs/cgroup", controller)

    def _table(self, path: str) -> dict[str, int]:
        """Read a file of `name: number kB` lines, in bytes; other lines are left out."""
        rows = (line.partition(":")[::2] for line in self._lines(path))
        return {name: int(value.split()[0]) * 1024 for name, value in rows if value.endswith(" kB")}

    def _number(self, path: Path) -> int | None:
        text = next(self._lines(path), "max")
        return None if text == "max" else int(text)

    def _lines(self, path: Path | str) -> Iterator[str]:
        try:
            with (self._root / path).open(encoding="utf-8", errors="replace") as file:
                for line in file:
                    yield line.rstrip("\n")
        except OSError:  # a kernel or a container without this file
            return


def _upwards(base: Path, own: str) -> Iterator[Path]:
    """Yield a control group and its ancestors, `base` last."""
    group = base / own.lstrip("/")
    if ".." in group.parts:  # A group outside this container's view.
        group = base
    while group != base:
        yield group
        group = group.parent
    yield base
