import asyncio
import inspect
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from service.client import RemoteLoader
from service.loading.accounts import LoaderLimits
from service.loading.memory_plan import MemoryPlan
from service.loading.order import Order
from service.loading.registry import Registry
from service.processor import Memory
from service.tuning.consumer import IN_FLIGHT, Log, consume
from service.tuning.subject import Subject
from tests.waiting import wait_until


@pytest.fixture
def registry(make_settings) -> Iterator[Registry]:
    settings = make_settings(workers=0)
    opened = Registry(LoaderLimits.of(settings, MemoryPlan.of(settings, Memory(1 << 30, None))), "cpu", torch.device)
    yield opened
    opened.close()


def test_has_as_many_batches_under_way_as_the_client():
    assert inspect.signature(RemoteLoader).parameters["prefetch"].default == IN_FLIGHT


def counted(orders: Iterator[Order], given: list[Order]) -> Iterator[Order]:
    for order in orders:
        given.append(order)
        yield order


class TestConsume:
    def test_takes_every_order_once_and_in_order(self, registry: Registry, subject: Subject):
        log = asyncio.run(consume(registry, subject.orders(subject.samples, 2, 0), 0.0, 60.0))
        assert [step.images for step in log.steps] == [2, 2, 2, 2, 1]
        assert log.indices == set(range(9))
        assert log.unreadable == set()
        assert all(before.done <= after.asked and after.asked <= after.got == after.done for before, after in zip(log.steps, log.steps[1:], strict=False))

    def test_never_has_more_under_way_than_it_says(self, registry: Registry, subject: Subject):
        given: list[Order] = []
        log = asyncio.run(consume(registry, counted(subject.endless_orders(subject.samples, 2, 1), given), 0.0, 0.0, least_steps=7))
        assert len(log.steps) == 7
        assert len(given) <= 7 + IN_FLIGHT

    def test_ends_when_the_time_is_over(self, registry: Registry, subject: Subject):
        begun = time.monotonic()
        log = asyncio.run(consume(registry, subject.endless_orders(subject.samples, 2, 1), 0.01, 0.3))
        assert log.steps[-1].got - begun >= 0.3
        assert log.steps[-2].got - begun < 0.3

    def test_computes_as_long_as_it_is_told(self, registry: Registry, subject: Subject):
        log = asyncio.run(consume(registry, subject.orders(subject.samples, 3, 0), 0.05, 60.0))
        assert all(step.done - step.got >= 0.05 for step in log.steps)

    def test_leaves_nothing_claimed(self, registry: Registry, subject: Subject):
        asyncio.run(consume(registry, subject.endless_orders(subject.samples, 2, 1), 0.0, 0.1))
        report = registry.report("pets", "train")
        assert report["queued"] == 0
        wait_until(lambda: registry.report("pets", "train")["rendering"] == 0)

    def test_counts_what_cannot_be_read(self, registry: Registry, damaged_subject: Subject):
        log: Log = asyncio.run(consume(registry, damaged_subject.orders(damaged_subject.samples, 4, 0), 0.0, 60.0))
        assert len(log.unreadable) == 1
        assert log.unreadable < log.indices == set(range(9))


class TestSubject:
    def test_orders_of_different_passes_share_no_batch_but_the_samples(self, subject: Subject):
        taken = [order for order, _ in zip(subject.endless_orders(subject.samples, 3, 1), range(6), strict=False)]
        assert len({order.key for order in taken}) == 6
        first, second = (np.concatenate([order.plan.indices for order in part]) for part in (taken[:3], taken[3:]))
        assert sorted(first) == sorted(second) == list(range(9))
        assert list(first) != list(second)
        assert not set(np.concatenate([order.plan.keys for order in taken[:3]])) & set(np.concatenate([order.plan.keys for order in taken[3:]]))

    def test_asks_as_a_training_job_does(self, subject: Subject):
        address = next(subject.orders(subject.samples, 3, 0)).address
        assert (address.dtype, address.on_error, address.shuffle) == ("uint8", "mask", True)

    def test_reads_no_longer_than_it_may(self, damaged_subject: Subject):
        damaged_subject.read_files(0.0)
        damaged_subject.read_files(60.0)
