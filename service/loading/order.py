"""What a request asks of a loader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from service.encoding.batch import Row
from service.planning.plan import Plan, make_plan

if TYPE_CHECKING:
    from service.loading.task import Rendered
    from service.planning.address import Address, Layout
    from service.recipes.recipe import Recipe
    from service.sources.source import Dataset, File, Split

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """Rows to render.

    Attributes:
        key: orders of equal keys give equal bytes on one device; usually the address's text.
        address: of the batch; recipe, dtype and on_error are taken from it.
        dataset: the listing that the plan was made for.
        split: likewise.
        recipe: the address's recipe, parsed.
        plan: which samples, with which keys.
        layout: how the batch shall lie in memory.
    """

    key: str
    address: Address
    dataset: Dataset
    split: Split
    recipe: Recipe
    plan: Plan
    layout: Layout = "nchw"

    @classmethod
    def of(cls, address: Address, dataset: Dataset, split: Split, recipe: Recipe, layout: Layout = "nchw") -> Self:
        """Orders the batch of an address.

        Raises:
            UnknownStep: the step lies past the end of the epoch.
        """
        return cls(_key(address, layout), address, dataset, split, recipe, make_plan(address, len(split)), layout)

    @property
    def is_step(self) -> bool:
        """Whether it is a step of an epoch, and no choice of samples of its own."""
        return self.key == self.key_of(self.address)

    def key_of(self, address: Address) -> str:
        """Gives the key of the same kind of order for another address."""
        return _key(address, self.layout)

    def move_to(self, address: Address) -> Order:
        """Gives the same kind of order for another address of the split; raises as `of` does."""
        return Order.of(address, self.dataset, self.split, self.recipe, self.layout)

    def lie(self, layout: Layout) -> Order:
        """Gives the order of the same batch in another layout."""
        return self if layout == self.layout else Order.of(self.address, self.dataset, self.split, self.recipe, layout)

    def __len__(self) -> int:
        return len(self.plan.indices)

    def file(self, position: int) -> File:
        """Gives the file of a row."""
        return self.split.file(int(self.plan.indices[position]))

    def labels(self) -> Integers:
        """Gives the class number of each row, int64 (n,)."""
        return self.split.labels[self.plan.indices].astype(np.int64)

    def tell(self, rendered: Iterable[Rendered]) -> tuple[Row, ...]:
        """Tells what became of each sample."""
        columns = zip(self.plan.indices.tolist(), self.plan.keys.tolist(), self.labels().tolist(), rendered, strict=True)
        return tuple(
            Row(
                index=index,
                label=label,
                class_name=self.dataset.classes[label],
                file=self.split.file(index).label,
                key=key,
                width=row.width,
                height=row.height,
                applied=row.applied,
                problem=row.problem,
            )
            for index, key, label, row in columns
        )


def _key(address: Address, layout: Layout) -> str:
    return address.text if layout == "nchw" else f"{layout} {address.text}"
