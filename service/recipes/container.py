"""Steps made of steps: all, some, one of them, or all in random order."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torchvision.transforms import v2

from service.encoding.batch import Applied
from service.recipes.image_type import ImageType
from service.recipes.kind import PROBABILITY, Number, Several, Steps, optional
from service.recipes.operation import Drawn, run_all
from service.recipes.step import Parameter, StepSpec

if TYPE_CHECKING:
    from torch import Tensor

    from service.recipes.step import BoundStep

_TRANSFORMS = Parameter("transforms", Steps())


class All:
    """Runs all steps in order."""

    __slots__ = ("_name", "_operations")

    def __init__(self, step: BoundStep) -> None:
        self._name = step.spec.name
        self._operations = tuple(each.compile() for each in step.steps)

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the steps to one image."""
        result, told = run_all(self._operations, image)
        return result, Applied(self._name, params={"steps": _told(told)})


class Some:
    """Runs all steps in order, or none."""

    __slots__ = ("_name", "_operations", "_probability")

    def __init__(self, step: BoundStep) -> None:
        self._name = step.spec.name
        self._operations = tuple(each.compile() for each in step.steps)
        self._probability = step.arguments["p"]

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the steps to one image, or not."""
        if torch.rand(1) >= self._probability:
            return image, Applied(self._name, applied=False)
        result, told = run_all(self._operations, image)
        return result, Applied(self._name, params={"steps": _told(told)})


class One:
    """Runs one of the steps."""

    __slots__ = ("_name", "_operations", "_weights")

    def __init__(self, step: BoundStep) -> None:
        self._name = step.spec.name
        self._operations = tuple(each.compile() for each in step.steps)
        weights = step.arguments["p"] or (1,) * len(self._operations)
        self._weights = torch.tensor([weight / sum(weights) for weight in weights])

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Picks a step and applies it to one image."""
        index = int(torch.multinomial(self._weights, 1))
        result, applied = self._operations[index](image)
        return result, Applied(self._name, params={"index": index, "steps": _told([applied])})


class Shuffled:
    """Runs all steps in random order."""

    __slots__ = ("_name", "_operations")

    def __init__(self, step: BoundStep) -> None:
        self._name = step.spec.name
        self._operations = tuple(each.compile() for each in step.steps)

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the steps to one image."""
        order = torch.randperm(len(self._operations)).tolist()
        result, told = run_all(tuple(self._operations[index] for index in order), image)
        return result, Applied(self._name, params={"order": order, "steps": _told(told)})


def infer_all(steps: tuple[BoundStep, ...], before: ImageType) -> ImageType:
    """Infers the type that comes out of a sequence of steps.

    Raises:
        InvalidRecipe: a step does not fit.
    """
    return reduce(lambda known, step: step.infer(known), steps, before)


def _yields_all(step: BoundStep, before: ImageType) -> ImageType:
    return infer_all(step.steps, before)


def _yields_some(step: BoundStep, before: ImageType) -> ImageType:
    after = infer_all(step.steps, before)
    if not after.has_same_pixels(before):
        step.refuse(f"RandomApply would give {after} or {before}, by chance; keep dtype, channels and scale the same inside it")
    return before.merged(after)


def _yields_one(step: BoundStep, before: ImageType) -> ImageType:
    types = [each.infer(before) for each in step.steps]
    other = next((each for each in types if not each.has_same_pixels(types[0])), None)
    if other is not None:
        step.refuse(f"RandomChoice would give {types[0]} or {other}, by chance; let all its steps give the same dtype, channels and scale")
    return reduce(ImageType.merged, types)


def _yields_shuffled(step: BoundStep, before: ImageType) -> ImageType:
    types = [each.infer(before) for each in step.steps]
    for each, after in zip(step.steps, types, strict=True):
        if not after.has_same_pixels(before):
            each.refuse(f"RandomOrder cannot hold a step that turns {before} into {after}: the order is drawn")
    is_kept = all((after.height, after.width) == (before.height, before.width) for after in types)
    return before if is_kept else before.sized(None, None)


def _choice_misfit(step: BoundStep, before: ImageType) -> str | None:  # noqa: ARG001
    weights = step.arguments["p"]
    if weights is not None and (len(weights) != len(step.steps) or not sum(weights)):
        return f"p has one weight for each of the {len(step.steps)} step(s), not all of them 0"
    return None


def _told(applied: list[Applied]) -> list[dict[str, Any]]:
    return [{"step": each.step, "applied": each.applied, "params": each.params} for each in applied]


CONTAINERS: tuple[StepSpec, ...] = (
    StepSpec(
        "Compose",
        None,
        compile=All,
        summary="Runs the steps in order; at the top level, `|` does the same.",
        example="RandomChoice([Compose([RandomInvert(), GaussianBlur(3)]), Identity()])",
        parameters=(_TRANSFORMS,),
        yields=_yields_all,
    ),
    StepSpec(
        "RandomApply",
        None,
        compile=Some,
        summary="With probability p, runs the steps in order.",
        example="RandomApply([ColorJitter(0.4), GaussianBlur(9)], p=0.8)",
        parameters=(_TRANSFORMS, Parameter("p", PROBABILITY, 0.5)),
        is_random=True,
        yields=_yields_some,
    ),
    StepSpec(
        "RandomChoice",
        None,
        compile=One,
        summary="Runs one of the steps, picked by the weights p.",
        example="RandomChoice([RandomRotation(15), GaussianBlur(5), Identity()], p=[0.3, 0.2, 0.5])",
        parameters=(_TRANSFORMS, Parameter("p", optional(Several(Number(0, 1e6))), None)),
        is_random=True,
        misfit=_choice_misfit,
        yields=_yields_one,
    ),
    StepSpec(
        "RandomOrder",
        None,
        compile=Shuffled,
        summary="Runs all the steps, in random order.",
        example="RandomOrder([ColorJitter(0.4), RandomHorizontalFlip()])",
        parameters=(_TRANSFORMS,),
        is_random=True,
        yields=_yields_shuffled,
    ),
    StepSpec("Identity", v2.Identity, compile=Drawn, summary="Does nothing; useful inside RandomChoice.", example="Identity()"),
)
