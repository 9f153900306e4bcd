"""Rules that the tables of steps share: which type comes out, what does not fit, what is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from service.recipes.kind import PROBABILITY, Choice, Integer, Number, Several, Square, optional
from service.recipes.step import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.recipes.image_type import ImageType
    from service.recipes.step import BoundStep, Params

MAX_SIDE = 2048
SIDE = Integer(1, MAX_SIDE)
SIZE = Square(SIDE)
FILL = optional(Number(-255, 255), Several(Number(-255, 255), (1, 3), of="a list of one number or one for each channel"))
RATIO = Several(Number(0.01, 100), (2,), rising=True)
WARP_INTERPOLATION = Choice("nearest", "bilinear")

_LARGEST_TOLD = 16


def fixed_size(step: BoundStep, before: ImageType) -> ImageType:
    """Says that the output has the size of the argument `size`."""
    return before.sized(*sides(step.arguments["size"]))


def unknown_size(step: BoundStep, before: ImageType) -> ImageType:  # noqa: ARG001  one of the rules of `StepSpec.yields`
    """Says that the output's size depends on chance or on more than the input's size."""
    return before.sized(None, None)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Gives (height, width) of a size that is one integer or a pair."""
    return (size, size) if isinstance(size, int) else size


def values_fit(name: str) -> Callable[[BoundStep, ImageType], str | None]:
    """Makes the rule that argument `name` holds pixel values: one number or one for each channel, from 0 to 255 on uint8."""

    def rule(step: BoundStep, before: ImageType) -> str | None:
        value = step.arguments[name]
        values = value if isinstance(value, tuple) else (value,)
        if len(values) not in {1, before.channels}:
            return f"{name} is one number or one for each of the {before.channels} channel(s), not {len(values)}"
        if not before.is_float and any(isinstance(each, float) and not 0 <= each <= 255 for each in values):
            return f"{name} lies from 0 to 255 on uint8 pixels"
        if len(values) > 1 and step.arguments.get("padding_mode", "constant") != "constant":
            return f'{name} is one number unless padding_mode is "constant"'
        return None

    return rule


def tell_all(params: Params) -> dict[str, Any]:
    """Tells every parameter: small tensors and tuples as lists, large tensors by their shape alone."""
    return {name: plain(value) for name, value in params.items()}


def plain(value: object) -> Any:  # noqa: ANN401  any JSON value
    """Makes a drawn value JSON-ready.

    A large field is not told number by number, nor by a hash, which would cost more than most steps: it follows from the sample's key.
    """
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= _LARGEST_TOLD else {"shape": list(value.shape), "drawn": "from the sample's key"}
    return [plain(each) for each in value] if isinstance(value, tuple | list) else value


def probability(default: float = 0.5) -> Parameter:
    """Gives the parameter `p`, the chance that a step does anything."""
    return Parameter("p", PROBABILITY, default)
