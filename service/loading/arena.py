"""The arena: shared memory that holds decoded pixels, so that a photo is decoded once.

An epoch touches each sample once, so throwing out the least recently used would be useless: what fits stays. Workers write the pixels, this process alone keeps
the directory of what is where: tasks tell workers, reports tell the directory. A worker that dies in the middle of a write leaves nothing behind, since nothing
is in the directory before its report has come.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.loading.gaps import Gaps, align
from service.loading.slab import SharedMemory

if TYPE_CHECKING:
    from service.sources.source import Split

Integers = npt.NDArray[np.int64]

_GUESS_BYTES = 1 << 20
_LEAST_ROOM_BYTES = 1 << 16
_MOST_RESOLUTIONS = 4


class Budget:
    """Memory that several arenas share. Thread-safe.

    Args:
        size_bytes: of all of them together.

    Attributes:
        size_bytes: the same; less while memory is needed elsewhere.
        most_bytes: what it can be at the most.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = self.most_bytes = size_bytes
        self._lock = threading.Lock()
        self._free_bytes = size_bytes

    @property
    def is_exceeded(self) -> bool:
        """Whether more is taken than there is since it was made smaller."""
        with self._lock:
            return self._free_bytes < 0

    def resize(self, size_bytes: int) -> None:
        """Make it smaller or larger, up to what it was at first; what is taken stays taken."""
        with self._lock:
            size_bytes = min(size_bytes, self.most_bytes)
            self._free_bytes += size_bytes - self.size_bytes
            self.size_bytes = size_bytes

    def take(self, size_bytes: int) -> bool:
        """Takes a part, if there is so much."""
        with self._lock:
            is_there = size_bytes <= self._free_bytes
            self._free_bytes -= size_bytes * is_there
            return is_there

    def give(self, size_bytes: int) -> None:
        """Gives a part back."""
        with self._lock:
            self._free_bytes += size_bytes


@dataclass(frozen=True, slots=True)
class Room:
    """Where a task may leave what it decodes.

    Attributes:
        offset: first byte in the arena.
        size_bytes: how much there is; 0 for none.
        is_announced: whether the arena waits for the task's end; False where the task neither reads nor writes it.
    """

    offset: int = 0
    size_bytes: int = 0
    is_announced: bool = True


class Directory:
    """What is where: the samples of one split, all decoded at one resolution. Pages that are never written take no memory.

    Args:
        size: number of samples in the split.
    """

    def __init__(self, size: int) -> None:
        self._starts = np.zeros(size, dtype=np.int64)  # plus 1
        self._shapes = np.zeros((size, 2), dtype=np.int32)

    def find(self, indices: Integers) -> Integers:
        """Gives (n, 3) for samples: offset (-1: nowhere), height, width (0: not known)."""
        return np.concatenate([self._starts[indices, None] - 1, self._shapes[indices]], axis=1)

    def learn(self, indices: Integers, shapes: Integers) -> None:
        """Takes note of heights and widths, (n, 2)."""
        self._shapes[indices] = shapes

    def enter(self, index: int, offset: int) -> bool:
        """Enters where a sample lies; says whether that is news."""
        is_new = not self._starts[index]
        if is_new:
            self._starts[index] = offset + 1
        return is_new


class Arena:
    """Decoded pixels of one split, and the directory of them. Not thread-safe: its loader holds a lock.

    Every task that reads or writes it is announced by `begin` and ends with `settle` or `give_up`; in between, what it was told stays true.

    Args:
        budget: how much memory there is.

    Attributes:
        memory: where the pixels lie, uint8 [H, W, 3] each.
        samples: how many it holds.
        used_bytes: what they take.
    """

    def __init__(self, budget: Budget) -> None:
        self.memory = SharedMemory(align(budget.most_bytes))
        self.samples = 0
        self.used_bytes = 0
        self._budget = budget
        self._split: Split | None = None
        self._directories: dict[int | None, Directory] = {}
        self._gaps = Gaps(self.memory.size_bytes)
        self._tasks = 0
        self._is_stale = False

    @property
    def size_bytes(self) -> int:
        """The budget, shared with other loaders."""
        return self._budget.size_bytes

    def begin(self, split: Split, max_resolution: int | None, indices: Integers) -> tuple[Integers, Room]:
        """Announces a task.

        Args:
            split: the listing that the samples are from. Another one than before empties the arena: its files may have changed.
            max_resolution: at which they are decoded.
            indices: (n,), the samples.

        Returns:
            (n, 3), where each of them lies: offset (-1: nowhere), height, width; and the room for those that are missing.
        """
        if split is not self._split:
            self._split = split
            self.clear()
        directory = self._directory(max_resolution)
        if directory is None:  # Such a task does not put off the moment when the old ones have ended.
            return np.full((len(indices), 3), -1, dtype=np.int64), Room(is_announced=False)
        self._tasks += 1
        places = directory.find(indices)
        return places, self._find_room(places[places[:, 0] < 0, 1:])

    def settle(self, max_resolution: int | None, indices: Integers, room: Room, placed: Integers, shapes: Integers) -> None:
        """Ends a task whose report has come.

        Args:
            max_resolution: at which its samples were decoded.
            indices: (n,), its samples.
            room: what it was lent.
            placed: (n,), where it has left each; -1 where it has not.
            shapes: (n, 2), height and width of each image; 0 where it could not be read.
        """
        if not room.is_announced:
            return
        directory, end = self._directory(max_resolution), room.offset
        if directory is not None:
            directory.learn(indices, shapes)
        for row in np.flatnonzero(placed >= 0).tolist():
            offset, size_bytes = int(placed[row]), align(3 * int(shapes[row].prod()))
            end = offset + size_bytes
            if directory is not None and directory.enter(int(indices[row]), offset):
                self.samples += 1
                self.used_bytes += size_bytes
            else:  # Another task was faster.
                self._drop(offset, size_bytes)
        self._give(end, room.offset + room.size_bytes - end)
        self._end()

    def give_up(self, room: Room) -> None:
        """Ends a task that nobody works on any more."""
        if not room.is_announced:
            return
        self._drop(room.offset, room.size_bytes)
        self._end()

    def clear(self) -> None:
        """Forgets everything and gives the memory back, as soon as no task reads it."""
        self._is_stale = self._tasks > 0
        if self._is_stale:
            return
        self.memory.give_back()
        self._budget.give(self.used_bytes)
        self.samples = self.used_bytes = 0
        self._gaps = Gaps(self.memory.size_bytes)
        self._directories.clear()

    def close(self) -> None:
        """Gives the memory and the budget back; no task may be under way."""
        self._tasks = 0
        self.clear()

    def _directory(self, max_resolution: int | None) -> Directory | None:
        """Gives the directory for a resolution; None while old tasks keep the arena from being emptied, and where clients ask for ever new resolutions."""
        if self._is_stale or self._split is None:
            return None
        if max_resolution not in self._directories and len(self._directories) < _MOST_RESOLUTIONS:
            self._directories[max_resolution] = Directory(len(self._split))
        return self._directories.get(max_resolution)

    def _end(self) -> None:
        self._tasks -= 1
        if self._is_stale:
            self.clear()

    def _find_room(self, missing: Integers) -> Room:
        """Lends room for samples: as much as they need where that is known, twice the usual where not; less where there is no such gap."""
        if not len(missing):
            return Room()
        usual = 2 * self.used_bytes // self.samples if self.samples else _GUESS_BYTES
        known = 3 * missing[:, 0] * missing[:, 1]
        wanted = align(int(np.where(known > 0, known + align(1), usual).sum()))
        while not self._budget.take(wanted) or (offset := self._take(wanted)) is None:
            if wanted < _LEAST_ROOM_BYTES:
                return Room()
            wanted = align(wanted // 2)
        return Room(offset, wanted)

    def _take(self, size_bytes: int) -> int | None:
        """Takes a gap for which the budget has been taken already; gives that back where there is none."""
        offset = self._gaps.take(size_bytes)
        if offset is None:
            self._budget.give(size_bytes)
        return offset

    def _drop(self, offset: int, size_bytes: int) -> None:
        """Gives a part back that may have been written: else its pages would count to nobody's budget."""
        self.memory.give_back(offset, size_bytes)
        self._give(offset, size_bytes)

    def _give(self, offset: int, size_bytes: int) -> None:
        self._gaps.give(offset, size_bytes)
        self._budget.give(size_bytes)
