"""Renders decoded images on one device, in one thread: the current CUDA device is a property of the thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.loading.slab import SharedMemory
from service.loading.task import Rendered, Task
from service.loading.worker import blank_shape, render_image
from service.recipes.recipe import parse_recipe


@dataclass(frozen=True, slots=True)
class DeviceOutcome:
    """A batch on the device.

    Attributes:
        images: one tensor [C, H, W] a row, in the task's dtype; views of `block` where shapes are equal.
        block: the batch as one tensor [B, C, H, W], or None where shapes differ.
        rows: what was done to each.
        error: None, or why the whole task failed.
        seconds: time spent on it.
    """

    images: tuple[Tensor, ...] = ()
    block: Tensor | None = None
    rows: tuple[Rendered, ...] = ()
    error: Exception | None = None
    seconds: float = 0.0


class DeviceExecutor:
    """Uploads decoded images and applies the recipe on the device. Parameters are still drawn on the CPU, so crops and flips are the same everywhere.

    Args:
        device: where to render; `torch.device("cpu")` gives the bytes that workers give.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"executor {device}")

    def submit(self, task: Task, rows: Sequence[Rendered], memory: SharedMemory, on_done: Callable[[DeviceOutcome], None]) -> None:
        """Renders a decoded task.

        Args:
            task: of kind "decode".
            rows: where its decoded images lie, uint8 [H, W, 3].
            memory: the slab that they lie in; read until `on_done` is called.
            on_done: called from the executor's thread.

        Raises:
            RuntimeError: the executor is closed.
        """
        self._thread.submit(lambda: on_done(self._run(task, rows, memory)))

    def close(self) -> None:
        """Finishes what was submitted, then ends the thread."""
        self._thread.shutdown()

    def _run(self, task: Task, rows: Sequence[Rendered], memory: SharedMemory) -> DeviceOutcome:
        started = time.perf_counter()
        try:
            _settle(self.device)
            outcome = self._render(task, rows, memory)
            return replace(outcome, seconds=time.perf_counter() - started)
        except Exception as exc:  # noqa: BLE001  out of memory and whatever else: this batch fails, the thread goes on
            return DeviceOutcome(error=exc)

    def _render(self, task: Task, rows: Sequence[Rendered], memory: SharedMemory) -> DeviceOutcome:
        recipe, dtype = parse_recipe(task.recipe), getattr(torch, task.dtype)
        images: list[Tensor | None] = []
        told = []
        for sample, row in zip(task.samples, rows, strict=True):
            if row.problem is not None:
                images.append(None)
                told.append(row)
                continue
            pixels = memory.view(task.offset + row.start, row.shape, torch.uint8).to(self.device)
            result, applied = render_image(recipe, pixels.permute(2, 0, 1), sample, task.dtype)
            images.append(result.to(dtype, copy=True))  # A recipe may hand its input back, which lies in the slot.
            told.append(replace(row, applied=applied))
        blank = blank_shape((_shape(image) for image in images if image is not None), recipe)
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
