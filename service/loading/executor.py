"""Renders decoded images on one device, in one thread: the current CUDA device is a property of the thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.errors import StepFailed
from service.loading.rendering import apply_recipe, blank_shape
from service.loading.slab import SharedMemory
from service.loading.task import Rendered, Report, Task
from service.recipes.recipe import parse_recipe


@dataclass(frozen=True, slots=True)
class DeviceOutcome:
    """A batch on the device.

    Attributes:
        images: one tensor [C, H, W] a row, in the task's dtype; views of `block` where shapes are equal.
        block: the batch as one tensor [B, C, H, W], or None where shapes differ.
        rows: what was done to each.
        error: None, or why the whole task failed.
        position: the row that the error is about.
        seconds: time spent on it.
    """

    images: tuple[Tensor, ...] = ()
    block: Tensor | None = None
    rows: tuple[Rendered, ...] = ()
    error: Exception | None = None
    position: int = 0
    seconds: float = 0.0


class DeviceExecutor:
    """Uploads decoded images and applies the recipe on the device. Parameters are still drawn on the CPU, so crops and flips are the same everywhere.

    Args:
        device: where to render; `torch.device("cpu")` gives the bytes that workers give.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"executor {device}")

    def submit(self, task: Task, report: Report, memory: SharedMemory, on_done: Callable[[DeviceOutcome], None]) -> None:
        """Renders a decoded task.

        Args:
            task: of kind "decode".
            report: where its decoded images lie, uint8 [H, W, 3].
            memory: the slab that they lie in; read until `on_done` is called.
            on_done: called from the executor's thread.

        Raises:
            RuntimeError: the executor is closed.
        """
        self._thread.submit(lambda: on_done(self._run(task, report.rows(task), memory)))

    def close(self) -> None:
        """Finishes what was submitted, then ends the thread."""
        self._thread.shutdown()

    def _run(self, task: Task, rows: Sequence[Rendered], memory: SharedMemory) -> DeviceOutcome:
        started = time.perf_counter()
        images: list[Tensor | None] = []
        try:
            _settle(self.device)
            told = [self._render(task, position, row, memory, images) for position, row in enumerate(rows)]
            outcome = self._join(task, images, told)
            return replace(outcome, seconds=time.perf_counter() - started)
        except Exception as exc:  # noqa: BLE001  out of memory and whatever else: this batch fails, the thread goes on
            return DeviceOutcome(error=exc, position=len(images))

    def _render(self, task: Task, position: int, row: Rendered, memory: SharedMemory, images: list[Tensor | None]) -> Rendered:
        """Render one row and append it; None where it is masked."""
        if row.problem is not None:
            images.append(None)
            return row
        pixels = memory.view(task.offset + row.start, row.shape, torch.uint8).to(self.device)
        try:
            result, applied = apply_recipe(parse_recipe(task.recipe), pixels.permute(2, 0, 1), int(task.keys[position]), task.dtype)
        except StepFailed as exc:
            if task.on_error == "fail":
                raise
            images.append(None)
            return replace(row, problem=exc.detail)
        images.append(result.to(getattr(torch, task.dtype), copy=True))  # A recipe may hand its input back, which lies in the slot.
        return replace(row, applied=applied)

    def _join(self, task: Task, images: list[Tensor | None], told: list[Rendered]) -> DeviceOutcome:
        dtype = getattr(torch, task.dtype)
        blank = blank_shape((_shape(image) for image in images if image is not None), parse_recipe(task.recipe))
        filled = tuple(torch.zeros(blank, dtype=dtype, device=self.device) if image is None else image for image in images)
        if len({image.shape for image in filled}) > 1:
            return DeviceOutcome(filled, None, tuple(told))
        block = torch.stack(filled) if filled else torch.empty((0, *blank), dtype=dtype, device=self.device)
        return DeviceOutcome(block.unbind(), block, tuple(told))


def _settle(device: torch.device) -> None:
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _shape(image: Tensor) -> tuple[int, int, int]:
    channels, height, width = image.shape
    return channels, height, width
