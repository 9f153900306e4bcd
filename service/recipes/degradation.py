"""Steps that make an image worse: blur, noise, holes and compression."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torchvision.transforms import v2

from service.recipes.image_type import UINT8
from service.recipes.kind import FLAG, PROBABILITY, Choice, Either, Integer, Number, Several, Square
from service.recipes.operation import Drawn
from service.recipes.rule import RATIO, plain, probability, tell_all, values_fit
from service.recipes.step import Parameter, StepSpec
from service.recipes.transform import JPEG, GaussianNoise, RandomErasing

if TYPE_CHECKING:
    from service.recipes.image_type import ImageType
    from service.recipes.step import BoundStep, Params

_SIGMA = Number(0.01, 100)
_VALUE = Number(-255, 255)
_QUALITY = Integer(1, 100)


def _noise_misfit(step: BoundStep, before: ImageType) -> str | None:
    if step.arguments["clip"] and before.is_rescaled:
        return "GaussianNoise clips to [0, 1] and gets rescaled pixels here: put it before Normalize, or set clip=False"
    return None


def _erasing_misfit(step: BoundStep, before: ImageType) -> str | None:
    if step.arguments["value"] == "random":
        return None if before.is_float else 'value="random" draws floats around 0: put ToTensor() before RandomErasing'
    return values_fit("value")(step, before)


def _tell_hole(params: Params) -> dict[str, Any] | None:
    """Tells where the hole is and what fills it; None where no place was found, and nothing erased."""
    if params["v"] is None:
        return None
    return {"top": params["i"], "left": params["j"], "height": params["h"], "width": params["w"], "value": plain(params["v"])}


_random = partial(StepSpec, compile=Drawn, is_random=True, tell=tell_all)

DEGRADATION: tuple[StepSpec, ...] = (
    _random(
        "GaussianBlur",
        v2.GaussianBlur,
        summary="Blurs with a Gaussian of random width.",
        example="GaussianBlur(9, sigma=[0.1, 2.0])",
        parameters=(
            Parameter("kernel_size", Square(Integer(1, 63, odd=True), of="[width, height]")),
            Parameter("sigma", Either(_SIGMA, Several(_SIGMA, (2,), rising=True)), (0.1, 2.0)),
        ),
    ),
    _random(
        "GaussianNoise",
        GaussianNoise,
        summary="Adds Gaussian noise; mean and sigma are shares of the full range.",
        example="GaussianNoise(sigma=0.05)",
        parameters=(Parameter("mean", Number(-10, 10), 0.0), Parameter("sigma", Number(0, 10), 0.1), Parameter("clip", FLAG, default=True)),
        misfit=_noise_misfit,
    ),
    _random(
        "RandomErasing",
        RandomErasing,
        is_chance=True,
        summary="With probability p, fills a random rectangle.",
        example="RandomErasing(p=0.25)",
        parameters=(
            probability(),
            Parameter("scale", Several(PROBABILITY, (2,), rising=True), (0.02, 0.33)),
            Parameter("ratio", RATIO, (0.3, 3.3)),
            Parameter("value", Either(_VALUE, Several(_VALUE, (1, 3), of="a list of one number or one for each channel"), Choice("random")), 0.0),
        ),
        misfit=_erasing_misfit,
        tell=_tell_hole,
    ),
    _random(
        "JPEG",
        JPEG,
        summary="Compresses as JPEG of random quality, and decompresses.",
        example="JPEG([40, 90])",
        parameters=(Parameter("quality", Either(_QUALITY, Several(_QUALITY, (2,), rising=True))),),
        accepts=(UINT8,),
    ),
)
