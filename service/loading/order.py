"""What a request asks of a loader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.encoding.batch import Row

if TYPE_CHECKING:
    from service.loading.task import Rendered
    from service.planning.address import Address
    from service.planning.plan import Plan
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
    """

    key: str
    address: Address
    dataset: Dataset
    split: Split
    recipe: Recipe
    plan: Plan

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
