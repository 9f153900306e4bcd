"""From request parameters to an order: defaults filled in, everything checked, nothing rendered."""

from dataclasses import replace
from typing import cast

import numpy as np

from service.api.dependencies import Services
from service.api.queries import EpochQuery, ViewsQuery
from service.errors import InvalidParameter, VersionGone
from service.loading.order import Order
from service.planning.address import Address, DType
from service.planning.plan import Plan, make_plan, plan_sample
from service.recipes.presets import choose_recipe
from service.recipes.recipe import Recipe
from service.sources.source import Dataset, Split

_FLOATS = ("float32", "float16", "bfloat16")


def check_version(dataset: Dataset, version: str | None) -> None:
    """Holds a pinned version against the one that is served.

    Raises:
        VersionGone: they differ.
    """
    if version is not None and version != dataset.version:
        raise VersionGone(f"Version {version!r} of {dataset.name!r} is no longer served; now it is {dataset.version!r}.", current=dataset.version)


def is_pinned(services: Services, query: EpochQuery | ViewsQuery) -> bool:
    """Says whether a URL names everything that its answer depends on, so that a cache may keep it for ever: nothing is left to settings, which may change."""
    has_text = query.recipe is not None and query.recipe.strip() not in services.recipes
    is_whole = isinstance(query, ViewsQuery) or None not in (query.batch_size, query.shuffle)
    return query.version is not None and has_text and is_whole


def find_recipe(services: Services, dataset: Dataset, split: Split, text: str | None) -> Recipe:
    """Gives the recipe asked for, else the split's own; raises InvalidRecipe as `choose_recipe` says."""
    return choose_recipe(text, services.settings.for_split(dataset.name, split.name).recipe, split.name, services.recipes)


def find_max_resolution(services: Services, dataset: Dataset, query: EpochQuery | ViewsQuery) -> int | None:
    """Gives the one asked for, else the one set for the dataset; but none for a URL that names everything else, since that leaves nothing to settings."""
    if query.max_resolution is not None or is_pinned(services, query):
        return query.max_resolution or None
    return services.settings.for_dataset(dataset.name).max_resolution


def make_address(services: Services, dataset: Dataset, split: Split, query: EpochQuery, epoch: int, step: int) -> tuple[Address, Recipe]:
    """Completes a query to an address.

    Raises:
        InvalidParameter: batch_size, rank or dtype do not fit.
        InvalidRecipe: see `find_recipe`.
        VersionGone: see `check_version`.
    """
    check_version(dataset, query.version)
    defaults, settings = services.settings.for_split(dataset.name, split.name), services.settings
    recipe = find_recipe(services, dataset, split, query.recipe)
    batch_size = query.batch_size or defaults.batch_size or settings.batch_size
    shuffle = next(each for each in (query.shuffle, defaults.shuffle, settings.shuffle) if each is not None)
    address = Address(
        dataset=dataset.name,
        version=dataset.version,
        split=split.name,
        recipe=recipe.text,
        seed=query.seed,
        epoch=epoch,
        step=step,
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=query.drop_last,
        rank=query.rank,
        world_size=query.world_size,
        dtype=query.dtype or cast(DType, recipe.dtype),
        on_error=query.on_error,
        max_resolution=find_max_resolution(services, dataset, query),
    )
    _check(address, recipe, settings.max_batch_size)
    return address, recipe


def _check(address: Address, recipe: Recipe, max_batch_size: int) -> None:
    if address.batch_size > max_batch_size:
        raise InvalidParameter(f"batch_size {address.batch_size} is above the {max_batch_size} allowed.", maximum=max_batch_size)
    if address.rank >= address.world_size:
        raise InvalidParameter(f"rank {address.rank} is not below world_size {address.world_size}; ranks count from 0.")
    if address.dtype == "uint8" and recipe.head_dtype != "uint8":
        raise InvalidParameter(
            "dtype=uint8 stops before a recipe's tail, but this recipe turns to floats earlier: only its end may hold ToTensor, ToDtype, Normalize."
        )
    if address.dtype in _FLOATS and recipe.dtype == "uint8":
        raise InvalidParameter(f"dtype={address.dtype} needs a recipe that yields floats; this one yields uint8. Append '| ToTensor()'.")


def make_order(services: Services, dataset: Dataset, split: Split, query: EpochQuery, epoch: int, step: int) -> Order:
    """Plans a batch.

    Raises:
        UnknownStep: the step lies past the end of the epoch.
        BatchlensError: as `make_address` says.
    """
    address, recipe = make_address(services, dataset, split, query, epoch, step)
    return Order(address.text, address, dataset, split, recipe, make_plan(address, len(split)))


def make_views_order(services: Services, dataset: Dataset, split: Split, query: ViewsQuery, index: int) -> Order:
    """Plans one sample as several epochs show it.

    Raises:
        BatchlensError: as `make_address` says.
    """
    max_resolution = find_max_resolution(services, dataset, query) or 0
    shared = EpochQuery(seed=query.seed, recipe=query.recipe, version=query.version, max_resolution=max_resolution)
    address, recipe = make_address(services, dataset, split, shared, query.epoch, 0)
    address = replace(address, batch_size=query.epochs, dtype="uint8" if recipe.head_dtype == "uint8" else address.dtype)
    plans = [plan_sample(index, query.seed, query.epoch + position) for position in range(query.epochs)]
    plan = Plan(np.concatenate([each.indices for each in plans]), np.concatenate([each.keys for each in plans]))
    return Order(f"sample {index} of {address.text}", address, dataset, split, recipe, plan)
