"""Rendering one task: pixels out of the arena or the file, the recipe, the slot."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.encoding.batch import Applied
from service.errors import ImageTooLarge, StepFailed, UnreadableImage
from service.loading.gaps import align
from service.loading.slab import SharedMemory
from service.loading.task import Report, Shape, Task
from service.planning.address import DType
from service.recipes.canvas import Canvas
from service.recipes.frames import Frame, Frames
from service.recipes.fused import FusedHead, fuse, is_proven
from service.recipes.recipe import Recipe, parse_recipe
from service.sources.source import File, Reader

MASKED = (UnreadableImage, ImageTooLarge, StepFailed)
"""What `on_error=mask` covers: only what the file, the recipe and the limits in the entity tag decide, since the same
address must give the same bytes tomorrow. Not a file that is missing for a moment or has changed, nor a machine without
memory, nor a worker that crashed."""

_APPLY_LOCK = threading.Lock()
"""Guards the seeded apply, which uses the process's global generator: two loaders may render in the server itself. In a worker nobody contends for it."""

_MOST_HELD_BYTES = 16 << 20
"""Pixels outside the arena that are held until parameters are drawn for all of them at once."""

Row = tuple[int, int, int, int, int, int, int]


class Image(NamedTuple):
    """A decoded image, somewhere in memory.

    Attributes:
        memory: uint8, one-dimensional and contiguous.
        offset: where it begins there.
        height: in pixels.
        width: likewise.
        placed: its offset in the arena if it has just been left there, else -1.
    """

    memory: Tensor
    offset: int
    height: int
    width: int
    placed: int

    @property
    def pixels(self) -> Tensor:
        """The image, uint8 [H, W, 3]."""
        return self.memory[self.offset : self.offset + 3 * self.height * self.width].view(self.height, self.width, 3)


class Rendering:
    """One task on its way.

    Args:
        task: what to render.
        slab: where its slot lies.
        arena: where decoded pixels lie.
        reader: reads the samples that are not there.
        canvas: scratch memory.
        note: is told the position of each row as it begins.

    Attributes:
        position: of the row that it is at.
        needed_bytes: size of all results so far; only what fits is written.
    """

    def __init__(self, task: Task, slab: SharedMemory, arena: SharedMemory, reader: Reader, canvas: Canvas, note: Callable[[int], None]) -> None:
        self._task = task
        self._slab, self._arena, self._reader, self._canvas, self._note = slab, arena, reader, canvas, note
        self._recipe = parse_recipe(task.recipe)
        self._head = fuse(self._recipe) if task.kind == "render" and prove_fast_way() else None
        self._dtype: torch.dtype = getattr(torch, task.dtype) if task.kind == "render" else torch.uint8
        self._room_used = 0
        self._rows: list[Row] = []
        self._frames: list[Frames] = []
        self._told: dict[int, tuple[Applied, ...]] = {}
        self._problems: dict[int, str] = {}
        self.position = 0
        self.needed_bytes = 0

    def run(self) -> Report:
        """Renders every row.

        Raises:
            BatchlensError: a row cannot be rendered; `position` says which.
        """
        images: list[Image | str] = []
        held_bytes = 0
        for image in self._images():
            images.append(image)
            held_bytes += image.memory.nbytes if isinstance(image, Image) and image.memory is not self._arena.bytes else 0
            if held_bytes > _MOST_HELD_BYTES:
                self._render(images)
                images, held_bytes = [], 0
        self._render(images)
        self._fill_masked()
        columns = np.array(self._rows, dtype=np.int64).reshape(-1, 7)
        boxes = np.concatenate([each.boxes for each in self._frames]) if self._frames else None
        flips = np.concatenate([each.flips for each in self._frames]) if self._frames else None
        return Report(columns[:, 0], columns[:, 1:4], columns[:, 4:6], columns[:, 6], boxes, flips, self._told, self._problems)

    def _images(self) -> Iterator[Image | str]:
        """Gives every row's image, or why it cannot be read, where that is masked."""
        files = iter(self._task.files)
        last_index, last = -1, None
        for position, (index, (offset, height, width)) in enumerate(zip(self._task.indices.tolist(), self._task.places.tolist(), strict=True)):
            self._go_to(position)
            if offset >= 0:
                yield Image(self._arena.bytes, offset, height, width, -1)
                continue
            file = next(files)
            if last is None or index != last_index:  # Several views of one sample stand side by side.
                last_index, last = index, self._read(file)
                yield last
            else:
                yield last._replace(placed=-1) if isinstance(last, Image) else last

    def _read(self, file: File) -> Image | str:
        """Decodes a file, into the arena if there is room."""
        try:
            pixels = self._reader.pixels(file, self._task.max_resolution)
        except MASKED as exc:
            if self._task.on_error == "fail":
                raise
            return exc.detail
        height, width, _ = pixels.shape
        flat = np.ascontiguousarray(pixels).reshape(-1)
        offset = self._keep(flat)
        if offset is None:
            return Image(torch.from_numpy(flat if flat.flags.writeable else flat.copy()), 0, height, width, -1)
        return Image(self._arena.bytes, offset, height, width, offset)

    def _keep(self, pixels: npt.NDArray[np.uint8]) -> int | None:
        """Writes pixels to the arena and gives their offset there; None where there is no room, or no memory behind it."""
        offset, size_bytes = self._task.room.offset + self._room_used, align(len(pixels))
        if self._room_used + size_bytes > self._task.room.size_bytes:
            return None
        try:
            self._arena.write(offset, pixels)
        except OSError:
            return None
        self._room_used += size_bytes
        return offset

    def _render(self, images: list[Image | str]) -> None:
        """Renders the images that have come since the last call."""
        first = len(self._rows)
        head = self._head
        frames = self._draw(head, first, images) if head is not None and images else None
        rows = frames.rows() if frames is not None else []
        for row, image in enumerate(images):
            self._go_to(first + row)
            if isinstance(image, str):
                self._problems[first + row] = image
                self._rows.append((0, 0, 0, 0, 0, 0, -1))
                continue
            try:
                if head is not None and frames is not None and frames.fits[row]:
                    start, shape = self._render_fast(head, image, rows[row])
                else:
                    start, shape = self._render_plain(image)
            except MASKED as exc:
                if self._task.on_error == "fail":
                    raise
                self._problems[first + row] = exc.detail
                start, shape = 0, (0, 0, 0)
            self._rows.append((start, *shape, image.height, image.width, image.placed))

    def _draw(self, head: FusedHead, first: int, images: list[Image | str]) -> Frames:
        sizes = np.array([(1, 1) if isinstance(image, str) else (image.height, image.width) for image in images], dtype=np.int64)
        frames = head.draw(self._task.keys[first : first + len(images)], sizes[:, 0], sizes[:, 1])
        self._frames.append(frames)
        return frames

    def _render_fast(self, head: FusedHead, image: Image, frame: Frame) -> tuple[int, Shape]:
        shape = (3, *head.size(frame))
        self._check_size(shape)
        start, is_there = self._reserve(shape)
        if is_there and self._dtype == torch.uint8:
            place = self._task.offset + start
            head.render(image[:4], frame, self._slab.array[place : place + 3 * shape[1] * shape[2]].reshape(shape), self._canvas)
        elif is_there:
            pixels = self._canvas.planes(*shape[1:])
            head.render(image[:4], frame, pixels, self._canvas)
            self._recipe.rescale_into(self._slab.view(self._task.offset + start, shape, self._dtype), torch.from_numpy(pixels))
        return start, shape

    def _render_plain(self, image: Image) -> tuple[int, Shape]:
        position = len(self._rows)
        if self._task.kind == "decode":
            self._check_size((image.height, image.width, 3))
            return self._write(image.pixels)
        pixels = image.pixels.permute(2, 0, 1)
        result, told = apply_recipe(self._recipe, pixels, int(self._task.keys[position]), self._task.dtype)
        a, b, c = result.shape
        self._check_size((a, b, c))
        self._told[position] = told
        return self._write(result)

    def _check_size(self, shape: Shape) -> None:
        """Raise ImageTooLarge for a result that is too large because of the image, where such an image is masked.

        What is allowed and still does not fit, since memory is limited, fails as any batch that is too large.
        """
        if self._task.on_error == "fail" or (self._task.kind == "render" and None not in self._recipe.output_shape):
            return
        size_bytes, allowed = math.prod(shape) * self._dtype.itemsize, self._task.most_sample_bytes
        if size_bytes > allowed:
            raise ImageTooLarge(f"comes out with {size_bytes:,} bytes, more than the {allowed:,} of BATCHLENS_SLAB_BYTES")

    def _write(self, image: Tensor) -> tuple[int, Shape]:
        """Copies a result behind the last one; gives its start and shape."""
        a, b, c = image.shape
        start, is_there = self._reserve((a, b, c))
        if is_there:
            self._slab.view(self._task.offset + start, (a, b, c), self._dtype).copy_(image)
        return start, (a, b, c)

    def _reserve(self, shape: Shape) -> tuple[int, bool]:
        """Gives the start of the next result, and whether there is room for it."""
        start = self.needed_bytes
        self.needed_bytes += shape[0] * shape[1] * shape[2] * self._dtype.itemsize
        return start, self.needed_bytes <= self._task.size_bytes

    def _fill_masked(self) -> None:
        """Write the zeros of every row that is masked, behind the others; a device executor makes its own."""
        shapes = (row[1:4] for position, row in enumerate(self._rows) if position not in self._problems)
        blank = (0, 0, 3) if self._task.kind == "decode" else blank_shape(shapes, self._recipe)
        for position in self._problems:
            start, shape = self._write(torch.zeros(blank))
            self._rows[position] = (start, *shape, *self._rows[position][4:])

    def _go_to(self, position: int) -> None:
        self.position = position
        self._note(position)


def apply_recipe(recipe: Recipe, image: Tensor, key: int, dtype: DType) -> tuple[Tensor, tuple[Applied, ...]]:
    """Applies a recipe to one decoded image, whatever device it lies on.

    Args:
        recipe: what to do.
        image: uint8 [3, H, W].
        key: seeds it.
        dtype: "uint8" stops before the tail.

    Returns:
        the result [C, H', W'] in the recipe's own dtype, and what each step did.

    Raises:
        StepFailed: names the step.
    """
    with _APPLY_LOCK:
        return recipe.apply(image, key, with_tail=dtype != "uint8")


def prove_fast_way() -> bool:
    """Says whether the fast way may be used in this process; the first time costs some ten milliseconds."""
    with _APPLY_LOCK:
        return is_proven()


def blank_shape(shapes: Iterable[Shape], recipe: Recipe) -> Shape:
    """Says which shape the zeros of an unreadable sample get: that of its neighbours, else what the recipe promises, else 1 pixel."""
    channels, height, width = recipe.output_shape
    return next(iter(shapes), (channels or 3, height or 1, width or 1))
