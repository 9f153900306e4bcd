"""Whether every image of some datasets can be used: read and rendered by the loaders that would serve it, with the recipe that its split has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from service.errors import BatchlensError, ImageTooLarge, SampleError, Unavailable, UnreadableImage
from service.loading.accounts import LoaderLimits
from service.loading.arena import Budget
from service.loading.loader import Loader
from service.loading.memory_plan import MemoryPlan
from service.loading.order import Order
from service.planning.address import Address, DType
from service.planning.plan import Plan
from service.planning.seeds import sample_keys
from service.processor import Processor
from service.recipes.presets import choose_recipe, named_recipes

if TYPE_CHECKING:
    from service.loading.job import Ticket
    from service.settings import Settings
    from service.sources.catalogue import Catalogue
    from service.sources.source import Dataset, Split

IN_PROCESS = 64
"""So many images are read before worker processes would have started."""

_ROWS = 16
"""Images asked for together."""

_LEAST_DEADLINE_SECONDS = 30.0
"""Workers that are still starting, and images ahead in the queue, are no fault of an image."""


@dataclass(frozen=True, slots=True)
class Broken:
    """An image that cannot be used.

    Attributes:
        dataset: its dataset's name.
        split: its split's name.
        sample: its position in the split's listing.
        file: its path below the dataset's root.
        code: of the error that a batch of it gives.
        problem: that error's detail.
        recipe: name or text of the recipe that could not be applied; None where the file itself is at fault.
    """

    dataset: str
    split: str
    sample: int
    file: str
    code: str
    problem: str
    recipe: str | None


@dataclass(frozen=True, slots=True)
class Oriented:
    """An image that viewers turn or mirror, and that is read without: `ImageFolder` ignores EXIF orientation, too."""

    dataset: str
    split: str
    sample: int
    file: str
    exif_orientation: int


@dataclass(slots=True)
class CheckReport:
    """What was found, in the order of the listings.

    Attributes:
        checked: number of images.
        broken: those that cannot be used.
        oriented: those whose orientation is ignored; no fault.
        unavailable: datasets that were found and cannot be listed, with the reason.
    """

    checked: int = 0
    broken: list[Broken] = field(default_factory=list)
    oriented: list[Oriented] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether everything that was found can be used."""
        return not self.broken and not self.unavailable

    def to_json(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


class Checker:
    """Checks every image of a catalogue.

    Args:
        settings: of the service.
        catalogue: the datasets.

    Raises:
        InvalidRecipe, InvalidSettings: a recipe in the settings does not parse.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._named = named_recipes(settings.recipes)
        self._splits = [(dataset, split) for dataset in catalogue.datasets for split in dataset.splits.values()]
        self._recipes = [self._choose(dataset, split) for dataset, split in self._splits]
        self.total = sum(len(split) for _, split in self._splits)
        self.report = CheckReport(unavailable=dict(catalogue.unavailable))

    def run(self) -> Iterator[int]:
        """Check the images, and yield now and then how many more have been; the report grows meanwhile."""
        workers = Processor().count() if self.total > IN_PROCESS else 0
        depth = 2 * max(1, workers) + 1
        own = {
            "workers": workers,
            "arena_bytes": 0,  # Each image is read once.
            "queue_length": depth + 2,
            "deadline_seconds": max(self._settings.deadline_seconds, _LEAST_DEADLINE_SECONDS),
        }
        settings = self._settings.model_copy(update=own)
        limits = LoaderLimits.of(settings, MemoryPlan.of_machine(settings))
        for (dataset, split), (name, order) in zip(self._splits, self._recipes, strict=True):
            loader = Loader(f"{dataset.name}/{split.name}", dataset.reader, limits, Budget(0), "cpu", None)
            try:
                for rows, problems in _render_all(loader, order, depth):
                    self._note(order, rows, problems, name)
                    yield len(rows)
            finally:
                loader.close()

    def _choose(self, dataset: Dataset, split: Split) -> tuple[str, Order]:
        """Return the name or text of a split's recipe, and an order of its whole listing."""
        configured = self._settings.for_split(dataset.name, split.name).recipe
        recipe = choose_recipe(None, configured, split.name, self._named)
        name = configured or (split.name if split.name in self._named else "val")
        dtype = "uint8" if recipe.head_dtype == "uint8" else recipe.dtype
        resolution = self._settings.for_dataset(dataset.name).max_resolution
        address = Address(dataset.name, dataset.version, split.name, recipe.text, 0, 0, 0, _ROWS, False, False, 0, 1, cast(DType, dtype), "mask", resolution)
        indices = np.arange(len(split), dtype=np.int64)
        return name, Order("check", address, dataset, split, recipe, Plan(indices, sample_keys(0, 0, indices)))

    def _note(self, order: Order, rows: range, problems: dict[int, BatchlensError], recipe: str) -> None:
        self.report.checked += len(rows)
        dataset, split = order.dataset, order.split
        for index in rows:
            file, problem = split.file(index), problems.get(index)
            if problem is not None:
                detail = problem.detail.removeprefix(f"Sample {index} ({file.label}): ")
                at_fault = None if isinstance(problem, SampleError) else recipe
                told = f"recipe {recipe}: {detail}" if at_fault else detail
                self.report.broken.append(Broken(dataset.name, split.name, index, file.label, problem.code, told, at_fault))
                if isinstance(problem, UnreadableImage | ImageTooLarge):
                    continue
            try:
                orientation = dataset.reader.header(file).exif_orientation
            except SampleError:  # It has changed in the meantime.
                continue
            if orientation is not None:
                self.report.oriented.append(Oriented(dataset.name, split.name, index, file.label, orientation))


def _render_all(loader: Loader, order: Order, depth: int) -> Iterator[tuple[range, dict[int, BatchlensError]]]:
    """Render an order's rows, some at a time and so many times at once; yield each range with what stands in the way of a row."""
    under_way: deque[tuple[range, Ticket]] = deque()
    for first in range(0, len(order), _ROWS):
        rows = range(first, min(first + _ROWS, len(order)))
        under_way.append((rows, loader.submit(_part(order, rows))))
        if len(under_way) > depth:
            yield _finish(loader, order, *under_way.popleft())
    while under_way:
        yield _finish(loader, order, *under_way.popleft())


def _finish(loader: Loader, order: Order, rows: range, ticket: Ticket) -> tuple[range, dict[int, BatchlensError]]:
    """Wait for some rows, and ask again for each that was masked, alone and unmasked: its error tells what is wrong."""
    alone = replace(order, address=replace(order.address, on_error="fail"))
    suspects = _find_suspects(loader, rows, ticket)
    errors = [(index, _find_error(loader, loader.submit(_part(alone, range(index, index + 1))))) for index in suspects]
    return rows, {index: error for index, error in errors if error is not None}


def _find_suspects(loader: Loader, rows: range, ticket: Ticket) -> list[int]:
    """Return the rows that were masked, or all of them where the batch failed as a whole."""
    try:
        valid = ticket.future.result().batch.valid.tolist()
    except Unavailable:
        raise
    except BatchlensError:
        return list(rows)
    finally:
        loader.release(ticket)
    return [index for index, is_valid in zip(rows, valid, strict=True) if not is_valid]


def _find_error(loader: Loader, ticket: Ticket) -> BatchlensError | None:
    try:
        ticket.future.result()
    except Unavailable:
        raise
    except BatchlensError as exc:
        return exc
    finally:
        loader.release(ticket)
    return None


def _part(order: Order, rows: range) -> Order:
    part = slice(rows.start, rows.stop)
    return replace(order, key=f"check {order.address.on_error} {rows.start}-{rows.stop}", plan=Plan(order.plan.indices[part], order.plan.keys[part]))
