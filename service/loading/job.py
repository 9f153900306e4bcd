"""One batch on its way through a loader, shared by everyone who asked for it."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from service.encoding.batch import Batch
from service.loading.executor import DeviceExecutor, DeviceOutcome
from service.loading.order import Order
from service.loading.slab import SharedMemory
from service.loading.task import Outcome, Sample, Task
from service.planning.address import DType


def _refuse_claim() -> Callable[[], None]:
    raise RuntimeError("only what Loader.fetch gives can be kept")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a ticket's future gives.

    Attributes:
        batch: the rendered batch; valid until the ticket is released.
        render_seconds: what rendering took, by a worker or device; 0 if it was there already.
        is_reused: whether it was rendered for someone else, or earlier.
        device_kind: "cpu" or "cuda", where it was rendered.
        claim: makes a further claim to the batch, and gives what ends it.
    """

    batch: Batch
    render_seconds: float
    is_reused: bool
    device_kind: str
    claim: Callable[[], Callable[[], None]] = _refuse_claim

    def keep(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Keeps the batch's slot from being used again for as long as anybody, a socket's send buffer for instance, holds one of these views of it.

        Args:
            pieces: views whose exporter is not shared with others, so that it is gone with the last view.
        """
        for piece in pieces:
            if isinstance(piece, memoryview) and isinstance(piece.obj, np.ndarray):
                weakref.finalize(piece.obj, self.claim()).atexit = False


@dataclass(slots=True, eq=False)
class Ticket:
    """One client's claim to a batch.

    Attributes:
        job: that makes it.
        is_reused: whether the job was there already.
        since_seconds: `time.monotonic()` when it was made.
        future: the delivery, or why there is none.
    """

    job: Job
    is_reused: bool
    since_seconds: float = field(default_factory=time.monotonic)
    future: Future[Delivery] = field(default_factory=Future)

    def deliver(self, batch: Batch, render_seconds: float) -> None:
        """Fulfils the claim, unless the client has gone or was refused."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_result(Delivery(batch, render_seconds, self.is_reused, self.job.device_id.partition(":")[0]))

    def refuse(self, error: Exception) -> None:
        """Says why there is no batch, unless the client has gone or was told already."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Job:
    """A batch being made, or kept.

    Attributes:
        order: what is asked.
        device_id: where it is rendered.
        executor: who renders it; None for the workers themselves.
        samples: the rows.
        tickets: the claims to it; while there is one, its memory stays.
        task: what the workers were given, None before that.
        batch: the result, once done.
        render_seconds: what rendering took so far.
        deaths: workers that ended while rendering it.
    """

    order: Order
    device_id: str
    executor: DeviceExecutor | None
    samples: tuple[Sample, ...]
    tickets: list[Ticket] = field(default_factory=list)
    task: Task | None = None
    batch: Batch | None = None
    render_seconds: float = 0.0
    deaths: int = 0

    @property
    def kind(self) -> Literal["render", "decode"]:
        """What workers do for it."""
        return "render" if self.executor is None else "decode"

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it: not gone, not refused."""
        return any(not ticket.future.done() for ticket in self.tickets)

    @property
    def size_key(self) -> tuple[str, str, str]:
        """What the size of a sample depends on."""
        return self.order.address.recipe, self.order.address.dtype, self.kind

    @property
    def known_sample_bytes(self) -> int | None:
        """Size of one rendered sample, where the recipe promises its shape."""
        shape = self.order.recipe.output_shape
        if self.kind == "decode" or None in shape:
            return None
        return math.prod(side or 0 for side in shape) * _dtype(self.order.address.dtype).itemsize

    @property
    def device_bytes(self) -> int:
        """Memory that the result holds on the device."""
        return sum(image.nbytes for image in self.batch.images) if self.batch is not None and self.executor is not None else 0

    def add_ticket(self, is_reused: bool) -> Ticket:
        """Adds a claim; fulfils it at once if the batch is there."""
        ticket = Ticket(self, is_reused)
        self.tickets.append(ticket)
        if self.batch is not None:
            ticket.deliver(self.batch, 0.0)
        return ticket

    def make_task(self, task_id: int, offset: int, size_bytes: int) -> Task:
        """Turns it into work for the workers, with a slot to put the result in."""
        address = self.order.address
        self.task = Task(task_id, self.kind, address.recipe, address.dtype, address.on_error, self.samples, offset, size_bytes)
        return self.task

    def finish(self, result: Outcome | DeviceOutcome, memory: SharedMemory) -> None:
        """Takes the result and fulfils every claim."""
        images, block = (result.images, result.block) if isinstance(result, DeviceOutcome) else self._views(result, memory)
        self.batch = Batch(self.order.address, images, block, self.order.rows(self.samples, result.rows))
        for ticket in self.tickets:
            ticket.deliver(self.batch, self.render_seconds)

    def fail(self, error: Exception) -> None:
        """Refuses every claim."""
        for ticket in self.tickets:
            ticket.refuse(error)

    def _views(self, outcome: Outcome, memory: SharedMemory) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Maps tensors onto the slot; one block if the rows lie there in order and have one shape."""
        if self.task is None or not outcome.rows:
            return (), torch.empty((0, *(side or 0 for side in self.order.recipe.output_shape)), dtype=_dtype(self.order.address.dtype))
        dtype = _dtype(self.task.dtype)
        shape = outcome.rows[0].shape
        image_bytes = math.prod(shape) * dtype.itemsize
        if all(row.shape == shape and row.start == position * image_bytes for position, row in enumerate(outcome.rows)):
            block = memory.view(self.task.offset, (len(outcome.rows), *shape), dtype)
            return block.unbind(), block
        return tuple(memory.view(self.task.offset + row.start, row.shape, dtype) for row in outcome.rows), None


def _dtype(name: DType) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype
