"""Loaders over generated images, and orders for them."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from service.loading.accounts import LoaderLimits
from service.loading.arena import Budget
from service.loading.executor import DeviceExecutor
from service.loading.forkserver import START_METHOD, preload
from service.loading.job import Delivery
from service.loading.loader import Loader
from service.loading.order import Order
from service.planning.address import Address
from service.planning.plan import make_plan
from service.recipes.recipe import parse_recipe
from service.sources.source import Dataset, File, Reader, Split
from tests.loading.readers import PatternReader

RECIPE = "RandomResizedCrop(32) | RandomHorizontalFlip() | ColorJitter(0.4, 0.4, 0.4, 0.1) | ToTensor() | Normalize([0.5], [0.25])"
LIMITS = LoaderLimits(workers=1, slab_bytes=8 << 20, queue_length=64, deadline_seconds=60.0, arena_bytes=8 << 20)
SIZE = 60

OpenLoader = Callable[..., Loader]


def make_dataset(reader: Reader) -> Dataset:
    files = [(File(f"train/{'ab'[index % 2]}/{index:03}.png", 1, 1), index % 2) for index in range(SIZE)]
    split = Split.of("train", files)
    return Dataset("patterns", "generated", "patterns", ("a", "b"), {"train": split}, reader, 0, "0" * 16)


DATASET = make_dataset(PatternReader())


def order(step: int = 0, *, epoch: int = 0, recipe: str = RECIPE, **fields: object) -> Order:
    parsed = parse_recipe(recipe)
    address = Address("patterns", "0" * 16, "train", parsed.text, 0, epoch, step, 8, True, False, 0, 1, parsed.dtype)
    address = replace(address, **fields)
    split = DATASET.splits["train"]
    return Order(address.text, address, DATASET, split, parsed, make_plan(address, len(split)))


def digest(delivery: Delivery) -> str:
    """Hashes every pixel of a batch, and its shapes."""
    hashed = hashlib.sha256()
    for image in delivery.batch.images:
        hashed.update(repr((image.shape, image.dtype)).encode() + image.contiguous().numpy().tobytes())
    return hashed.hexdigest()


def take(loader: Loader, wanted: Order, use: Callable[[Delivery], object] = digest) -> object:
    """Asks for a batch, uses it, and lets it go."""
    ticket = loader.submit(wanted)
    try:
        return use(ticket.future.result(timeout=60))
    finally:
        loader.release(ticket)


def position_of(index: int, *, epoch: int = 0) -> int:
    """Finds the step that holds a sample."""
    return next(step for step in range(SIZE // 8 + 1) if index in np.asarray(order(step, epoch=epoch).plan.indices))


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> None:
    """Has the process that workers are forked from ready: on a busy machine it takes longer to load torch than some tests wait."""
    preload()
    first = multiprocessing.get_context(START_METHOD).Process(target=int)
    first.start()
    first.join()


@pytest.fixture
def open_loader() -> Iterator[OpenLoader]:
    """Opens loaders and closes them in the end."""
    opened: list[Loader] = []

    def open_one(reader: Reader | None = None, executor: DeviceExecutor | None = None, **limits: object) -> Loader:
        device = "cpu" if executor is None else "cuda:0"
        own = replace(LIMITS, **limits)
        loader = Loader("patterns/train", reader or PatternReader(), own, Budget(own.arena_bytes), device, executor)
        opened.append(loader)
        return loader

    yield open_one
    for loader in opened:
        loader.close()


@pytest.fixture
def executor() -> Iterator[DeviceExecutor]:
    """The device executor's whole path, on the CPU."""
    import torch

    executor = DeviceExecutor(torch.device("cpu"))
    yield executor
    executor.close()
