"""The memory and the processor time of a process and of all that descend from it."""

import os
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Family:
    """A process with its descendants, as Linux tells of them. Processes may come and go meanwhile.

    Args:
        pid: of the process; this one by default.
        proc: where the kernel's files are.
    """

    def __init__(self, pid: int | None = None, proc: Path = Path("/proc")) -> None:
        self._pid = os.getpid() if pid is None else pid
        self._proc = proc

    def pids(self) -> set[int]:
        """Gives the process ids of all members that live."""
        parents = {int(each.name): self._parent(each) for each in self._proc.iterdir() if each.name.isdigit()}
        found = {self._pid} & set(parents)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def memory_bytes(self) -> int:
        """Adds up their memory: proportional set sizes, so that a page that several of them map counts once; shared memory for batches is among it."""
        return sum(self._memory_of(pid) for pid in self.pids())

    def ticks(self) -> int:
        """Add up their processor time, and that of children that are gone, in the kernel's ticks."""
        return sum(self._ticks_of(pid) for pid in self.pids())

    def _ticks_of(self, pid: int) -> int:
        try:
            fields = self._proc.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
            return sum(int(each) for each in fields[11:15])  # utime, stime, cutime, cstime; see proc(5)
        except (OSError, ValueError):
            return 0

    def _memory_of(self, pid: int) -> int:
        try:
            lines = self._proc.joinpath(str(pid), "smaps_rollup").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):  # Another user's, a kernel without this file, or gone.
            return self._resident_bytes(pid)

    def _resident_bytes(self, pid: int) -> int:
        try:
            return int(self._proc.joinpath(str(pid), "statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def _parent(self, folder: Path) -> int:
        try:
            return int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            return -1
