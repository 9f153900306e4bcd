"""Anonymous shared memory, and the slots in it."""

from __future__ import annotations

import mmap
import os
from multiprocessing.reduction import DupFd
from typing import Any

import torch
from torch import Tensor

_ALIGNMENT = 64
"""Bytes; a cache line, and a multiple of every element size."""


class SharedMemory:
    """A block of anonymous memory that worker processes can map too.

    It has no name (`memfd_create`), so it needs no `/dev/shm`, counts to the container's own memory and is gone with the last process that maps it. Linux only.

    Args:
        size_bytes: its size; pages are taken when they are first written.
    """

    def __init__(self, size_bytes: int, _descriptor: int | None = None) -> None:
        self.size_bytes = size_bytes
        if _descriptor is None:
            _descriptor = os.memfd_create("batchlens", os.MFD_CLOEXEC)
            os.ftruncate(_descriptor, size_bytes)
        self._descriptor = _descriptor
        self.bytes: Tensor = torch.frombuffer(mmap.mmap(_descriptor, size_bytes), dtype=torch.uint8)

    def __reduce__(self) -> tuple[Any, ...]:
        """Hands the descriptor to a process that is being started; works only then."""
        return _attach, (self.size_bytes, DupFd(self._descriptor))

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

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
    """Shared memory cut into slots of any size: first fit, neighbours joined when freed. Not thread-safe: its loader holds a lock.

    Args:
        size_bytes: of the whole.
    """

    def __init__(self, size_bytes: int) -> None:
        self.memory = SharedMemory(size_bytes)
        self._free = [(0, size_bytes)]
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
        needed = max(_ALIGNMENT, -(-size_bytes // _ALIGNMENT) * _ALIGNMENT)
        for position, (offset, length) in enumerate(self._free):
            if length >= needed:
                self._free[position : position + 1] = [(offset + needed, length - needed)] if length > needed else []
                self._used[offset] = needed
                return offset
        return None

    def free(self, offset: int) -> None:
        """Gives a slot back."""
        gaps = sorted([*self._free, (offset, self._used.pop(offset))])
        joined = gaps[:1]
        for start, length in gaps[1:]:
            last_start, last_length = joined[-1]
            if last_start + last_length == start:
                joined[-1] = (last_start, last_length + length)
            else:
                joined.append((start, length))
        self._free = joined
