"""What is read while tuning: a split, a recipe, and orders for batches of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from service.errors import SampleError
from service.loading.order import Order
from service.planning.address import Address, DType
from service.planning.permutation import permute
from service.planning.plan import Plan
from service.planning.seeds import sample_keys
from service.recipes.presets import choose_recipe, named_recipes
from service.sources.catalogue import Catalogue
from service.sources.source import no_progress

if TYPE_CHECKING:
    import numpy.typing as npt

    from service.recipes.recipe import Recipe
    from service.settings import Settings
    from service.sources.source import Dataset, Progress, Split

_SEED = 0
_MOST_SAMPLES = 100_000
"""More than a machine decodes in the seconds that a setting gets."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is read.

    Attributes:
        dataset: that holds it.
        split: that is read.
        recipe: what is done to it.
        max_resolution: shorter side to which the dataset's larger photos are reduced, or None.
    """

    dataset: Dataset
    split: Split
    recipe: Recipe
    max_resolution: int | None

    @classmethod
    def find(cls, settings: Settings, dataset: str | None, split: str | None, recipe: str | None, progress: Progress = no_progress) -> Subject:
        """Finds what the user named; else the first dataset, its split `train` or else its first, and the recipe that the service would take.

        Raises:
            UnknownDataset, UnknownSplit, InvalidRecipe: what was named does not exist; lists what does.
            StartupError: there is no dataset.
        """
        catalogue = Catalogue.open(settings, progress)
        found = catalogue.dataset(dataset) if dataset else catalogue.datasets[0]
        part = found.split(split or ("train" if "train" in found.splits else next(iter(found.splits))))
        chosen = choose_recipe(recipe, settings.for_split(found.name, part.name).recipe, part.name, named_recipes(settings.recipes))
        return cls(found, part, chosen, settings.for_dataset(found.name).max_resolution)

    @property
    def samples(self) -> npt.NDArray[np.int64]:
        """Gives the samples that are read: the split's, in the order of the first epoch; of a large one the first 100,000."""
        return permute(np.arange(min(len(self.split), _MOST_SAMPLES), dtype=np.int64), len(self.split), _SEED, 0)

    def orders(self, indices: npt.NDArray[np.int64], batch_size: int, epoch: int) -> Iterator[Order]:
        """Makes orders for one pass over some samples, each as that epoch shows it.

        Args:
            indices: which samples, in order.
            batch_size: of each batch; the last may be smaller.
            epoch: counts the passes, so that no two ask for the same batch.
        """
        for step, start in enumerate(range(0, len(indices), batch_size)):
            rows = indices[start : start + batch_size]
            address = self._address(batch_size, epoch, step)
            yield Order(f"tune {address.text}", address, self.dataset, self.split, self.recipe, Plan(rows, sample_keys(_SEED, epoch, rows)))

    def endless_orders(self, indices: npt.NDArray[np.int64], batch_size: int, first_epoch: int) -> Iterator[Order]:
        """Goes on with pass after pass, shuffled anew each time."""
        epoch = first_epoch
        while True:
            shuffled = indices[permute(np.arange(len(indices), dtype=np.int64), len(indices), _SEED, epoch)]
            yield from self.orders(shuffled, batch_size, epoch)
            epoch += 1

    def read_files(self, seconds: float) -> None:
        """Reads files in the order of the first epoch, so that the kernel holds them for every setting alike; ends when all are read or the time is over."""
        ends = time.monotonic() + seconds
        for index in self.samples.tolist():
            if time.monotonic() > ends:
                return
            with suppress(SampleError, OSError):  # Loading it will tell.
                self.dataset.reader.original(self.split.file(index)).read_bytes()

    def _address(self, batch_size: int, epoch: int, step: int) -> Address:
        """As a training job asks: bytes where the recipe allows it, zeros in place of what cannot be read."""
        dtype = "uint8" if self.recipe.head_dtype == "uint8" else self.recipe.dtype
        return Address(
            dataset=self.dataset.name,
            version=self.dataset.version,
            split=self.split.name,
            recipe=self.recipe.text,
            seed=_SEED,
            epoch=epoch,
            step=step,
            batch_size=batch_size,
            shuffle=True,
            drop_last=False,
            rank=0,
            world_size=1,
            dtype=cast(DType, dtype),
            on_error="mask",
            max_resolution=self.max_resolution,
        )
