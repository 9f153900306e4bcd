"""Steps that only rescale numbers. They make the tails of recipes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torchvision.transforms import v2

from service.recipes.image_type import FLOATS
from service.recipes.kind import FLAG, Choice, Number, Several
from service.recipes.operation import Drawn
from service.recipes.step import Parameter, StepSpec
from service.recipes.transform import ToTensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from torch import Tensor

    from service.recipes.image_type import ImageType
    from service.recipes.step import BoundStep, Transform

    InPlace: TypeAlias = Callable[[Tensor], Tensor]

_DTYPE = Choice(*FLOATS)
_BYTE = 1 / 255


def _make_to_dtype(dtype: str, **arguments: Any) -> Transform:  # noqa: ANN401  the other arguments, as they are
    made: Transform = v2.ToDtype(getattr(torch, dtype), **arguments)
    return made


def _make_convert(dtype: str) -> Transform:
    made: Transform = v2.ConvertImageDtype(getattr(torch, dtype))
    return made


def _yields_tensor(step: BoundStep, before: ImageType) -> ImageType:  # noqa: ARG001
    return before if before.is_float else replace(before, dtype="float32")


def _yields_dtype(step: BoundStep, before: ImageType) -> ImageType:
    after = replace(before, dtype=step.arguments["dtype"])
    keeps_bytes = not before.is_float and not step.arguments.get("scale", True)
    return replace(after, mean=(0.0,), std=(_BYTE,)) if keeps_bytes else after


def _normalize_misfit(step: BoundStep, before: ImageType) -> str | None:
    for name in ("mean", "std"):
        if len(step.arguments[name]) not in {1, before.channels}:
            return f"{name} has one value, or one for each of the {before.channels} channel(s), not {len(step.arguments[name])}"
    return None


def _yields_normalized(step: BoundStep, before: ImageType) -> ImageType:
    return before.normalized(step.arguments["mean"], step.arguments["std"])


_nothing = partial(StepSpec, make=v2.Identity, compile=Drawn)

TAIL: tuple[StepSpec, ...] = (
    _nothing("ToImage", summary="Does nothing: images are tensors already.", example="ToImage()"),
    _nothing("PILToTensor", summary="Does nothing: images are uint8 tensors already.", example="PILToTensor()"),
    StepSpec(
        "ToTensor",
        ToTensor,
        compile=Drawn,
        summary="Turns uint8 into float32 in [0, 1], dividing by 255 like the classic ToTensor; leaves floats as they are.",
        example="ToTensor()",
        yields=_yields_tensor,
    ),
    StepSpec(
        "ToDtype",
        _make_to_dtype,
        compile=Drawn,
        summary="Converts to another float type; with scale, uint8 goes to [0, 1], without, it keeps 0 to 255.",
        example='ToDtype("float32", scale=True)',
        parameters=(Parameter("dtype", _DTYPE), Parameter("scale", FLAG, default=False)),
        yields=_yields_dtype,
    ),
    StepSpec(
        "ConvertImageDtype",
        _make_convert,
        compile=Drawn,
        summary="Converts to another float type; uint8 goes to [0, 1].",
        example='ConvertImageDtype("float16")',
        parameters=(Parameter("dtype", _DTYPE, "float32"),),
        yields=_yields_dtype,
    ),
    StepSpec(
        "Normalize",
        v2.Normalize,
        compile=Drawn,
        summary="Subtracts a mean and divides by a standard deviation, channel by channel.",
        example="Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
        parameters=(Parameter("mean", Several(Number(-1e4, 1e4), (1, 3))), Parameter("std", Several(Number(1e-4, 1e4), (1, 3)))),
        accepts=FLOATS,
        misfit=_normalize_misfit,
        yields=_yields_normalized,
    ),
)


def rescale_in_place(steps: tuple[BoundStep, ...]) -> tuple[InPlace, ...]:
    """Gives a tail as operations on float32 [C, H, W] that holds the bytes' numbers; none where the tail is not `ToTensor` with any `Normalize` behind it.

    They are those of `ToTensor` and of `torchvision.transforms.v2.functional.normalize_image`, without their copies.
    """
    wanted = [step for step in steps if step.spec.name not in {"ToImage", "PILToTensor"}]
    if [step.spec.name for step in wanted[:1]] != ["ToTensor"] or any(step.spec.name != "Normalize" for step in wanted[1:]):
        return ()
    return (lambda image: image.div_(255), *(_normalize_in_place(step) for step in wanted[1:]))


def _normalize_in_place(step: BoundStep) -> InPlace:
    mean, std = (torch.tensor(step.arguments[name], dtype=torch.float32).view(-1, 1, 1) for name in ("mean", "std"))
    return lambda image: image.sub_(mean).div_(std)


TAIL_NAMES = frozenset(spec.name for spec in TAIL)
