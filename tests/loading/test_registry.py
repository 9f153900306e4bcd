"""Which loaders are open, and what there is for each."""

import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from service.errors import InsufficientMemory, NotReady
from service.loading.accounts import LoaderLimits
from service.loading.memory_plan import MemoryPlan
from service.loading.order import Order
from service.loading.registry import Registry
from service.processor import Memory, Processor
from service.settings import Settings
from tests.loading.conftest import DATASET, LIMITS, digest, make_dataset, order
from tests.loading.readers import PatternReader
from tests.waiting import wait_until

MIB = 1 << 20
TRAIN = DATASET.splits["train"]
THREE = replace(DATASET, splits={name: replace(TRAIN, name=name) for name in ("train", "val", "test")})


@contextmanager
def opened(limits: LoaderLimits) -> Iterator[Registry]:
    registry = Registry(limits, "cpu", torch.device)
    try:
        yield registry
    finally:
        registry.close()


def of_split(split: str, epoch: int = 0) -> Order:
    wanted = order(epoch=epoch, split=split)
    return replace(wanted, dataset=THREE, split=THREE.splits[split])


async def _fetch(registry: Registry, wanted: Order) -> str:
    async with registry.fetch(wanted) as delivery:
        return digest(delivery)


def fetch(registry: Registry, split: str, epoch: int = 0) -> str:
    return asyncio.run(_fetch(registry, of_split(split, epoch)))


def planned(total_bytes: int, **values: object) -> LoaderLimits:
    """Limits of loaders without workers, on a machine of so much memory where the service itself takes none."""
    settings = Settings.model_construct(**{"workers": 0, "slab_bytes": 8 * MIB, "arena_bytes": 64 * MIB, **values})
    return LoaderLimits.of(settings, MemoryPlan.of(settings, Memory(total_bytes, None)))


@contextmanager
def address_space_left(size_bytes: int) -> Iterator[None]:
    """Leaves this process so much address space."""
    before, used = resource.getrlimit(resource.RLIMIT_AS), Processor()._table("proc/self/status")["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (used + size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_loader_that_cannot_be_mapped_is_refused_and_comes_when_there_is_memory(caplog: pytest.LogCaptureFixture) -> None:
    with opened(replace(LIMITS, workers=0, slab_bytes=2 << 30)) as registry:
        with address_space_left(1 << 30):
            for _ in range(2):
                with pytest.raises(InsufficientMemory, match=r"No loader can be opened for patterns/train: 2,147,483,648 bytes .* Lower BATCHLENS_SLAB_BYTES"):
                    fetch(registry, "train")
                with pytest.raises(NotReady, match="No loader can be opened for patterns/train"):
                    registry.check_ready()
        registry.check_ready()
        assert fetch(registry, "train")
    assert [each.levelname for each in caplog.records if "no loader can be opened" in each.message] == ["WARNING"], "once, not for each request"


def test_a_first_loader_that_cannot_be_mapped_leaves_the_service_up_and_not_ready() -> None:
    with opened(replace(LIMITS, workers=0, slab_bytes=2 << 30)) as registry, address_space_left(1 << 30):
        registry.start(DATASET)
        with pytest.raises(NotReady, match="patterns/train"):
            registry.check_ready()


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """Leaves this process so many file descriptors."""
    before, highest = resource.getrlimit(resource.RLIMIT_NOFILE), max(int(each.name) for each in Path("/proc/self/fd").iterdir())
    held = [os.dup(0)]
    while held[-1] <= highest:
        held.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1 + count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for each in held:
            os.close(each)


def test_a_loader_that_lacks_descriptors_is_not_ready_until_it_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is memory for it all the while, and there are descriptors for its batches, but none for images."""
    with opened(replace(LIMITS, workers=0)) as registry:
        with descriptors_left(2):
            registry.start(DATASET)
        assert "patterns/train: [Errno 24] Too many open files" in _why_not(registry)
        assert fetch(registry, "train")
        registry.check_ready()
        registry.close_loader("patterns", "train")
        monkeypatch.setattr("service.loading.registry._PAUSE_SECONDS", 0.0)
        with descriptors_left(2):
            registry.start(DATASET)
        registry.check_ready()


def test_an_idle_loader_gives_its_memory_to_one_that_cannot_be_mapped() -> None:
    with opened(replace(LIMITS, workers=0, slab_bytes=2 << 30)) as registry, address_space_left(3 << 30):
        assert fetch(registry, "train") == fetch(registry, "val")
        assert [each["split"] for each in registry.reports()] == ["val"]
        registry.check_ready()


def test_further_loaders_take_from_the_decoded_images() -> None:
    limits = planned(64 * MIB)
    sizes = []
    with opened(limits) as registry:
        for split in THREE.splits:
            fetch(registry, split)
            sizes.append({each["arena"]["size_bytes"] for each in registry.reports()})
        assert [len(each) for each in sizes] == [1, 1, 1], "it is shared"
        first, second, third = (each.pop() for each in sizes)
        assert first - second == second - third == limits.slab_bytes
        registry.close_loader("patterns", "val")
        assert registry.report("patterns", "train")["arena"]["size_bytes"] == second


def test_images_that_have_to_go_are_those_of_the_loader_used_least_recently() -> None:
    limits = planned(30 * MIB, max_loaders=3)
    limits = replace(limits, plan=replace(limits.plan, loaders=3))
    room = limits.arena_bytes_beside(2)
    with opened(limits) as registry:
        before = fetch(registry, "train"), fetch(registry, "val")
        held = {each["split"]: each["arena"]["used_bytes"] for each in registry.reports()}
        assert min(held.values()) > 0
        registry._limits = replace(limits, plan=replace(limits.plan, arena_bytes=held["val"]))  # As if the memory were that small.
        with registry._lock:
            registry._share_images()
        held = {each["split"]: each["arena"]["used_bytes"] for each in registry.reports()}
        assert held["train"] == 0 < held["val"] < room
        assert (fetch(registry, "train"), fetch(registry, "val")) == before


def test_where_memory_is_for_one_loader_splits_are_served_by_turns() -> None:
    with opened(planned(60 * MIB, slab_bytes=16 * MIB)) as registry:
        limits = registry._limits
        registry._limits = replace(limits, loaders=1)
        for epoch in range(3):
            assert fetch(registry, "train", epoch) == fetch(registry, "val", epoch)
            assert [each["split"] for each in registry.reports()] == ["val"]


class FatalReader(PatternReader):
    """Ends each process that it is handed to."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)


def _is_ready(registry: Registry) -> bool:
    try:
        registry.check_ready()
    except NotReady:
        return False
    return True


def _why_not(registry: Registry) -> str:
    with pytest.raises(NotReady) as caught:
        registry.check_ready()
    return str(caught.value)


def test_workers_that_die_at_once_are_not_ready() -> None:
    with opened(replace(LIMITS, workers=1)) as registry:
        registry.start(DATASET)
        wait_until(lambda: _is_ready(registry))
        registry.close_loader("patterns", "train")
        registry.start(make_dataset(FatalReader()))
        wait_until(lambda: not _is_ready(registry))
        assert "die before they have done anything" in _why_not(registry)
