"""What a request asks of a loader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.encoding.batch import Row
from service.loading.task import Rendered, Sample

if TYPE_CHECKING:
    from service.planning.address import Address
    from service.planning.plan import Plan
    from service.recipes.recipe import Recipe
    from service.sources.source import Dataset, Split


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

    def samples(self) -> tuple[Sample, ...]:
        """Lists the rows as a worker wants them."""
        rows = zip(self.plan.indices.tolist(), self.plan.keys.tolist(), strict=True)
        return tuple(Sample(index, key, self.split.file(index)) for index, key in rows)

    def rows(self, samples: tuple[Sample, ...], rendered: tuple[Rendered, ...]) -> tuple[Row, ...]:
        """Tells what became of each sample."""
        labels = self.split.labels[self.plan.indices].tolist()
        return tuple(
            Row(
                index=sample.index,
                label=label,
                class_name=self.dataset.classes[label],
                file=sample.file.label,
                key=sample.key,
                width=row.width,
                height=row.height,
                applied=row.applied,
                problem=row.problem,
            )
            for sample, label, row in zip(samples, labels, rendered, strict=True)
        )
