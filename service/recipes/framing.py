"""Steps that choose the frame: sizes, crops and padding."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from torchvision.transforms import v2

from service.recipes.kind import FLAG, Choice, Either, Integer, Number, Several, optional
from service.recipes.operation import Drawn
from service.recipes.rule import FILL, MAX_SIDE, RATIO, SIDE, SIZE, fixed_size, probability, sides, tell_all, unknown_size, values_fit
from service.recipes.step import Parameter, StepSpec

if TYPE_CHECKING:
    from service.recipes.image_type import ImageType
    from service.recipes.step import Arguments, BoundStep, Params

_PADDING_SIDE = Integer(0, MAX_SIDE)
_PADDING = Either(_PADDING_SIDE, Several(_PADDING_SIDE, (2, 4), of="[left and right, top and bottom] or [left, top, right, bottom]"))
_PADDING_MODE = Choice("constant", "edge", "reflect", "symmetric")

_INTERPOLATION = Parameter("interpolation", Choice("nearest", "nearest-exact", "bilinear", "bicubic"), "bilinear")
_ANTIALIAS = Parameter("antialias", FLAG, default=True)
_FILL = Parameter("fill", FILL, 0.0)


def resized(height: int, width: int, size: int | tuple[int, int] | None, max_size: int | None) -> tuple[int, int]:
    """Computes the size that `Resize` gives, like `torchvision.transforms.functional._compute_resized_output_size`.

    Args:
        height: of the input in pixels.
        width: likewise.
        size: (height, width), or the length of the short side, or None for the longest size within `max_size`.
        max_size: longest side allowed.

    Returns:
        (height, width); a side may be 0, which no step can make.
    """
    if isinstance(size, tuple):
        return size
    short, long = min(height, width), max(height, width)
    if size is None:
        new_long = max_size or 0
        new_short = int(new_long * short / long)
    else:
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return (new_long, new_short) if width <= height else (new_short, new_long)


def _yields_resized(step: BoundStep, before: ImageType) -> ImageType:
    size, max_size = step.arguments["size"], step.arguments["max_size"]
    if isinstance(size, tuple):
        return before.sized(*size)
    if before.height is None or before.width is None:
        return before.sized(None, None)
    return before.sized(*resized(before.height, before.width, size, max_size))


def _resize_misfit(step: BoundStep, before: ImageType) -> str | None:  # noqa: ARG001
    size, max_size = step.arguments["size"], step.arguments["max_size"]
    if size is None and max_size is None:
        return "Resize needs size, or max_size with size=None"
    if max_size is not None and isinstance(size, tuple):
        return "max_size goes with a size of one integer, the short side; [height, width] leaves nothing to limit"
    if max_size is not None and size is not None and max_size <= size:
        return "max_size, the longest side allowed, lies above size, the short side"
    return None


def _resize_area(arguments: Arguments, params: Params, height: int, width: int) -> int:  # noqa: ARG001
    return math.prod(resized(height, width, arguments["size"], arguments["max_size"]))


def _drawn_area(arguments: Arguments, params: Params, height: int, width: int) -> int:  # noqa: ARG001
    size = params["size"]
    return math.prod(resized(height, width, size[0], None) if len(size) == 1 else size)


def _center_area(arguments: Arguments, params: Params, height: int, width: int) -> int:  # noqa: ARG001
    crop_height, crop_width = sides(arguments["size"])
    if crop_height <= height and crop_width <= width:
        return crop_height * crop_width
    return max(height, crop_height) * max(width, crop_width)  # It is padded first.


def _margins(padding: int | tuple[int, ...]) -> tuple[int, int]:
    """Gives what padding adds to height and width."""
    if isinstance(padding, int):
        return 2 * padding, 2 * padding
    left, top, right, bottom = padding if len(padding) == 4 else (padding[0], padding[1], padding[0], padding[1])
    return top + bottom, left + right


def _yields_padded(step: BoundStep, before: ImageType) -> ImageType:
    rows, columns = _margins(step.arguments["padding"])
    return before.sized(before.height and before.height + rows, before.width and before.width + columns)


def _pad_area(arguments: Arguments, params: Params, height: int, width: int) -> int:
    rows, columns = _margins(tuple(params["padding"]) if "padding" in params else arguments["padding"])
    return (height + rows) * (width + columns)


def _crop_area(arguments: Arguments, params: Params, height: int, width: int) -> int:
    """Count the pixels of the padded image, or of the crop where nothing is padded."""
    return _pad_area(arguments, params, height, width) if params["needs_pad"] else math.prod(sides(arguments["size"]))


def _resize_range_misfit(step: BoundStep, before: ImageType) -> str | None:  # noqa: ARG001
    return None if step.arguments["min_size"] < step.arguments["max_size"] else "min_size lies below max_size, which itself is never drawn"


def _tell_crop(params: Params) -> dict[str, Any]:
    return {name: params[name] for name in ("padding", "top", "left", "height", "width")}


_step = partial(StepSpec, compile=Drawn)
_random = partial(StepSpec, compile=Drawn, is_random=True, tell=tell_all)

FRAMING: tuple[StepSpec, ...] = (
    _step(
        "Resize",
        v2.Resize,
        summary="Resizes so that the short side has `size` pixels (or to [height, width]).",
        example="Resize(256)",
        parameters=(
            Parameter("size", optional(SIDE, Several(SIDE, (2,), of="[height, width]"))),
            _INTERPOLATION,
            Parameter("max_size", optional(SIDE), None),
            _ANTIALIAS,
        ),
        misfit=_resize_misfit,
        yields=_yields_resized,
        area=_resize_area,
    ),
    _step(
        "CenterCrop",
        v2.CenterCrop,
        summary="Cuts out the middle; smaller images are padded with 0.",
        example="CenterCrop(224)",
        parameters=(Parameter("size", SIZE),),
        yields=fixed_size,
        area=_center_area,
    ),
    _random(
        "RandomCrop",
        v2.RandomCrop,
        summary="Cuts out a random place, after padding if asked.",
        example="RandomCrop(32, padding=4)",
        parameters=(
            Parameter("size", SIZE),
            Parameter("padding", optional(_PADDING), None),
            Parameter("pad_if_needed", FLAG, default=False),
            _FILL,
            Parameter("padding_mode", _PADDING_MODE, "constant"),
        ),
        misfit=values_fit("fill"),
        yields=fixed_size,
        area=_crop_area,
        tell=_tell_crop,
    ),
    _random(
        "RandomResizedCrop",
        v2.RandomResizedCrop,
        summary="Cuts out a random part of random area and aspect, and resizes it.",
        example="RandomResizedCrop(224, scale=[0.5, 1.0])",
        parameters=(
            Parameter("size", SIZE),
            Parameter("scale", Several(Number(0, 2), (2,), rising=True), (0.08, 1.0)),
            Parameter("ratio", RATIO, (3 / 4, 4 / 3)),
            _INTERPOLATION,
            _ANTIALIAS,
        ),
        yields=fixed_size,
    ),
    _random(
        "RandomResize",
        v2.RandomResize,
        summary="Resizes so that the short side has a random length from min_size up to, not including, max_size.",
        example="RandomResize(224, 288)",
        parameters=(Parameter("min_size", SIDE), Parameter("max_size", SIDE), _INTERPOLATION, _ANTIALIAS),
        misfit=_resize_range_misfit,
        yields=unknown_size,
        area=_drawn_area,
    ),
    _random(
        "RandomShortestSize",
        v2.RandomShortestSize,
        summary="Resizes so that the short side has one of the lengths given, and the long side at most max_size.",
        example="RandomShortestSize([224, 256, 288], max_size=512)",
        parameters=(Parameter("min_size", Either(SIDE, Several(SIDE))), Parameter("max_size", optional(SIDE), None), _INTERPOLATION, _ANTIALIAS),
        yields=unknown_size,
        area=_drawn_area,
    ),
    _random(
        "ScaleJitter",
        v2.ScaleJitter,
        summary="Fits the image into target_size, times a random scale.",
        example="ScaleJitter([256, 256], scale_range=[0.8, 1.25])",
        parameters=(
            Parameter("target_size", Several(SIDE, (2,), of="[height, width]")),
            Parameter("scale_range", Several(Number(0.01, 10), (2,), rising=True), (0.1, 2.0)),
            _INTERPOLATION,
            _ANTIALIAS,
        ),
        yields=unknown_size,
        area=_drawn_area,
    ),
    _random(
        "RandomZoomOut",
        v2.RandomZoomOut,
        is_chance=True,
        summary="With probability p, places the image at random on a larger canvas.",
        example="RandomZoomOut(side_range=[1.0, 2.0])",
        parameters=(_FILL, Parameter("side_range", Several(Number(1, 16), (2,), rising=True), (1.0, 4.0)), probability()),
        misfit=values_fit("fill"),
        yields=unknown_size,
        area=_pad_area,
    ),
    _step(
        "Pad",
        v2.Pad,
        summary="Pads the borders.",
        example='Pad(4, padding_mode="reflect")',
        parameters=(Parameter("padding", _PADDING), _FILL, Parameter("padding_mode", _PADDING_MODE, "constant")),
        misfit=values_fit("fill"),
        yields=_yields_padded,
        area=_pad_area,
    ),
)
