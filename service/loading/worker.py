"""What a worker process does: take a task, render its rows into their slot, say what was done."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from service.encoding.batch import Applied
from service.errors import BatchlensError, ImageTooLarge, RenderFailed, SampleError, StepFailed, UnreadableImage
from service.loading.slab import SharedMemory
from service.loading.task import Outcome, Rendered, Sample, Shape, Task
from service.planning.address import DType
from service.recipes.recipe import Recipe, parse_recipe
from service.sources.source import Reader

APPLY_LOCK = threading.Lock()
"""Guards the seeded apply, which uses the process's global generator: two loaders may render in the server itself. In a worker nobody contends for it."""


MASKED = (UnreadableImage, ImageTooLarge)
"""What `on_error=mask` covers: only what the file itself decides, since the same address must give the same bytes tomorrow."""


class Queue(Protocol):
    """The end of a queue that a worker needs."""

    def get(self) -> Task | None:
        """Waits for the next task; None at the end."""
        ...


class Note(NamedTuple):
    """What a worker is at.

    Attributes:
        task_id: 0 when idle.
        position: of the row in the batch.
        since_seconds: `time.monotonic()` when it began the task.
    """

    task_id: int
    position: int
    since_seconds: float


class Board:
    """Shared memory in which each worker notes what it is rendering, so that a crash can be traced to its sample.

    Args:
        workers: number of workers, at least one.
    """

    _COLUMNS = 3

    def __init__(self, workers: int) -> None:
        self._memory = SharedMemory(max(1, workers) * self._COLUMNS * 8)
        self._workers = max(1, workers)

    def note(self, worker: int, task_id: int, position: int) -> None:
        """Notes that a worker begins a row; task 0 means idle."""
        row = self._notes()[worker]
        if int(row[0]) != task_id:
            row[2] = time.monotonic_ns()
        row[0], row[1] = task_id, position

    def read(self, worker: int) -> Note:
        """Gives what a worker noted last."""
        task_id, position, since_ns = self._notes()[worker].tolist()
        return Note(task_id, position, since_ns / 1e9)

    def _notes(self) -> Tensor:
        return self._memory.view(0, (self._workers, self._COLUMNS), torch.int64)


class TaskStream(IterableDataset[Outcome]):
    """The dataset behind the DataLoader: an endless stream of outcomes, one for each task taken from the queue.

    Args:
        tasks: queue shared by the workers.
        memory: the slab that slots lie in.
        reader: reads the samples.
        board: where workers note what they do.
    """

    def __init__(self, tasks: Queue, memory: SharedMemory, reader: Reader, board: Board) -> None:
        self._tasks = tasks
        self._memory = memory
        self._reader = reader
        self._board = board

    def __iter__(self) -> Iterator[Outcome]:
        """Renders tasks until the queue says None."""
        info = get_worker_info()
        worker = info.id if info is not None else 0
        if info is not None:
            threading.Thread(target=_leave_with_server, name="leave with server", daemon=True).start()
        torch.set_num_threads(1)  # Sums over an image must not depend on how many threads share them.
        warnings.filterwarnings("ignore", module="PIL")  # About the files of others; a decoded image is right or an error.
        while (task := self._tasks.get()) is not None:
            yield self._perform(task, worker)

    def _perform(self, task: Task, worker: int) -> Outcome:
        started = time.perf_counter()
        try:
            rows, needed_bytes = self._render(task, worker)
        except BatchlensError as exc:
            return Outcome(task.id, error=exc, seconds=time.perf_counter() - started)
        except Exception:  # noqa: BLE001  a fault in one task must not end the stream
            return Outcome(task.id, error=RenderFailed(traceback.format_exc()), seconds=time.perf_counter() - started)
        finally:
            self._board.note(worker, 0, 0)
        if needed_bytes > task.size_bytes:
            return Outcome(task.id, needed_bytes=needed_bytes, seconds=time.perf_counter() - started)
        return Outcome(task.id, rows, seconds=time.perf_counter() - started)

    def _render(self, task: Task, worker: int) -> tuple[tuple[Rendered, ...], int]:
        recipe = parse_recipe(task.recipe)
        writer = _SlotWriter(self._memory, task)
        rows: list[Rendered | str] = []
        for position, sample in enumerate(task.samples):
            self._board.note(worker, task.id, position)
            try:
                rows.append(_render_sample(task, sample, recipe, self._reader, writer))
            except SampleError as exc:
                if task.on_error == "fail" or not isinstance(exc, MASKED):
                    raise name_sample(exc, sample) from exc
                rows.append(exc.detail)
        return _mask(rows, task, recipe, writer), writer.end


class _SlotWriter:
    """Writes results one after the other into a task's slot; past its end it only counts."""

    def __init__(self, memory: SharedMemory, task: Task) -> None:
        self._memory = memory
        self._task = task
        self._dtype = getattr(torch, task.dtype) if task.kind == "render" else torch.uint8
        self.end = 0

    def write(self, image: Tensor) -> tuple[int, Shape]:
        """Copies an image behind the last one; gives its start and shape."""
        a, b, c = image.shape
        start, self.end = self.end, self.end + image.numel() * self._dtype.itemsize
        if self.end <= self._task.size_bytes:
            self._memory.view(self._task.offset + start, (a, b, c), self._dtype).copy_(image)
        return start, (a, b, c)


def _leave_with_server() -> None:
    """Ends this worker as soon as its server is gone, however that went. The DataLoader's own watch looks at the fork server, which outlives it."""
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)


def render_image(recipe: Recipe, image: Tensor, sample: Sample, dtype: DType) -> tuple[Tensor, tuple[Applied, ...]]:
    """Applies a recipe to one decoded image, whatever device it lies on.

    Args:
        recipe: what to do.
        image: uint8 [3, H, W].
        sample: whose key seeds it.
        dtype: "uint8" stops before the tail.

    Returns:
        the result [C, H', W'] in the recipe's own dtype, and what each step did.

    Raises:
        StepFailed: names the sample and the step.
    """
    try:
        with APPLY_LOCK:
            return recipe.apply(image, sample.key, with_tail=dtype != "uint8")
    except StepFailed as exc:
        raise name_sample(exc, sample) from exc


def blank_shape(shapes: Iterable[Shape], recipe: Recipe) -> Shape:
    """Says which shape the zeros of an unreadable sample get: that of its neighbours, else what the recipe promises, else 1 pixel."""
    channels, height, width = recipe.output_shape
    return next(iter(shapes), (channels or 3, height or 1, width or 1))


def name_sample(exc: SampleError | StepFailed, sample: Sample) -> BatchlensError:
    """Says which sample an error is about."""
    return type(exc)(f"Sample {sample.index} ({sample.file.label}): {exc.detail}", **{**exc.facts, "sample": sample.index, "file": sample.file.label})


def _render_sample(task: Task, sample: Sample, recipe: Recipe, reader: Reader, writer: _SlotWriter) -> Rendered:
    pixels = reader.pixels(sample.file, task.max_resolution)
    height, width, _ = pixels.shape
    if task.kind == "decode":
        start, shape = writer.write(torch.from_numpy(pixels))
        return Rendered(start, shape, width, height)
    result, applied = render_image(recipe, torch.from_numpy(pixels).permute(2, 0, 1), sample, task.dtype)
    start, shape = writer.write(result)
    return Rendered(start, shape, width, height, applied)


def _mask(rows: list[Rendered | str], task: Task, recipe: Recipe, writer: _SlotWriter) -> tuple[Rendered, ...]:
    """Gives every row that could not be read its zeros, behind the others; a device executor makes its own."""
    shape = (0, 0, 3) if task.kind == "decode" else blank_shape((row.shape for row in rows if isinstance(row, Rendered)), recipe)
    return tuple(Rendered(*writer.write(torch.zeros(shape)), 0, 0, problem=row) if isinstance(row, str) else row for row in rows)
