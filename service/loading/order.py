"""What a request asks of a loader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from service.encoding.batch import Row
from service.errors import ImageTooLarge, SampleError, UnreadableImage, of_sample

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

    def exif_orientation(self, position: int) -> int | None:
        """Return the EXIF orientation that a row's sample is read without, from its file; None where there is none, and where the file is no image.

        Raises:
            SampleError: the file has changed, or cannot be read at the moment: a guess would stay under the batch's entity tag.
        """
        file = self.file(position)
        try:
            return self.dataset.reader.header(file).exif_orientation
        except (UnreadableImage, ImageTooLarge):
            return None
        except SampleError as exc:
            raise of_sample(exc, int(self.plan.indices[position]), file.label) from exc

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
