"""Automatic augmentation: policies that pick operations by themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torchvision.transforms import AutoAugmentPolicy

from service.recipes.kind import FLAG, Choice, Integer, Number
from service.recipes.operation import Observed
from service.recipes.rule import FILL, WARP_INTERPOLATION, values_fit
from service.recipes.step import Parameter, StepSpec
from service.recipes.transform import AugMix, AutoAugment, RandAugment, TrivialAugmentWide

if TYPE_CHECKING:
    from service.recipes.image_type import ImageType
    from service.recipes.step import BoundStep

_BINS = Parameter("num_magnitude_bins", Integer(2, 256), 31)
_NEAREST = Parameter("interpolation", WARP_INTERPOLATION, "nearest")
_FILL = Parameter("fill", FILL, None)


def _make_auto_augment(policy: str, **arguments: Any) -> AutoAugment:  # noqa: ANN401  the other arguments, as they are
    return AutoAugment(policy=AutoAugmentPolicy(policy), **arguments)


def _rand_augment_misfit(step: BoundStep, before: ImageType) -> str | None:
    if step.arguments["magnitude"] >= step.arguments["num_magnitude_bins"]:
        return "magnitude is the number of a bin: it lies below num_magnitude_bins"
    return values_fit("fill")(step, before)


_auto = partial(StepSpec, compile=Observed, is_random=True, needs_unit_range=True)

AUTO: tuple[StepSpec, ...] = (
    _auto(
        "AutoAugment",
        _make_auto_augment,
        summary="Applies a random pair of operations of a learned policy.",
        example='AutoAugment("imagenet")',
        parameters=(Parameter("policy", Choice("imagenet", "cifar10", "svhn"), "imagenet"), _NEAREST, _FILL),
        misfit=values_fit("fill"),
    ),
    _auto(
        "RandAugment",
        RandAugment,
        summary="Applies num_ops random operations of equal magnitude.",
        example="RandAugment(num_ops=2, magnitude=9)",
        parameters=(Parameter("num_ops", Integer(0, 16), 2), Parameter("magnitude", Integer(0, 255), 9), _BINS, _NEAREST, _FILL),
        misfit=_rand_augment_misfit,
    ),
    _auto(
        "TrivialAugmentWide",
        TrivialAugmentWide,
        summary="Applies one random operation of random magnitude.",
        example="TrivialAugmentWide()",
        parameters=(_BINS, _NEAREST, _FILL),
        misfit=values_fit("fill"),
    ),
    _auto(
        "AugMix",
        AugMix,
        summary="Mixes the image with several chains of random operations.",
        example="AugMix(severity=3)",
        parameters=(
            Parameter("severity", Integer(1, 10), 3),
            Parameter("mixture_width", Integer(1, 8), 3),
            Parameter("chain_depth", Integer(-1, 8), -1),
            Parameter("alpha", Number(0.01, 100), 1.0),
            Parameter("all_ops", FLAG, default=True),
            Parameter("interpolation", WARP_INTERPOLATION, "bilinear"),
            _FILL,
        ),
        misfit=values_fit("fill"),
    ),
)
