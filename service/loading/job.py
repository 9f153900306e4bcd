"""One batch on its way through a loader, shared by everyone who asked for it."""

from __future__ import annotations

import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from service.encoding.batch import Batch
from service.errors import BatchlensError
from service.loading.executor import DeviceExecutor, DeviceOutcome
from service.loading.order import Order
from service.loading.slab import SharedMemory
from service.loading.task import Outcome, Rendered, Sample, Task
from service.loading.worker import blank_shape
from service.planning.address import DType

Claim = Callable[[int], Callable[[], None] | None]
"""Takes the size of views in bytes; gives what ends the claim, or None where there can be none."""


def _no_claim(_: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a ticket's future gives.

    Attributes:
        batch: the rendered batch; valid until the ticket is released.
        render_seconds: what rendering took, by a worker or device; 0 if it was there already.
        is_reused: whether it was rendered for someone else, or earlier.
        device_kind: "cpu" or "cuda", where it was rendered.
        claim: makes a further claim to the batch.
    """

    batch: Batch
    render_seconds: float
    is_reused: bool
    device_kind: str
    claim: Claim = _no_claim

    def keep(self, pieces: Iterable[bytes | memoryview]) -> list[bytes | memoryview]:
        """Makes pieces of a body safe to send after the batch is let go.

        Args:
            pieces: views among them must have an exporter that is shared with nobody, so that it is gone with the last view.

        Returns:
            the same pieces. The slot is not used again for as long as anybody, a socket's send buffer for instance, holds one of these views; where too much is
            held like that already, copies take their place.
        """
        return [piece if isinstance(piece, bytes) or self._keep(piece) else bytes(piece) for piece in pieces]

    def _keep(self, view: memoryview) -> bool:
        block, owner = self.batch.block, view.obj
        if block is None or not isinstance(owner, np.ndarray) or owner.ctypes.data != block.data_ptr():
            return True  # It has memory of its own.
        end = self.claim(view.nbytes)
        if end is not None:
            weakref.finalize(owner, end).atexit = False
        return end is not None


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
        offset: where its slot begins in the slab; None without one.
        tasks: its parts that are with the workers, by task id.
        rows: what has been rendered, by position in the batch; places in its slot.
        needed_bytes: 0, or how large its slot must be.
        error: None, or why it fails once all parts are back.
        batch: the result, once done.
        render_seconds: what rendering took: the slowest part, and the device.
        blamed: how many workers ended while rendering which sample.
    """

    order: Order
    device_id: str
    executor: DeviceExecutor | None
    samples: tuple[Sample, ...]
    tickets: list[Ticket] = field(default_factory=list)
    offset: int | None = None
    tasks: dict[int, Task] = field(default_factory=dict)
    rows: dict[int, Rendered] = field(default_factory=dict)
    needed_bytes: int = 0
    error: BatchlensError | None = None
    batch: Batch | None = None
    render_seconds: float = 0.0
    blamed: Counter[Sample] = field(default_factory=Counter)

    @property
    def kind(self) -> Literal["render", "decode"]:
        """What workers do for it."""
        return "render" if self.executor is None else "decode"

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it: not gone, not refused."""
        return any(not ticket.future.done() for ticket in self.tickets)

    @property
    def size_key(self) -> tuple[str, ...]:
        """What the size of a sample depends on."""
        return self.order.address.recipe, self.order.address.dtype, self.kind, str(self.order.address.max_resolution)

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

    def make_tasks(self, ids: Iterator[int], offset: int, size_bytes: int, parts: int) -> list[Task]:
        """Turns it into work for the workers, with a slot to put the result in.

        Args:
            ids: numbers for tasks.
            offset: where the slot begins in the slab.
            size_bytes: its size.
            parts: how many workers may share the rows; one alone where the size of a row is not known beforehand.
        """
        address, count = self.order.address, len(self.samples)
        parts = parts if self.known_sample_bytes else 1
        bounds = [count * part // parts for part in range(parts + 1)]
        self.offset, self.rows, self.needed_bytes = offset, {}, 0
        for first, last in pairwise(bounds):
            start = (self.known_sample_bytes or 0) * first
            room = (self.known_sample_bytes or 0) * (last - first) if parts > 1 else size_bytes
            rows = self.samples[first:last]
            recipe, dtype, on_error, resolution = address.recipe, address.dtype, address.on_error, address.max_resolution
            part = Task(next(ids), self.kind, recipe, dtype, on_error, rows, first, offset + start, room, resolution)
            self.tasks[part.id] = part
        return list(self.tasks.values())

    def take(self, outcome: Outcome) -> Task:
        """Takes what became of one part, and gives the part."""
        task = self.tasks.pop(outcome.task_id)
        shift = task.offset - (self.offset or 0)
        self.rows |= {task.first + position: replace(row, start=row.start + shift) for position, row in enumerate(outcome.rows)}
        self.error = self.error or outcome.error
        self.needed_bytes = max(self.needed_bytes, outcome.needed_bytes)
        self.render_seconds = max(self.render_seconds, outcome.seconds)
        return task

    def finish(self, memory: SharedMemory) -> None:
        """Makes the batch of the rows in its slot and fulfils every claim."""
        rows = tuple(self.rows[position] for position in range(len(self.samples)))
        images, block = self._views(rows, memory)
        self._deliver(images, block, rows)

    def finish_on_device(self, outcome: DeviceOutcome) -> None:
        """Makes the batch of what an executor rendered and fulfils every claim."""
        self.render_seconds += outcome.seconds
        self._deliver(outcome.images, outcome.block, outcome.rows)

    def _deliver(self, images: tuple[Tensor, ...], block: Tensor | None, rows: tuple[Rendered, ...]) -> None:
        self.batch = Batch(self.order.address, images, block, self.order.rows(self.samples, rows))
        for ticket in self.tickets:
            ticket.deliver(self.batch, self.render_seconds)

    def fail(self, error: Exception) -> None:
        """Refuses every claim."""
        for ticket in self.tickets:
            ticket.refuse(error)

    def refuse_older(self, limit_seconds: float, error: Exception) -> None:
        """Refuses the claims made before that time (`time.monotonic()`)."""
        for ticket in self.tickets:
            if ticket.since_seconds < limit_seconds:
                ticket.refuse(error)

    def _views(self, rows: tuple[Rendered, ...], memory: SharedMemory) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """Maps tensors onto the slot; one block if the rows lie there in order and have one shape."""
        dtype = _dtype(self.order.address.dtype)
        if self.offset is None or not rows:
            return (), torch.empty((0, *blank_shape((), self.order.recipe)), dtype=dtype)
        shape = rows[0].shape
        image_bytes = math.prod(shape) * dtype.itemsize
        if all(row.shape == shape and row.start == position * image_bytes for position, row in enumerate(rows)):
            block = memory.view(self.offset, (len(rows), *shape), dtype)
            return block.unbind(), block
        return tuple(memory.view(self.offset + row.start, row.shape, dtype) for row in rows), None


def _dtype(name: DType) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype
