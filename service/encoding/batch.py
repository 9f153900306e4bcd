"""A rendered batch: what the loader hands to the encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from service.errors import UnequalShapes

if TYPE_CHECKING:
    from torch import Tensor

    from service.planning.address import Address

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Applied:
    """What one step of the recipe did to one sample.

    Attributes:
        step: the step's name, as in the recipe.
        applied: False where a random step left the sample as it was.
        params: the drawn parameters, JSON-ready; empty where the step draws none.
    """

    step: str
    applied: bool = True
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One sample of a batch, and what was done to it.

    Attributes:
        index: the sample's position in the split's listing.
        label: its class number.
        class_name: its class.
        file: path below the dataset's root, with forward slashes.
        key: the 64-bit random key.
        width: of the decoded image in pixels; 0 where it could not be read.
        height: likewise.
        applied: what each step did, in order.
        problem: None, or why the image could not be read or rendered (only with `on_error=mask`; the pixels are zeros then).
    """

    index: int
    label: int
    class_name: str
    file: str
    key: int
    width: int
    height: int
    applied: tuple[Applied, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """A rendered batch. It borrows the memory of its slot: use it only while its lease is held.

    Attributes:
        address: where it came from.
        block: the whole batch as one tensor [B, C, H, W] if it lies in memory like that, else None.
        parts: one tensor [C, H, W] a row where it does not.
        labels: int64 (B,), class numbers.
        indices: int64 (B,), positions in the split's listing.
        valid: bool (B,), whether the image could be read and rendered.
        tell: tells about the rows; only asked when that is wanted.
    """

    address: Address
    block: Tensor | None
    parts: tuple[Tensor, ...]
    labels: Integers
    indices: Integers
    valid: npt.NDArray[np.bool_]
    tell: Callable[[], tuple[Row, ...]]

    @cached_property
    def images(self) -> tuple[Tensor, ...]:
        """One tensor [C, H, W] a row, on the loader's device; views of one block where all shapes are equal."""
        return self.block.unbind() if self.block is not None else self.parts

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The samples, in the same order."""
        return self.tell()

    def tensor(self) -> Tensor:
        """Gives the batch as one tensor [B, C, H, W], without a copy where that is possible.

        Raises:
            UnequalShapes: names two samples that differ.
        """
        if self.block is not None:
            return self.block
        first = self.images[0].shape
        other = next((position for position, image in enumerate(self.images) if image.shape != first), None)
        if other is None:
            import torch

            return torch.stack(self.images)
        raise UnequalShapes(
            f"Samples {self.rows[0].index} and {self.rows[other].index} came out as {tuple(first)} and {tuple(self.images[other].shape)} [C, H, W],"
            " so the batch is no tensor. End the recipe's geometry with a fixed size, for instance CenterCrop(224).",
            samples=[self.rows[0].index, self.rows[other].index],
        )
