"""One batch on its way through a loader, shared by everyone who asked for it."""

from __future__ import annotations

import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from service.encoding.batch import Batch
from service.errors import of_sample
from service.loading.arena import Arena
from service.loading.executor import DeviceExecutor, DeviceOutcome
from service.loading.order import Order
from service.loading.rendering import blank_shape
from service.loading.slab import SharedMemory
from service.loading.task import Outcome, Rendered, Report, Shape, Task
from service.planning.address import DType

Claim = Callable[[int], Callable[[], None] | None]
"""Takes the size of views in bytes; gives what ends the claim, or None where there can be none."""


Copy = Callable[[memoryview], memoryview]
"""Copies a view that could not be claimed."""


def _no_claim(_: int) -> None:
    return None


def _copy(view: memoryview) -> memoryview:
    return memoryview(bytes(view))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a ticket's future gives.

    Attributes:
        batch: the rendered batch; valid until the ticket is released.
        render_seconds: what rendering took, by a worker or device; 0 if it was there already.
        is_reused: whether it was rendered for someone else, or earlier.
        device_kind: "cpu" or "cuda", where it was rendered.
        claim: makes a further claim to the batch.
        copy: copies what cannot be claimed.
    """

    batch: Batch
    render_seconds: float
    is_reused: bool
    device_kind: str
    claim: Claim = _no_claim
    copy: Copy = _copy

    def keep(self, pieces: Iterable[bytes | memoryview]) -> list[bytes | memoryview]:
        """Makes pieces of a body safe to send after the batch is let go.

        Args:
            pieces: views among them must have an exporter that is shared with nobody, so that it is gone with the last view.

        Returns:
            the same pieces. The slot is not used again for as long as anybody, a socket's send buffer for instance, holds one of these views; where too much is
            held like that already, copies take their place.
        """
        return [piece if isinstance(piece, bytes) or self._keep(piece) else self.copy(piece) for piece in pieces]

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
        tickets: the claims to it; while there is one, its memory stays.
        offset: where its slot begins in the slab; None without one.
        tasks: its parts that are with the workers, by task id.
        done: the parts that are back, with what was made of them.
        needed_bytes: 0, or how large its slot must be.
        used_bytes: what the results take of the slot, once done, where that was not known beforehand; such a job has one part.
        error: None, or why it fails once all parts are back.
        batch: the result, once done.
        handed_seconds: `time.monotonic()` when its tasks were handed to the workers.
        render_seconds: what rendering took: the slowest part, and the device.
        blamed: how many workers ended while rendering which position.
    """

    order: Order
    device_id: str
    executor: DeviceExecutor | None
    tickets: list[Ticket] = field(default_factory=list)
    offset: int | None = None
    tasks: dict[int, Task] = field(default_factory=dict)
    done: list[tuple[Task, Report]] = field(default_factory=list)
    needed_bytes: int = 0
    used_bytes: int = 0
    error: Exception | None = None
    batch: Batch | None = None
    handed_seconds: float = 0.0
    render_seconds: float = 0.0
    blamed: Counter[int] = field(default_factory=Counter)

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

    def make_tasks(self, ids: Iterator[int], arena: Arena, offset: int, size_bytes: int, parts: int, most_sample_bytes: int) -> list[Task]:
        """Turns it into work for the workers, with a slot to put the result in.

        Args:
            ids: numbers for tasks.
            arena: where decoded pixels lie; each task is announced there.
            offset: where the slot begins in the slab.
            size_bytes: its size.
            parts: how many workers may share the rows; one alone where the size of a row is not known beforehand.
            most_sample_bytes: see `Task`.
        """
        count, sample_bytes = len(self.order), self.known_sample_bytes or 0
        parts = parts if sample_bytes else 1
        bounds = [count * part // parts for part in range(parts + 1)]
        self.offset, self.done, self.needed_bytes, self.error = offset, [], 0, None
        for first, last in pairwise(bounds):
            room_bytes = sample_bytes * (last - first) if parts > 1 else size_bytes
            part = self._make_task(next(ids), arena, slice(first, last), offset + sample_bytes * first, room_bytes, most_sample_bytes)
            self.tasks[part.id] = part
        return list(self.tasks.values())

    def _make_task(self, task_id: int, arena: Arena, rows: slice, offset: int, size_bytes: int, most_sample_bytes: int) -> Task:
        address, plan, split = self.order.address, self.order.plan, self.order.split
        indices = plan.indices[rows]
        places, room = arena.begin(split, address.max_resolution, indices)
        return Task(
            id=task_id,
            kind=self.kind,
            recipe=address.recipe,
            dtype=address.dtype,
            on_error=address.on_error,
            indices=indices,
            keys=plan.keys[rows],
            places=places,
            files=tuple(split.file(index) for index in indices[places[:, 0] < 0].tolist()),
            room=room,
            first=rows.start,
            offset=offset,
            size_bytes=size_bytes,
            most_sample_bytes=most_sample_bytes,
            max_resolution=address.max_resolution,
        )

    def take(self, outcome: Outcome) -> None:
        """Takes what became of one part."""
        task = self.tasks.pop(outcome.task_id)
        if outcome.report is not None:
            self.done.append((task, outcome.report))
        if outcome.error is not None:
            self.error = self.error or self.name(outcome.error, None if outcome.position is None else task.first + outcome.position)
        self.needed_bytes = max(self.needed_bytes, outcome.needed_bytes)
        self.render_seconds = max(self.render_seconds, outcome.seconds)

    def name(self, error: Exception, position: int | None) -> Exception:
        """Says which sample an error is about."""
        return error if position is None else of_sample(error, int(self.order.plan.indices[position]), self.order.file(position).label)

    def finish(self, memory: SharedMemory) -> None:
        """Makes the batch of the rows in its slot and fulfils every claim."""
        self.done.sort(key=lambda each: each[0].first)
        if self.known_sample_bytes is None:
            self.used_bytes = max((report.end(_dtype(self.order.address.dtype).itemsize) for _, report in self.done), default=0)
        block = self._find_block(memory)
        parts = () if block is not None else tuple(memory.view(start, shape, _dtype(self.order.address.dtype)) for start, shape in self._places())
        masked = [task.first + position for task, report in self.done for position in report.problems]
        self._deliver(block, parts, self._tell_rows(self.done), masked)

    def finish_on_device(self, outcome: DeviceOutcome) -> None:
        """Makes the batch of what an executor rendered and fulfils every claim."""
        self.render_seconds += outcome.seconds
        rows = outcome.rows
        masked = [position for position, row in enumerate(rows) if row.problem is not None]
        self._deliver(outcome.block, outcome.images, lambda: rows, masked)

    def _deliver(self, block: Tensor | None, parts: tuple[Tensor, ...], rows: Callable[[], tuple[Rendered, ...]], masked: list[int]) -> None:
        order, valid = self.order, np.ones(len(self.order), dtype=bool)
        valid[masked] = False
        self.batch = Batch(order.address, block, parts, order.labels(), order.plan.indices, valid, lambda: order.tell(rows()))
        self.done = []
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

    @staticmethod
    def _tell_rows(done: list[tuple[Task, Report]]) -> Callable[[], tuple[Rendered, ...]]:
        return lambda: tuple(row for task, report in done for row in report.rows(task))

    def _places(self) -> Iterator[tuple[int, Shape]]:
        """Gives every row's first byte in the slab, and its shape."""
        for task, report in self.done:
            for start, (a, b, c) in zip(report.starts.tolist(), report.shapes.tolist(), strict=True):
                yield task.offset + start, (a, b, c)

    def _find_block(self, memory: SharedMemory) -> Tensor | None:
        """Maps a tensor onto the slot, if the rows lie there in order and have one shape."""
        dtype, count = _dtype(self.order.address.dtype), len(self.order)
        if self.offset is None or not count:
            return torch.empty((0, *blank_shape((), self.order.recipe)), dtype=dtype)
        shapes = {report.common_shape(dtype.itemsize) for _, report in self.done}
        shape = shapes.pop()
        if shapes or shape is None or any(task.offset != self.offset + task.first * math.prod(shape) * dtype.itemsize for task, _ in self.done):
            return None
        return memory.view(self.offset, (count, *shape), dtype)


def _dtype(name: DType) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype
