"""Recipes: text, type, and the one seeded function that applies them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

from service.recipes.binding import bind_all
from service.recipes.container import infer_all
from service.recipes.grammar import MAX_CHARACTERS, parse_calls, refuse
from service.recipes.image_type import UINT8, ImageType
from service.recipes.operation import run_all
from service.recipes.tail import TAIL_NAMES, rescale_in_place

if TYPE_CHECKING:
    from torch import Tensor

    from service.encoding.batch import Applied
    from service.recipes.step import BoundStep, Operation, Transform
    from service.recipes.tail import InPlace

_CACHED_RECIPES = 256
_CROPS = frozenset({"CenterCrop", "RandomCrop", "RandomResizedCrop"})
_COPIES = frozenset({"Identity", "ToImage", "PILToTensor", "Resize", "RandomHorizontalFlip", "RandomVerticalFlip"})
"""Steps that take no more memory than what goes in and what comes out."""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The transforms of one recipe, ready to apply. Made by `parse_recipe`; two recipes are the same if their `text` is.

    Attributes:
        text: canonical text; parsing it gives the same recipe.
        head: canonical text of what stands before the tail; "" where nothing does.
        tail: canonical text of the end that only rescales numbers, after a head that yields uint8; "" where there is none.
        dtype: what the whole recipe yields: "uint8", "float32", "float16" or "bfloat16".
        head_dtype: what the head yields.
        output_shape: (channels, height, width); a side is None where it depends on the image or on chance.
        normalization: (mean, std), one value for each channel, so that `x * std + mean` is in [0, 1] again; None where the output is uint8 or in [0, 1].
        is_random: whether two keys may give two results.
    """

    text: str
    head: str
    tail: str
    dtype: str
    head_dtype: str
    output_shape: tuple[int, int | None, int | None]
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None
    is_random: bool
    _steps: tuple[BoundStep, ...] = field(repr=False)
    _head: tuple[Operation, ...] = field(repr=False)
    _tail: tuple[Operation, ...] = field(repr=False)
    _rescale: tuple[Transform, ...] = field(repr=False)
    _in_place: tuple[InPlace, ...] = field(repr=False)

    def apply(self, image: Tensor, key: int, *, with_tail: bool = True) -> tuple[Tensor, tuple[Applied, ...]]:
        """Applies the recipe to one image. The only place of the project that seeds, or draws from, a global generator.

        Not for two threads of one process at once, whatever their recipes, nor beside anything else that draws from torch's generator: a caller renders one
        sample at a time in its process, or holds a lock that every other caller holds, too. The generator stays where the last draw left it.
        Callers also set `torch.set_num_threads(1)`: the mean of a large float image depends in its last bits on how many threads share the sum.

        Args:
            image: uint8 [3, H, W] on any device, usually the channels-last view that `pil_to_tensor` gives. Never written to. Memory order is part of the
                input: torch fills noise in memory order.
            key: the sample's random key, 0 to 2^64 - 1. Parameters are drawn on the CPU, so they are the same on every device.
            with_tail: False to stop before the tail, where pixels are still uint8.

        Returns:
            the pixels [C, H', W'], of dtype `dtype` (`head_dtype` without the tail), which may share memory with `image`; and what each step did, in order.

        Raises:
            StepFailed: a step cannot be applied to this image; names both.
        """
        torch.default_generator.manual_seed(key)
        result, told = run_all(self._head + self._tail if with_tail else self._head, image)
        return result, tuple(told)

    def apply_tail(self, images: Tensor) -> Tensor:
        """Applies the tail alone; draws nothing.

        Args:
            images: what the head gives: uint8 [C, H, W], or a batch [B, C, H, W].

        Returns:
            the same numbers, bit for bit, as the whole recipe gives; `images` itself where there is no tail.
        """
        for transform in self._rescale:
            images = transform.transform(images, {})
        return images

    def rescale_into(self, target: Tensor, pixels: Tensor) -> None:
        """Writes what `apply_tail` gives into memory that is there; without a copy in between where the tail can work in place.

        Args:
            target: [C, H, W] of any dtype; written.
            pixels: uint8 [C, H, W].
        """
        if target.dtype == torch.float32 and self._in_place:
            target.copy_(pixels)
            for rescale in self._in_place:
                rescale(target)
        else:
            target.copy_(self.apply_tail(pixels))

    @property
    def head_steps(self) -> tuple[BoundStep, ...]:
        """What stands before the tail."""
        return self._steps[: len(self._head)]

    @property
    def tail_steps(self) -> tuple[BoundStep, ...]:
        """The tail."""
        return self._steps[len(self._head) :]

    def describe(self) -> dict[str, Any]:
        """Gives everything known of the recipe, JSON-ready."""
        mean, std = self.normalization or (None, None)
        return {
            "recipe": self.text,
            "head": self.head,
            "tail": self.tail,
            "dtype": self.dtype,
            "head_dtype": self.head_dtype,
            "output_shape": list(self.output_shape),
            "normalization": None if mean is None or std is None else {"mean": list(mean), "std": list(std)},
            "random": self.is_random,
            "steps": [each.text for each in self._steps],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@lru_cache(maxsize=_CACHED_RECIPES)
def parse_recipe(text: str) -> Recipe:
    """Parses a recipe. Thread-safe; the last 256 texts are remembered.

    Args:
        text: calls joined by `|`, see `service.recipes.grammar`; names and arguments of `torchvision.transforms.v2`.

    Raises:
        InvalidRecipe: the text does not parse, names an unknown step, is out of bounds, or its steps do not fit together; quotes the culprit.
    """
    steps = _mark_cut(bind_all(parse_calls(text)))
    canonical = _write(steps)
    if len(canonical) > MAX_CHARACTERS:
        refuse(f"Written out in full, a recipe has at most {MAX_CHARACTERS} characters; this one has {len(canonical)}", text, None)
    start = _find_tail(steps)
    head_type = infer_all(steps[:start], ImageType())
    whole_type = infer_all(steps[start:], head_type)
    operations = tuple(step.compile() for step in steps)
    return Recipe(
        text=canonical,
        head=_write(steps[:start]),
        tail=_write(steps[start:]),
        dtype=whole_type.dtype,
        head_dtype=head_type.dtype,
        output_shape=(whole_type.channels, whole_type.height, whole_type.width),
        normalization=whole_type.normalization(),
        is_random=any(_is_random(step) for step in steps),
        _steps=steps,
        _head=operations[:start],
        _tail=operations[start:],
        _rescale=tuple(step.transform() for step in steps[start:]),
        _in_place=rescale_in_place(steps[start:]),
    )


def _mark_cut(steps: tuple[BoundStep, ...]) -> tuple[BoundStep, ...]:
    """Set `is_cut` on each step that has a crop behind it, with nothing but copies in between."""
    marked: list[BoundStep] = []
    is_cut = False
    for step in reversed(steps):
        marked.append(replace(step, is_cut=is_cut))
        is_cut = step.spec.name in _CROPS or (is_cut and step.spec.name in _COPIES)
    return tuple(reversed(marked))


def _find_tail(steps: tuple[BoundStep, ...]) -> int:
    """Finds the first step of the tail; `len(steps)` where there is none."""
    start = len(steps)
    while start and steps[start - 1].spec.name in TAIL_NAMES:
        start -= 1
    head_type = infer_all(steps[:start], ImageType())
    turns_float = infer_all(steps[start:], head_type).is_float
    return start if turns_float and head_type.dtype == UINT8 else len(steps)


def _is_random(step: BoundStep) -> bool:
    return step.spec.is_random or any(_is_random(each) for each in step.steps)


def _write(steps: tuple[BoundStep, ...]) -> str:
    return " | ".join(step.text for step in steps)
