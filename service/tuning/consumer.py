"""A consumer like a training job: it takes batch after batch, a few of them under way ahead of it, and computes with each."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from service.tuning.waiting import Step

if TYPE_CHECKING:
    from torch import Tensor

    from service.loading.order import Order
    from service.loading.registry import Registry

IN_FLIGHT = 4
"""Batches that are under way or wait at the consumer; `RemoteLoader`'s default."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch in the consumer's own memory.

    Attributes:
        images: one tensor, or one a sample where their shapes differ.
        indices: which samples.
        unreadable: those that could not be read.
    """

    images: tuple[Tensor, ...]
    indices: tuple[int, ...]
    unreadable: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return sum(each.nbytes for each in self.images)


@dataclass(slots=True)
class Log:
    """What a consumer lived.

    Attributes:
        steps: its batches, in order.
        indices: every sample that it has seen.
        unreadable: those among them that could not be read.
        sample_bytes: of the largest sample, on average over its batch.
    """

    steps: list[Step]
    indices: set[int]
    unreadable: set[int]
    sample_bytes: int = 0

    def add(self, step: Step, taken: Taken) -> None:
        """Takes down a batch."""
        self.steps.append(step)
        self.indices.update(taken.indices)
        self.unreadable.update(taken.unreadable)
        self.sample_bytes = max(self.sample_bytes, taken.size_bytes // max(1, len(taken.indices)))


async def consume(registry: Registry, orders: Iterator[Order], compute_seconds: float, seconds: float, least_steps: int = 0) -> Log:
    """Takes batches until the orders end or the time is over.

    It really sleeps while it computes, as a process does whose GPU works, instead of working its waits out from the loader's speed: with the next batches
    rendered meanwhile, whether they are there in time depends on how evenly they come and on who else wants the processors, and that is measured here.

    Args:
        registry: renders.
        orders: for the batches, in the order they are taken.
        compute_seconds: what it computes on each; 0 for one that only takes.
        seconds: after this time it takes no more,
        least_steps: unless it has had fewer batches than this.

    Raises:
        BatchlensError: whatever the loader says.
    """
    log, ends = Log([], set(), set()), time.monotonic() + seconds
    under_way = deque(asyncio.ensure_future(_take(registry, order)) for order in islice(orders, IN_FLIGHT))
    try:
        while under_way:
            asked = time.monotonic()
            taken = await under_way.popleft()
            got = time.monotonic()
            under_way.extend(asyncio.ensure_future(_take(registry, order)) for order in islice(orders, 1))
            if compute_seconds:
                await asyncio.sleep(compute_seconds)
            log.add(Step(asked, got, time.monotonic() if compute_seconds else got, len(taken.indices)), taken)
            if got >= ends and len(log.steps) >= least_steps:
                break
    finally:
        for each in under_way:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*under_way, return_exceptions=True)
    return log


async def _take(registry: Registry, order: Order) -> Taken:
    """Fetches a batch and copies it, as the way to a client or to a GPU does; its slot is free again then."""
    async with registry.fetch(order) as delivery:
        batch = delivery.batch
        images = (batch.block.clone(),) if batch.block is not None else tuple(image.clone() for image in batch.images)
        unreadable = tuple(row.index for row in batch.rows if row.problem is not None)
        return Taken(images, tuple(row.index for row in batch.rows), unreadable)
