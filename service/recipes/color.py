"""Steps that change colours."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from torchvision.transforms import v2

from service.recipes.kind import Choice, Integer, Number, Several, optional
from service.recipes.operation import Drawn
from service.recipes.rule import probability, tell_all
from service.recipes.step import Parameter, StepSpec

if TYPE_CHECKING:
    from service.recipes.image_type import ImageType
    from service.recipes.step import BoundStep, Params

_FACTOR = Number(0, 10)
_FACTORS = Several(_FACTOR, (2,), rising=True)
_JITTER = optional(_FACTOR, _FACTORS)
_HUES = Several(Number(-0.5, 0.5), (2,), rising=True)
_ADJUSTMENTS = ("brightness", "contrast", "saturation", "hue")  # In the order in which torchvision's ColorJitter numbers them.


def _yields_gray(step: BoundStep, before: ImageType) -> ImageType:
    return replace(before, channels=step.arguments["num_output_channels"])


def _yields_rgb(step: BoundStep, before: ImageType) -> ImageType:  # noqa: ARG001
    return replace(before, channels=3)


def _solarize_misfit(step: BoundStep, before: ImageType) -> str | None:
    return "threshold lies from 0 to 1 on float pixels" if before.is_float and step.arguments["threshold"] > 1 else None


def _tell_jitter(params: Params) -> dict[str, Any]:
    """Tells the factors of the adjustments made, and their order."""
    factors = {f"{name}_factor": params[f"{name}_factor"] for name in _ADJUSTMENTS}
    order = [_ADJUSTMENTS[index] for index in params["fn_idx"].tolist()]
    return {"order": [name for name in order if factors[f"{name}_factor"] is not None]} | {
        name: factor for name, factor in factors.items() if factor is not None
    }


_color = partial(StepSpec, compile=Drawn, needs_unit_range=True)
_random = partial(StepSpec, compile=Drawn, needs_unit_range=True, is_random=True, tell=tell_all)
_chance = partial(StepSpec, compile=Drawn, needs_unit_range=True, is_random=True, is_chance=True)

COLOR: tuple[StepSpec, ...] = (
    StepSpec("RGB", v2.RGB, compile=Drawn, summary="Repeats a gray image's channel three times; leaves RGB as it is.", example="RGB()", yields=_yields_rgb),
    _color(
        "Grayscale",
        v2.Grayscale,
        summary="Turns gray, into 1 channel or 3 equal ones.",
        example="Grayscale(num_output_channels=3)",
        parameters=(Parameter("num_output_channels", Choice(1, 3), 1),),
        yields=_yields_gray,
    ),
    _chance(
        "RandomGrayscale",
        v2.RandomGrayscale,
        summary="With probability p, turns gray; the number of channels stays.",
        example="RandomGrayscale(p=0.2)",
        parameters=(probability(0.1),),
    ),
    _random(
        "ColorJitter",
        v2.ColorJitter,
        summary="Changes brightness, contrast, saturation and hue by random factors, in random order.",
        example="ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)",
        parameters=(
            Parameter("brightness", _JITTER, None),
            Parameter("contrast", _JITTER, None),
            Parameter("saturation", _JITTER, None),
            Parameter("hue", optional(Number(0, 0.5), _HUES), None),
        ),
        tell=_tell_jitter,
    ),
    _random(
        "RandomPhotometricDistort",
        v2.RandomPhotometricDistort,
        summary="Changes brightness, contrast, saturation, hue and the order of channels, each with probability p.",
        example="RandomPhotometricDistort()",
        parameters=(
            Parameter("brightness", _FACTORS, (0.875, 1.125)),
            Parameter("contrast", _FACTORS, (0.5, 1.5)),
            Parameter("saturation", _FACTORS, (0.5, 1.5)),
            Parameter("hue", _HUES, (-0.05, 0.05)),
            probability(),
        ),
    ),
    _random("RandomChannelPermutation", v2.RandomChannelPermutation, summary="Shuffles the channels.", example="RandomChannelPermutation()"),
    _chance("RandomInvert", v2.RandomInvert, summary="With probability p, inverts the colours.", example="RandomInvert()", parameters=(probability(),)),
    _chance(
        "RandomPosterize",
        v2.RandomPosterize,
        summary="With probability p, keeps only the highest `bits` bits of each channel.",
        example="RandomPosterize(4)",
        parameters=(Parameter("bits", Integer(0, 8)), probability()),
    ),
    _chance(
        "RandomSolarize",
        v2.RandomSolarize,
        summary="With probability p, inverts the pixels at or above a threshold.",
        example="RandomSolarize(128.0)",
        parameters=(Parameter("threshold", Number(0, 255)), probability()),
        misfit=_solarize_misfit,
    ),
    _chance(
        "RandomEqualize", v2.RandomEqualize, summary="With probability p, equalises the histogram.", example="RandomEqualize()", parameters=(probability(),)
    ),
    _chance(
        "RandomAutocontrast",
        v2.RandomAutocontrast,
        summary="With probability p, stretches each channel to its full range.",
        example="RandomAutocontrast()",
        parameters=(probability(),),
    ),
    _chance(
        "RandomAdjustSharpness",
        v2.RandomAdjustSharpness,
        summary="With probability p, blurs (factor below 1) or sharpens (above 1).",
        example="RandomAdjustSharpness(2.0)",
        parameters=(Parameter("sharpness_factor", Number(0, 100)), probability()),
    ),
)
