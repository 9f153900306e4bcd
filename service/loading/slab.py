"""Anonymous shared memory, and the slots in it."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from functools import cached_property
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.errors import InsufficientMemory
from service.loading.gaps import Gaps, align

_MADV_POPULATE_WRITE = 23
"""From Linux 5.14 on; `mmap` has no name for it yet (madvise(2))."""

_MOST_MAPPED_BYTES = 64 << 20
"""Pages are given back through a mapping of so much at a time: MADV_REMOVE needs one, and address space may be scarce."""


class SharedMemory:
    """A block of anonymous memory that worker processes can map too.

    It has no name (`memfd_create`), so it needs no `/dev/shm`, counts to the container's own memory and is gone with the last process that maps it. Linux only.
    A process maps it when it first reads or writes it: one that only keeps account of it takes no address space for it.

    Args:
        size_bytes: its size; pages are taken when they are first written.
    """

    def __init__(self, size_bytes: int, _descriptor: int | None = None) -> None:
        self.size_bytes = size_bytes
        if _descriptor is None:
            _descriptor = os.memfd_create("batchlens", os.MFD_CLOEXEC)
            os.ftruncate(_descriptor, size_bytes)
        self._descriptor = _descriptor

    @cached_property
    def bytes(self) -> Tensor:
        """All of it, as a tensor.

        Raises:
            InsufficientMemory: this process may not map so much.
        """
        return torch.frombuffer(self._map, dtype=torch.uint8)

    @cached_property
    def array(self) -> npt.NDArray[np.uint8]:
        """The same as `bytes`, as a NumPy array: its slices cost less. Raises what `bytes` raises."""
        return self.bytes.numpy()

    @cached_property
    def _map(self) -> mmap.mmap:
        try:
            return mmap.mmap(self._descriptor, self.size_bytes)
        except OSError as exc:
            raise InsufficientMemory(
                f"{self.size_bytes:,} bytes of shared memory cannot be mapped: {exc.strerror}."
                " Lower BATCHLENS_SLAB_BYTES or BATCHLENS_ARENA_BYTES, or raise the limit of address space (ulimit -v)."
            ) from exc

    def __reduce__(self) -> tuple[Any, ...]:
        """Hands the descriptor to a process that is being started; works only then."""
        return _attach, (self.size_bytes, DupFd(self._descriptor))

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def write(self, offset: int, data: npt.NDArray[np.uint8]) -> None:
        """Copies bytes into the memory, by a call of the system: for pages that are not there yet it takes half the time of a copy, which would fault on each.

        Args:
            offset: first byte.
            data: one-dimensional and contiguous.
        """
        rest = data.data
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            offset, rest = offset + written, rest[written:]

    def touch(self, offset: int, size_bytes: int) -> None:
        """Takes pages before they are written, so that nobody waits for them then; where the machine cannot do that, they come when they are written.

        Args:
            offset: first byte, a multiple of the page size.
            size_bytes: of the part.
        """
        with suppress(OSError):
            self._map.madvise(_MADV_POPULATE_WRITE, offset, min(size_bytes, self.size_bytes - offset))

    def give_back(self, offset: int = 0, size_bytes: int | None = None) -> None:
        """Gives pages back to the machine; what was in them is zeros now, in all processes. Nobody may be reading.

        Args:
            offset: first byte of the part that is given back.
            size_bytes: of that part, of which only whole pages are given back; None for everything from there on.
        """
        end = self.size_bytes if size_bytes is None else offset + size_bytes
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        whole_pages_end = end if end == self.size_bytes else end // mmap.PAGESIZE * mmap.PAGESIZE
        for first in range(start, whole_pages_end, _MOST_MAPPED_BYTES):
            with mmap.mmap(self._descriptor, min(_MOST_MAPPED_BYTES, whole_pages_end - first), offset=first) as part:
                part.madvise(mmap.MADV_REMOVE)

    def view(self, offset: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Maps a tensor onto the memory.

        Args:
            offset: first byte, a multiple of the element size.
            shape: of the tensor.
            dtype: of its elements.
        """
        count = dtype.itemsize
        for side in shape:
            count *= side
        return self.bytes[offset : offset + count].view(dtype).view(shape)


def _attach(size_bytes: int, descriptor: Any) -> SharedMemory:  # noqa: ANN401  DupFd returns a private type
    return SharedMemory(size_bytes, descriptor.detach())


class Slab:
    """Shared memory cut into slots of any size. Not thread-safe: its loader holds a lock.

    Args:
        size_bytes: of the whole.

    Raises:
        InsufficientMemory: this process may not map so much.
    """

    def __init__(self, size_bytes: int) -> None:
        self.memory = SharedMemory(size_bytes)
        _ = self.memory.bytes  # Mapped at once: what cannot be mapped is to fail here, not when a batch is done.
        self._gaps = Gaps(size_bytes)
        self._used: dict[int, int] = {}

    @property
    def used_bytes(self) -> int:
        """Bytes in slots."""
        return sum(self._used.values())

    @property
    def slots(self) -> int:
        """Number of slots."""
        return len(self._used)

    def allocate(self, size_bytes: int) -> int | None:
        """Takes a slot.

        Args:
            size_bytes: at least this much.

        Returns:
            its offset, or None where no gap is large enough.
        """
        needed = align(size_bytes)
        offset = self._gaps.take(needed)
        if offset is not None:
            self._used[offset] = needed
        return offset

    def trim(self, offset: int, size_bytes: int) -> None:
        """Gives the end of a slot back.

        Args:
            offset: the slot's.
            size_bytes: what is kept of it, from its beginning.
        """
        needed, used = align(size_bytes), self._used[offset]
        if needed < used:
            self._used[offset] = needed
            self._gaps.give(offset + needed, used - needed)

    def free(self, offset: int) -> None:
        """Gives a slot back."""
        self._gaps.give(offset, self._used.pop(offset))
