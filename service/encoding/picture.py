"""A batch as a picture: the tiles as `torchvision.utils.make_grid` lays them out, each titled with its class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from service.encoding.batch import Batch, Row
from service.encoding.lettering import GREY, as_tensor, band_height, drawable, notice, title_band
from service.encoding.pixels import Normalization, to_pixels
from service.errors import InvalidParameter

PICTURE_VERSION = 2
"""Raised whenever the same batch would be drawn differently than before, or written as other bytes; part of every ETag."""

PADDING = 2
"""Pixels around the tiles, `make_grid`'s default."""

MAX_COLUMNS = 64
MIN_TILE, MAX_TILE = 16, 1024
MAX_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """How a picture is laid out.

    Attributes:
        columns: tiles in a row, 1 to 64.
        tile: longest side of a tile in pixels, 16 to 1024, smaller images scaled up and larger ones down; None: their own size.
        labels: whether each tile has a band with its title.

    Raises:
        InvalidParameter: a value is out of its range.
    """

    columns: int = 8
    tile: int | None = None
    labels: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.columns <= MAX_COLUMNS:
            raise InvalidParameter(f"columns={self.columns} is not in 1..{MAX_COLUMNS}.", parameter="columns")
        if self.tile is not None and not MIN_TILE <= self.tile <= MAX_TILE:
            raise InvalidParameter(f"tile={self.tile} is not in {MIN_TILE}..{MAX_TILE} pixels.", parameter="tile")


@dataclass(frozen=True, slots=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, image: Tensor) -> Size:
        """The size of an image [..., H, W]."""
        return cls(image.shape[-2], image.shape[-1])

    @classmethod
    def around(cls, sizes: Iterable[Size]) -> Size:
        """The smallest size that holds each of `sizes`; they are at least one."""
        listed = list(sizes)
        return cls(max(size.height for size in listed), max(size.width for size in listed))

    def scaled(self, longest: int | None) -> Size:
        """This size with `longest` as its longest side; itself for None."""
        return self if longest is None else self._times(longest / max(self.height, self.width))

    def within(self, cell: Size) -> Size:
        """The largest size of these proportions that fits `cell`."""
        return self._times(min(cell.height / self.height, cell.width / self.width))

    def _times(self, factor: float) -> Size:
        return Size(max(1, round(self.height * factor)), max(1, round(self.width * factor)))


NOTICE = Size(96, 96)
"""The least cell of a batch in which no image could be read: room for the reason."""


def draw_batch(batch: Batch, normalization: Normalization | None, options: PictureOptions) -> Image.Image:
    """Draws a batch as one picture.

    Without labels and scaling, and with equal shapes, the pixels are those of `make_grid(pixels, nrow=columns)`, bit for bit; a lone image is, as
    there, drawn without padding. With labels every tile has its class name in a band above it. Images of unequal shapes stand in the middle of cells of the
    largest size. An unreadable image is a grey tile that says why.

    The picture owns its memory: the batch may be released afterwards. Thread-safe.

    Args:
        batch: what to draw; none of its rows or many.
        normalization: the `Normalize` at the end of the batch's recipe, or None.
        options: the layout.

    Returns:
        an RGB image. A batch without rows gives a small one that says so.

    Raises:
        InvalidParameter: the picture would have more than 64 million pixels, or the images are none that can be drawn (see `to_pixels`).
    """
    if not batch.rows:
        return _as_image(notice("empty", "no samples for this rank in this step", 72, 360))
    sizes = [Size.of(image).scaled(options.tile) for image in batch.images]
    readable = [size for size, row in zip(sizes, batch.rows, strict=True) if row.problem is None]
    cell = Size.around(readable or [*sizes, NOTICE.scaled(options.tile)])
    _check_size(len(sizes), cell, options)
    images: Iterable[Tensor] = batch.images if batch.block is None else to_pixels(batch.block, normalization)
    tiles = (
        _tile(image, normalization, size) if row.problem is None else notice("no image", row.problem, cell.height, cell.width)
        for image, size, row in zip(images, sizes, batch.rows, strict=True)
    )
    return _lay_out(tiles, [_title(row) for row in batch.rows], cell, options)


def draw_views(
    original: Image.Image | None, views: Sequence[Tensor], titles: Sequence[str], normalization: Normalization | None, options: PictureOptions
) -> Image.Image:
    """Draws a photo and, beside it, what a model sees of it.

    The original is fitted into the cell that the views need; with no view, into `options.tile`. Thread-safe, as long as nobody else uses `original`.

    Args:
        original: the photo, in any mode; None to draw the views alone, which are then at least one.
        views: the sample as each epoch shows it, [C, H, W] each, of any sizes.
        titles: one for the original where there is one, then one for each view.
        normalization: the `Normalize` that the views went through, or None.
        options: the layout.

    Returns:
        an RGB image.

    Raises:
        InvalidParameter: as `draw_batch`.
        ValueError: there are not as many titles as tiles.
    """
    photos = () if original is None else (original,)
    if len(titles) != len(photos) + len(views):
        raise ValueError(f"{len(photos) + len(views)} tiles have {len(titles)} titles.")
    sizes = [Size.of(view).scaled(options.tile) for view in views]
    cell = Size.around(sizes or [Size(photo.height, photo.width).scaled(options.tile) for photo in photos])
    _check_size(len(titles), cell, options)
    first = (_resized(photo, Size(photo.height, photo.width).within(cell)) for photo in photos)
    tiles = (*first, *(_tile(view, normalization, size) for view, size in zip(views, sizes, strict=True)))
    return _lay_out(tiles, [drawable(title) for title in titles], cell, options)


def _title(row: Row) -> str:
    """The class's name; its number where the font has none of the name's characters."""
    return drawable(row.class_name) or f"class {row.label}"


def _check_size(count: int, cell: Size, options: PictureOptions) -> None:
    columns = min(options.columns, count)
    band = band_height(cell.width) if options.labels else 0
    height = (cell.height + band + PADDING) * math.ceil(count / columns) + PADDING
    width = (cell.width + PADDING) * columns + PADDING
    if height * width > MAX_PIXELS:
        raise InvalidParameter(
            f"The picture would have {width} x {height} pixels, {height * width / 1e6:.0f} megapixels, and {MAX_PIXELS // 1_000_000} is the most."
            f" Ask for a smaller tile (now {options.tile or 'the own size of the images'}), other columns (now {options.columns}) or a smaller batch.",
            parameters=["tile", "columns"],
            limit=MAX_PIXELS,
        )


def _tile(image: Tensor, normalization: Normalization | None, size: Size) -> Tensor:
    pixels = to_pixels(image, normalization)
    return pixels if Size.of(pixels) == size else _resized(_as_image(pixels), size)


def _resized(image: Image.Image, size: Size) -> Tensor:
    """Scales down with Hamming's filter, as sharp as bicubic at half the cost, and up with bicubic."""
    filtering = Image.Resampling.HAMMING if size.width < image.width else Image.Resampling.BICUBIC
    return as_tensor(image.convert("RGB").resize((size.width, size.height), filtering, reducing_gap=3.0))


def _lay_out(tiles: Iterable[Tensor], titles: Sequence[str], cell: Size, options: PictureOptions) -> Image.Image:
    """Puts each tile in the middle of its cell, its title above, and the cells in a grid."""
    band = band_height(cell.width) if options.labels else 0
    cells = torch.empty((len(titles), 3, band + cell.height, cell.width), dtype=torch.uint8)
    for target, tile, title in zip(cells, tiles, titles, strict=True):
        if options.labels:
            target[:, :band] = title_band(title, cell.width)
        _place(tile, target[:, band:])
    return _as_image(make_grid(cells, nrow=options.columns, padding=PADDING))


def _place(tile: Tensor, cell: Tensor) -> None:
    size, room = Size.of(tile), Size.of(cell)
    if size != room:
        cell[:] = torch.tensor(GREY, dtype=torch.uint8).reshape(3, 1, 1)
    top, left = (room.height - size.height) // 2, (room.width - size.width) // 2
    cell[:, top : top + size.height, left : left + size.width] = tile


def _as_image(pixels: Tensor) -> Image.Image:
    """A Pillow image with its own memory, from uint8 [3, H, W]: merging planes is ten times as fast as permuting them."""
    return Image.merge("RGB", [Image.fromarray(plane.numpy()) for plane in pixels])
