"""The fast way through the commonest recipes: crop, resize and flip in one pass, the parameters of a whole batch drawn at once.

`fuse` knows two shapes of a recipe's head, each with random flips behind it: `RandomResizedCrop`, and `Resize` with or without `CenterCrop`. What comes out is
held to the plain way, `Recipe.apply`, twice: by tests, and by `is_proven` on a few images in the very process that wants to use it, since it repeats arithmetic
that torch does not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.encoding.batch import Applied
from service.planning.seeds import sample_keys
from service.recipes.canvas import Canvas
from service.recipes.frames import FixedFraming, Frame, Frames, Integers, RandomFraming
from service.recipes.recipe import Recipe, parse_recipe
from service.recipes.words import draw_words, to_unit

if TYPE_CHECKING:
    from service.planning.seeds import Words
    from service.recipes.step import BoundStep

Memory: TypeAlias = tuple[Tensor, int, int, int]

_FLIPS = {"RandomHorizontalFlip": 2, "RandomVerticalFlip": 1}
"""Step -> the axis of [3, H, W] that it turns round."""

_KERNELS: dict[str, Callable[..., Tensor]] = {"bilinear": torch._C._nn._upsample_bilinear2d_aa, "bicubic": torch._C._nn._upsample_bicubic2d_aa}
"""The antialiased kernels behind `torch.nn.functional.interpolate`."""

_PROOF_RECIPES = (
    "RandomResizedCrop(24) | RandomHorizontalFlip()",
    "RandomResizedCrop([20, 31], scale=[0.3, 0.9], ratio=[0.5, 3.0], interpolation='bicubic') | RandomHorizontalFlip(0.3) | RandomVerticalFlip(0.6)",
    "Resize(29) | CenterCrop(24) | RandomVerticalFlip()",
)
_PROOF_SIZES = ((60, 80), (97, 41), (1, 7), (300, 12))
_PROOF_KEYS = 4


@dataclass(frozen=True, slots=True)
class FusedHead:
    """A recipe's head as one pass over the pixels. Thread-safe.

    Attributes:
        recipe: whose head it is.
        framing: where the frame comes from.
        flips: the random flips behind it: name and probability.
        tail: what to tell of the recipe's tail.
        axes: the axis of [3, H, W] that each flip turns round.
        kernel: resizes.
    """

    recipe: Recipe
    framing: RandomFraming | FixedFraming
    flips: tuple[tuple[str, float], ...]
    tail: tuple[Applied, ...]
    axes: tuple[int, ...]
    kernel: Callable[..., Tensor]

    def draw(self, keys: Words, heights: Integers, widths: Integers) -> Frames:
        """Draws what `Recipe.apply` would draw, for many images at once. Touches no global generator.

        Args:
            keys: uint64 (n,), the samples' random keys.
            heights: (n,), of the images in pixels.
            widths: likewise.
        """
        words = draw_words(keys, self.framing.words + len(self.flips))
        frames, used = self.framing.draw(words, heights, widths)
        rows = np.arange(len(used))
        flips = [to_unit(words[rows, used + position]) < probability for position, (_, probability) in enumerate(self.flips)]
        drawn = np.stack(flips, axis=1) if flips else frames.flips
        return Frames(frames.boxes, frames.sizes, frames.corners, drawn, frames.fits)

    def render(self, image: Memory, frame: Frame, target: npt.NDArray[np.uint8], canvas: Canvas) -> None:
        """Renders one image, channel by channel.

        Args:
            image: where it lies: uint8 memory, one-dimensional and contiguous, the offset of its [H, W, 3] in it, H and W.
            frame: its row of `Frames.rows`.
            target: uint8 [3, h, w], h and w as `size` says; written.
            canvas: scratch memory.
        """
        part, new_size, (first_row, first_column), flips = self._cut(image, frame, canvas)
        if part.shape[2:] == new_size:
            pixels = part.numpy()[0]
        else:
            result, pixels = canvas.result(*new_size)
            self.kernel(part, new_size, False, None, None, out=result)
        if pixels.shape != target.shape:
            pixels = pixels[:, first_row : first_row + target.shape[1], first_column : first_column + target.shape[2]]
        for axis in flips:
            pixels = pixels[:, :, ::-1] if axis == 2 else pixels[:, ::-1]
        np.copyto(target, pixels)

    def render_last(self, image: Memory, frame: Frame, target: Tensor, canvas: Canvas) -> None:
        """Renders one image, pixel by pixel: as `render` does, into uint8 [3, h, w] that lies in memory as [h, w, 3]."""
        part, new_size, (first_row, first_column), flips = self._cut(image, frame, canvas)
        height, width = target.shape[1:]
        if part.shape[2:] != new_size:
            is_whole = not flips and new_size == (height, width)
            result = target.as_strided((1, 3, height, width), (target.numel(), *target.stride())) if is_whole else canvas.result(*new_size)[0]
            self.kernel(part, new_size, False, None, None, out=result)
            if is_whole:
                return
            part = result
        pixels = part[0, :, first_row : first_row + height, first_column : first_column + width]
        target.copy_(pixels.flip(flips) if flips else pixels)

    def _cut(self, image: Memory, frame: Frame, canvas: Canvas) -> tuple[Tensor, tuple[int, int], list[int], list[int]]:
        """Gives the part wanted, [1, 3, high, wide], ready for the kernel; its new size, where the result begins in it, and along which axes to flip."""
        memory, offset, height, width = image
        (top, left, high, wide), (new_high, new_wide), corner, flipped = frame
        line = 3 * width
        part = memory.as_strided((1, 3, high, wide), (line * height, 1, line, 3), memory.storage_offset() + offset + top * line + 3 * left)
        if wide != width and (high, wide) != (new_high, new_wide):
            part = canvas.copy(part, high, wide)
        flips = [axis for axis, is_flipped in zip(self.axes, flipped, strict=True) if is_flipped]
        return part, (new_high, new_wide), corner, flips

    def size(self, frame: Frame) -> tuple[int, int]:
        """Gives the height and width of one result."""
        return self.framing.result or (frame[1][0], frame[1][1])

    def tell(self, box: Integers, flips: npt.NDArray[np.bool_], *, with_tail: bool) -> tuple[Applied, ...]:
        """Tells what each step did to one image, as `Recipe.apply` does.

        Args:
            box: (4,), its row of `Frames.boxes`.
            flips: (f,), its row of `Frames.flips`.
            with_tail: whether the tail was applied, too.
        """
        flipped = [Applied(name, is_flipped) for (name, _), is_flipped in zip(self.flips, flips.tolist(), strict=True)]
        return (*self.framing.tell(box), *flipped, *(self.tail if with_tail else ()))


@lru_cache(maxsize=256)
def fuse(recipe: Recipe) -> FusedHead | None:
    """Gives the fast way through a recipe's head; None where there is none. To be used only where `is_proven`."""
    steps = list(recipe.head_steps)
    flips: list[tuple[str, float]] = []
    while steps and steps[-1].spec.name in _FLIPS:
        step = steps.pop()
        flips.insert(0, (step.spec.name, float(step.arguments["p"])))
    framing = _find_framing(steps)
    if framing is None or not framing.is_exact:
        return None
    tail = tuple(Applied(step.spec.name) for step in recipe.tail_steps)
    return FusedHead(recipe, framing, tuple(flips), tail, tuple(_FLIPS[name] for name, _ in flips), _KERNELS[framing.interpolation])


def _find_framing(steps: list[BoundStep]) -> RandomFraming | FixedFraming | None:
    names = [step.spec.name for step in steps]
    if not steps or not steps[0].arguments.get("antialias") or steps[0].arguments["interpolation"] not in _KERNELS:
        return None
    if names == ["RandomResizedCrop"]:
        return RandomFraming(steps[0])
    if names in (["Resize"], ["Resize", "CenterCrop"]):
        return FixedFraming(steps[0], steps[1] if len(steps) > 1 else None)
    return None


@lru_cache(maxsize=1)
def is_proven() -> bool:
    """Says whether this process's torch makes the same of a few images both ways. For the process's one renderer: it uses the global generator."""
    recipes = [parse_recipe(text) for text in _PROOF_RECIPES]
    return all(_agrees(recipe, height, width) for recipe in recipes for height, width in _PROOF_SIZES)


def _agrees(recipe: Recipe, height: int, width: int) -> bool:
    head = fuse(recipe)
    if head is None:
        return False
    pixels = torch.from_numpy(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))
    keys = sample_keys(0, 0, np.arange(_PROOF_KEYS, dtype=np.int64))
    frames = head.draw(keys, np.full(_PROOF_KEYS, height), np.full(_PROOF_KEYS, width))
    canvas, rows = Canvas(), frames.rows()
    for row in np.flatnonzero(frames.fits).tolist():
        target = np.empty((3, *head.size(rows[row])), dtype=np.uint8)
        head.render((pixels.view(-1), 0, height, width), rows[row], target, canvas)
        expected, told = recipe.apply(pixels.permute(2, 0, 1), int(keys[row]), with_tail=False)
        last = canvas.last(*target.shape[1:])
        head.render_last((pixels.view(-1), 0, height, width), rows[row], last, canvas)
        if (
            not torch.equal(last, expected)
            or told != head.tell(frames.boxes[row], frames.flips[row], with_tail=False)
            or not torch.equal(torch.from_numpy(target), expected)
        ):
            return False
    return True
