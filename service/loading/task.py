"""What travels between the server and its workers, in columns: a pickled object for each sample costs more than its augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.encoding.batch import Applied
from service.errors import BatchlensError
from service.loading.arena import Room
from service.planning.address import DType, OnError
from service.planning.seeds import Words
from service.recipes.fused import fuse
from service.recipes.recipe import parse_recipe
from service.sources.source import File

Integers = npt.NDArray[np.int64]
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Task:
    """A batch, or a part of one, to render into a slot. It carries everything; workers keep nothing but caches.

    Attributes:
        id: number of the task, never used twice.
        kind: "render" applies the recipe; "decode" leaves the decoded pixels, uint8 [H, W, 3], for a device executor.
        recipe: canonical text.
        dtype: element type to render; "uint8" stops before the recipe's tail.
        on_error: what an unreadable image does.
        indices: int64 (n,), the samples.
        keys: uint64 (n,), the random key of each.
        places: int64 (n, 3), where each lies decoded in the arena: offset (-1: nowhere), height, width.
        files: of those that lie nowhere, in order.
        room: where in the arena they may be left.
        first: position of the first row in the batch.
        offset: where the results go in the slab.
        size_bytes: how much room there is for them.
        most_sample_bytes: a sample whose result is larger is masked, where `on_error` says so.
        max_resolution: shorter side to which larger photos are reduced, or None.
    """

    id: int
    kind: Literal["render", "decode"]
    recipe: str
    dtype: DType
    on_error: OnError
    indices: Integers
    keys: Words
    places: Integers
    files: tuple[File, ...]
    room: Room
    first: int
    offset: int
    size_bytes: int
    most_sample_bytes: int
    max_resolution: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row that was rendered.

    Attributes:
        start: first byte, counted from the beginning of the task's room in the slab.
        shape: [C, H, W] of the result, [H, W, 3] of decoded pixels.
        width: of the decoded image in pixels; 0 where it could not be read.
        height: likewise.
        applied: what each step did.
        problem: None, or why the image could not be read or rendered, where that is masked.
    """

    start: int
    shape: Shape
    width: int
    height: int
    applied: tuple[Applied, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker has made of a task's rows.

    Attributes:
        starts: int64 (n,), first byte of each result, counted from the beginning of the task's room in the slab.
        shapes: int64 (n, 3), of the results.
        sizes: int64 (n, 2), height and width of each decoded image; 0 where it could not be read.
        placed: int64 (n,), where in the arena each was left; -1 where it was not.
        boxes: int64 (n, 4), what was drawn on the fast way; None where that was not taken.
        flips: bool (n, f), likewise.
        told: position -> what each step did, for rows that went the plain way.
        problems: position -> why an image could not be read or rendered, where that is masked.
    """

    starts: Integers
    shapes: Integers
    sizes: Integers
    placed: Integers
    boxes: Integers | None = None
    flips: npt.NDArray[np.bool_] | None = None
    told: Mapping[int, tuple[Applied, ...]] = field(default_factory=dict)
    problems: Mapping[int, str] = field(default_factory=dict)

    def common_shape(self, item_bytes: int) -> Shape | None:
        """Gives the shape of all results if they have one and lie one after the other from the first byte on, else None."""
        first = self.shapes[0]
        step = int(first.prod()) * item_bytes
        if (self.shapes != first).any() or (self.starts != np.arange(len(self.starts)) * step).any():
            return None
        a, b, c = first.tolist()
        return a, b, c

    def end(self, item_bytes: int) -> int:
        """Gives the first byte behind all results, counted from the beginning of the task's room in the slab."""
        return int((self.starts + self.shapes.prod(axis=1) * item_bytes).max(initial=0))

    def rows(self, task: Task) -> tuple[Rendered, ...]:
        """Lists the rows one by one."""
        columns = zip(self.starts.tolist(), self.shapes.tolist(), self.sizes.tolist(), strict=True)
        return tuple(
            Rendered(start, (shape[0], shape[1], shape[2]), width, height, self._applied(task, row), self.problems.get(row))
            for row, (start, shape, (height, width)) in enumerate(columns)
        )

    def _applied(self, task: Task, row: int) -> tuple[Applied, ...]:
        if row in self.told or row in self.problems or self.boxes is None or self.flips is None:
            return self.told.get(row, ())
        head = fuse(parse_recipe(task.recipe))
        return head.tell(self.boxes[row], self.flips[row], with_tail=task.dtype != "uint8") if head is not None else ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        task_id: which task.
        report: what was made; None on an error. Where the slot was too small, only what was left in the arena counts.
        needed_bytes: 0, or how large the slot must be.
        error: None, or why the whole task failed.
        position: the row that the error is about; None for no row in particular.
        seconds: time spent on it.
        remarks: what libraries wrote to standard error meanwhile: position of the row, or None; and the text.
    """

    task_id: int
    report: Report | None = None
    needed_bytes: int = 0
    error: BatchlensError | None = None
    position: int | None = None
    seconds: float = 0.0
    remarks: tuple[tuple[int | None, str], ...] = ()
