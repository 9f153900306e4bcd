"""Memory that is made ready before anybody writes to it."""

from service.loading.slab import SharedMemory

_AHEAD_BYTES = 32 << 20
"""Room for three batches of 64 images of 224 x 224."""

_CHUNK_BYTES = 1 << 18
"""Touched at once; a fraction of a millisecond that a task may have to wait."""


class Foreland:
    """The next part of the slab, touched while there is nothing else to do: a page that is taken when it is first written costs three microseconds.

    Args:
        slab: memory that slots lie in.
    """

    def __init__(self, slab: SharedMemory) -> None:
        self._slab = slab
        self._touched_bytes = 0
        self._reached_bytes = 0

    def reach(self, offset: int) -> None:
        """Notes that slots begin as far out as there."""
        self._reached_bytes = max(self._reached_bytes, offset)

    def grow(self) -> bool:
        """Touches a little more, unless there is enough; says whether it did."""
        if self._touched_bytes >= min(self._reached_bytes + _AHEAD_BYTES, self._slab.size_bytes):
            return False
        self._slab.touch(self._touched_bytes, _CHUNK_BYTES)
        self._touched_bytes += _CHUNK_BYTES
        return True
