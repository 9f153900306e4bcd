"""Which parts of a block of memory are free."""

from __future__ import annotations

from bisect import bisect_left

_ALIGNMENT = 64
"""Bytes; a cache line, and a multiple of every element size."""


def align(size_bytes: int) -> int:
    """Rounds a size up to what it takes in memory; at least one cache line."""
    return max(_ALIGNMENT, -(-size_bytes // _ALIGNMENT) * _ALIGNMENT)


class Gaps:
    """The free parts of a block: first fit, neighbours joined when they are given back. Not thread-safe.

    Args:
        size_bytes: of the block; all of it is free at first.
    """

    def __init__(self, size_bytes: int) -> None:
        self._free = [(0, size_bytes)]

    def take(self, size_bytes: int) -> int | None:
        """Takes a part of that size, which is a result of `align`; gives its offset, or None where no gap is large enough."""
        for position, (offset, length) in enumerate(self._free):
            if length >= size_bytes:
                self._free[position : position + 1] = [(offset + size_bytes, length - size_bytes)] if length > size_bytes else []
                return offset
        return None

    def give(self, offset: int, size_bytes: int) -> None:
        """Gives a part back that was taken, or a piece of one."""
        if not size_bytes:
            return
        position = bisect_left(self._free, (offset, 0))
        end = offset + size_bytes
        if position < len(self._free) and self._free[position][0] == end:
            end += self._free.pop(position)[1]
        if position and sum(self._free[position - 1]) == offset:
            position -= 1
            offset = self._free.pop(position)[0]
        self._free.insert(position, (offset, end - offset))
