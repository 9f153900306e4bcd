"""Steps that move pixels within the frame: flips, rotations and warps."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from torchvision.transforms import v2

from service.recipes.kind import FLAG, PROBABILITY, Either, Number, Several, optional
from service.recipes.operation import Drawn
from service.recipes.rule import FILL, RATIO, WARP_INTERPOLATION, probability, tell_all, values_fit
from service.recipes.step import Parameter, StepSpec

if TYPE_CHECKING:
    from service.recipes.image_type import ImageType
    from service.recipes.step import Arguments, BoundStep, Params

_CENTER = optional(Several(Number(-10_000, 10_000), (2,), of="[x, y] in pixels"))
_DEGREES = Either(Number(0, 360), Several(Number(-360, 360), (2,), rising=True))
_SHEAR_ANGLE = Number(-89, 89)
_FIELD_SIGMA = Number(0, 7.75)  # Its kernel has int(8 * sigma + 1) taps a side, made odd: at most 63.
_FILL = Parameter("fill", FILL, 0.0)


def _yields_rotated(step: BoundStep, before: ImageType) -> ImageType:
    return before.sized(None, None) if step.arguments["expand"] else before


def _rotated_area(arguments: Arguments, params: Params, height: int, width: int) -> int:
    if not arguments["expand"]:
        return height * width
    cosine, sine = (abs(function(math.radians(params["angle"]))) for function in (math.cos, math.sin))
    return math.ceil(width * cosine + height * sine + 2) * math.ceil(width * sine + height * cosine + 2)


def _elastic_misfit(step: BoundStep, before: ImageType) -> str | None:
    sigma = step.arguments["sigma"]
    if isinstance(sigma, tuple) and 0.0 in sigma and set(sigma) != {0.0}:
        return "The two values of sigma are both above 0, or both 0 for no smoothing"
    return values_fit("fill")(step, before)


def _tell_perspective(params: Params) -> dict[str, Any]:
    if not all(map(math.isfinite, params["coefficients"])):
        raise ValueError("its corners fall together")
    return tell_all(params)


_random = partial(StepSpec, compile=Drawn, is_random=True, tell=tell_all)
_chance = partial(StepSpec, compile=Drawn, is_random=True, is_chance=True)

WARPS: tuple[StepSpec, ...] = (
    _chance(
        "RandomHorizontalFlip",
        v2.RandomHorizontalFlip,
        summary="With probability p, swaps left and right.",
        example="RandomHorizontalFlip()",
        parameters=(probability(),),
    ),
    _chance(
        "RandomVerticalFlip",
        v2.RandomVerticalFlip,
        summary="With probability p, swaps top and bottom.",
        example="RandomVerticalFlip(p=0.25)",
        parameters=(probability(),),
    ),
    _random(
        "RandomRotation",
        v2.RandomRotation,
        summary="Rotates by a random angle, counter-clockwise.",
        example='RandomRotation(15, interpolation="bilinear")',
        parameters=(
            Parameter("degrees", _DEGREES),
            Parameter("interpolation", WARP_INTERPOLATION, "nearest"),
            Parameter("expand", FLAG, default=False),
            Parameter("center", _CENTER, None),
            _FILL,
        ),
        misfit=values_fit("fill"),
        yields=_yields_rotated,
        area=_rotated_area,
    ),
    _random(
        "RandomAffine",
        v2.RandomAffine,
        summary="Rotates, moves, scales and shears at random.",
        example="RandomAffine(10, translate=[0.1, 0.1], scale=[0.9, 1.1])",
        parameters=(
            Parameter("degrees", _DEGREES),
            Parameter("translate", optional(Several(PROBABILITY, (2,), of="[share of width, share of height]")), None),
            Parameter("scale", optional(RATIO), None),
            Parameter("shear", optional(Number(0, 89), Several(_SHEAR_ANGLE, (2, 4), of="[low, high] along x, or [low, high, low, high] along x and y")), None),
            Parameter("interpolation", WARP_INTERPOLATION, "nearest"),
            _FILL,
            Parameter("center", _CENTER, None),
        ),
        misfit=values_fit("fill"),
    ),
    _chance(
        "RandomPerspective",
        v2.RandomPerspective,
        summary="With probability p, looks at the image from a random side.",
        example="RandomPerspective(0.3)",
        parameters=(
            Parameter("distortion_scale", PROBABILITY, 0.5),
            probability(),
            Parameter("interpolation", WARP_INTERPOLATION, "bilinear"),
            _FILL,
        ),
        misfit=values_fit("fill"),
        tell=_tell_perspective,
    ),
    _random(
        "ElasticTransform",
        v2.ElasticTransform,
        summary="Moves every pixel by a smooth random field.",
        example="ElasticTransform(alpha=30.0)",
        parameters=(
            Parameter("alpha", Either(Number(0, 2000), Several(Number(0, 2000), (2,))), 50.0),
            Parameter("sigma", Either(_FIELD_SIGMA, Several(_FIELD_SIGMA, (2,))), 5.0),
            Parameter("interpolation", WARP_INTERPOLATION, "bilinear"),
            _FILL,
        ),
        misfit=_elastic_misfit,
    ),
)
