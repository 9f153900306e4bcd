"""What travels between the server and its workers. A task carries everything; workers keep nothing but caches."""

from dataclasses import dataclass
from typing import Literal

from service.encoding.batch import Applied
from service.errors import BatchlensError
from service.planning.address import DType, OnError
from service.sources.source import File

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row to render: which sample, with which random key."""

    index: int
    key: int
    file: File


@dataclass(frozen=True, slots=True)
class Task:
    """A batch, or a part of one, to render into a slot.

    Attributes:
        id: number of the task, never used twice.
        kind: "render" applies the recipe; "decode" leaves the decoded pixels, uint8 [H, W, 3], for a device executor.
        recipe: canonical text.
        dtype: element type to render; "uint8" stops before the recipe's tail.
        on_error: what an unreadable image does.
        samples: the rows.
        first: position of the first of them in the batch.
        offset: where they go in the slab.
        size_bytes: how much room there is.
        max_resolution: shorter side to which larger photos are reduced, or None.
    """

    id: int
    kind: Literal["render", "decode"]
    recipe: str
    dtype: DType
    on_error: OnError
    samples: tuple[Sample, ...]
    first: int
    offset: int
    size_bytes: int
    max_resolution: int | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """One row that was rendered.

    Attributes:
        start: first byte, counted from the slot's beginning.
        shape: [C, H, W] of the result, [H, W, 3] of decoded pixels.
        width: of the decoded image in pixels; 0 where it could not be read.
        height: likewise.
        applied: what each step did.
        problem: None, or why the image could not be read.
    """

    start: int
    shape: Shape
    width: int
    height: int
    applied: tuple[Applied, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task.

    Attributes:
        task_id: which task.
        rows: the rendered rows, in order; empty on an error or when the slot was too small.
        needed_bytes: 0, or how large the slot must be.
        error: None, or why the whole task failed.
        seconds: time spent on it.
    """

    task_id: int
    rows: tuple[Rendered, ...] = ()
    needed_bytes: int = 0
    error: BatchlensError | None = None
    seconds: float = 0.0
