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

_HORIZONTAL = "RandomHorizontalFlip"
_FLIPS = (_HORIZONTAL, "RandomVerticalFlip")

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
        kernel: resizes.
    """

    recipe: Recipe
    framing: RandomFraming | FixedFraming
    flips: tuple[tuple[str, float], ...]
    tail: tuple[Applied, ...]
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
        """Renders one image.

        Args:
            image: where it lies: uint8 memory, one-dimensional and contiguous, the offset of its [H, W, 3] in it, H and W.
            frame: its row of `Frames.rows`.
            target: uint8 [3, h, w], h and w as `size` says; written.
            canvas: scratch memory.
        """
        memory, offset, height, width = image
        (top, left, high, wide), (new_high, new_wide), (first_row, first_column), flips = frame
        line = 3 * width
        part = memory.as_strided((1, 3, high, wide), (line * height, 1, line, 3), memory.storage_offset() + offset + top * line + 3 * left)
        if high == new_high and wide == new_wide:
            pixels = part.numpy()[0]
        else:
            result, pixels = canvas.result(new_high, new_wide)
            source = part if wide == width else canvas.copy(part, high, wide)
            self.kernel(source, [new_high, new_wide], False, None, None, out=result)
        if pixels.shape != target.shape:
            pixels = pixels[:, first_row : first_row + target.shape[1], first_column : first_column + target.shape[2]]
        for (name, _), is_flipped in zip(self.flips, flips, strict=True):
            if is_flipped:
                pixels = pixels[:, :, ::-1] if name == _HORIZONTAL else pixels[:, ::-1]
        np.copyto(target, pixels)

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
        flips.insert(0, (step.spec.name, float(np.float32(step.arguments["p"]))))  # Compared with a float32, as torch does.
    framing = _find_framing(steps)
    if framing is None or not framing.is_exact:
        return None
    return FusedHead(recipe, framing, tuple(flips), tuple(Applied(step.spec.name) for step in recipe.tail_steps), _KERNELS[framing.interpolation])


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
        if told != head.tell(frames.boxes[row], frames.flips[row], with_tail=False) or not torch.equal(torch.from_numpy(target), expected):
            return False
    return True
