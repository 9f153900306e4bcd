"""Scratch memory that is used again and again: fresh memory costs page faults, more than what is done in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from torch import Tensor

_MOST_SHAPES = 64
_MOST_KEPT_BYTES = 16 << 20
"""Larger results are rare, and memory that is kept for them would be missed elsewhere."""


class Canvas:
    """Room for an image that is cut out, and for one that comes out. Not for two threads at once; what it gives is good until the next call."""

    def __init__(self) -> None:
        self._cut = torch.empty(0, dtype=torch.uint8)
        self._planes = np.empty(0, dtype=np.uint8)
        self._results: dict[tuple[int, int], tuple[Tensor, npt.NDArray[np.uint8]]] = {}

    def copy(self, part: Tensor, height: int, width: int) -> Tensor:
        """Copies a part of an image, [1, 3, height, width] with the strides of [H, W, 3], to where its rows lie side by side."""
        if self._cut.numel() < 3 * height * width:
            self._cut = torch.empty(3 * height * width, dtype=torch.uint8)
        return self._cut.as_strided((1, 3, height, width), (3 * height * width, 1, 3 * width, 3)).copy_(part)

    def planes(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Gives room for [3, height, width]."""
        size = 3 * height * width
        if len(self._planes) < size:
            self._planes = np.empty(size, dtype=np.uint8)
        return self._planes[:size].reshape(3, height, width)

    def result(self, height: int, width: int) -> tuple[Tensor, npt.NDArray[np.uint8]]:
        """Gives room for a result: as a tensor [1, 3, height, width] that lies in memory as [H, W, 3], and the same as an array [3, height, width]."""
        found = self._results.get((height, width))
        if found is None:
            memory = torch.empty((1, height, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
            found = memory, memory.numpy()[0]
            if len(self._results) >= _MOST_SHAPES:
                self._results.clear()
            if memory.nbytes <= _MOST_KEPT_BYTES:
                self._results[height, width] = found
        return found
