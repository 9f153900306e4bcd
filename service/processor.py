"""The CPU as this process may use it: affinity, memory and the limits of its control groups (cgroup v2)."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


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

    Limits of a control group hold for everything below it, so the lowest on the way up to the root counts. Limits of cgroup v1 are not read.

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
        """Counts the processors that this process may keep busy, at least 1: affinity, lowered by a cgroup's `cpu.max` (rounded down)."""
        available = float(len(os.sched_getaffinity(0)))
        for group in self._groups():
            for line in self._lines(group / "cpu.max"):
                quota, period = line.split()
                if quota != "max":
                    available = min(available, int(quota) / int(period))
        return max(1, int(available))

    def memory(self) -> Memory:
        """Gives the machine's memory, or the cgroup's where that is less; free is what can be taken without swapping."""
        machine = {name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in self._lines("proc/meminfo")) if value.strip()}
        total, free = machine["MemTotal"], machine["MemAvailable"]
        for group in self._groups():
            limit, used = self._number(group / "memory.max"), self._number(group / "memory.current")
            if limit is None or used is None:
                continue
            reclaimable = next((int(line.split()[1]) for line in self._lines(group / "memory.stat") if line.startswith("inactive_file ")), 0)
            total, free = min(total, limit), min(free, max(0, limit - max(0, used - reclaimable)))
        return Memory(total, free)

    def _groups(self) -> Iterator[Path]:
        """Walks from this process's control group up to the root."""
        base = Path("sys/fs/cgroup")
        own = next((line.removeprefix("0::/") for line in self._lines("proc/self/cgroup") if line.startswith("0::/")), "")
        group = base / own if ".." not in Path(own).parts else base  # '..': a group outside this container's view
        while group != base:
            yield group
            group = group.parent
        yield base

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
