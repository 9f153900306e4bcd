"""The fast way through the commonest recipes: crop, resize and flip in one pass, the parameters of a whole batch drawn at once.

`fuse` knows two shapes of a recipe's head, each with random flips behind it: `RandomResizedCrop`, and `Resize` with or without `CenterCrop`. What comes out is
held to the plain way, `Recipe.apply`, twice: by tests, and by `FusedHead.agrees` on a few images in the very process that wants to use it, since it repeats
arithmetic that torch does not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.encoding.batch import Applied
from service.planning.seeds import sample_keys
from service.recipes.canvas import Canvas
from service.recipes.framing import resized
from service.recipes.operation import MAX_PIXELS
from service.recipes.rule import sides
from service.recipes.words import MOST_RANGE, draw_words, is_exact, to_integers, to_uniform, to_unit

if TYPE_CHECKING:
    from service.planning.seeds import Words
    from service.recipes.recipe import Recipe
    from service.recipes.step import BoundStep

Integers: TypeAlias = npt.NDArray[np.int64]
Drawn: TypeAlias = npt.NDArray[np.uint32]
Memory: TypeAlias = tuple[Tensor, int, int, int]
Frame: TypeAlias = tuple[list[int], list[int], list[int], list[bool]]

_ATTEMPTS = 10
"""As `RandomResizedCrop.make_params` has it: so many boxes are tried before the middle of the image is taken."""

_HORIZONTAL = "RandomHorizontalFlip"
_FLIPS = (_HORIZONTAL, "RandomVerticalFlip")

_KERNELS: dict[str, Callable[..., Tensor]] = {"bilinear": torch._C._nn._upsample_bilinear2d_aa, "bicubic": torch._C._nn._upsample_bicubic2d_aa}
"""The antialiased kernels behind `torch.nn.functional.interpolate`."""

_PROOF_SIZES = ((60, 80), (97, 41), (1, 7), (300, 12))
_PROOF_KEYS = 6


@dataclass(frozen=True, slots=True)
class Frames:
    """What was drawn for the rows of a batch: one row an image.

    Attributes:
        boxes: (n, 4), the part of the image that is taken: top, left, height, width.
        sizes: (n, 2), height and width that the part is resized to.
        corners: (n, 2), where in the resized part the result begins: top, left.
        flips: bool (n, f), whether each of the flips turns the result round.
        fits: bool (n,), whether the fast way can do it; else the plain way says what is wrong.
    """

    boxes: Integers
    sizes: Integers
    corners: Integers
    flips: npt.NDArray[np.bool_]
    fits: npt.NDArray[np.bool_]

    def rows(self) -> list[Frame]:
        """Lists the rows as plain numbers: box, size, corner, flips."""
        columns = (self.boxes.tolist(), self.sizes.tolist(), self.corners.tolist(), self.flips.tolist())
        return list(zip(*columns, strict=True))


class Framing(Protocol):
    """How the frame of an image comes about."""

    interpolation: str
    result: tuple[int, int] | None

    def draw(self, words: Drawn, heights: Integers, widths: Integers) -> tuple[Frames, Integers]:
        """Draws frames without flips; also tells how many words each image has used up."""
        ...

    def tell(self, box: Integers) -> list[Applied]:
        """Tells what the framing steps did to one image, of which they took that box."""
        ...


class RandomFraming:
    """`RandomResizedCrop`, as torchvision draws it.

    Attributes:
        words: most words that one image uses up.
    """

    words = 2 * _ATTEMPTS + 2

    def __init__(self, step: BoundStep) -> None:
        arguments = step.arguments
        self._tell = step.spec.tell
        self.interpolation: str = arguments["interpolation"]
        self.result: tuple[int, int] | None = sides(arguments["size"])
        self._scale: tuple[float, float] = arguments["scale"]
        self._ratio: tuple[float, float] = arguments["ratio"]
        low, high = torch.log(torch.tensor(self._ratio)).tolist()
        self._log_ratio = (low, high)
        self.is_exact = is_exact(*self._scale) and is_exact(*self._log_ratio)

    def draw(self, words: Drawn, heights: Integers, widths: Integers) -> tuple[Frames, Integers]:
        """Draws frames; see `Framing`."""
        count = len(heights)
        boxes, used = self._middle(heights, widths), np.full(count, 2 * _ATTEMPTS)
        is_open = np.ones(count, dtype=bool)
        for attempt in range(_ATTEMPTS):
            high, wide = self._try(words[:, 2 * attempt : 2 * attempt + 2], heights, widths)
            hits = is_open & (wide > 0) & (wide <= widths) & (high > 0) & (high <= heights)
            if hits.any():
                places = words[hits, 2 * attempt + 2 : 2 * attempt + 4]
                top = to_integers(places[:, 0], heights[hits] - high[hits] + 1)
                left = to_integers(places[:, 1], widths[hits] - wide[hits] + 1)
                boxes[hits] = np.stack([top, left, high[hits], wide[hits]], axis=1)
                used[hits] = 2 * attempt + 4
                is_open &= ~hits
                if not is_open.any():
                    break
        size = np.broadcast_to(np.array(self.result), (count, 2))
        fits = (boxes[:, 2:] > 0).all(axis=1) & (np.maximum(heights, widths) < MOST_RANGE)
        return Frames(boxes, size, np.zeros((count, 2), dtype=np.int64), np.zeros((count, 0), dtype=bool), fits), used

    def tell(self, box: Integers) -> list[Applied]:
        """Tells the box."""
        top, left, height, width = box.tolist()
        return [Applied("RandomResizedCrop", params=self._tell({"top": top, "left": left, "height": height, "width": width}) or {})]

    def _try(self, words: Drawn, heights: Integers, widths: Integers) -> tuple[Integers, Integers]:
        """Gives the height and width of one attempt's box, in float64 and rounded to even as Python does."""
        areas = (heights * widths) * to_uniform(words[:, 0], *self._scale).astype(np.float64)
        ratios = torch.exp(torch.from_numpy(to_uniform(words[:, 1], *self._log_ratio))).numpy().astype(np.float64)
        return np.rint(np.sqrt(areas / ratios)).astype(np.int64), np.rint(np.sqrt(areas * ratios)).astype(np.int64)

    def _middle(self, heights: Integers, widths: Integers) -> Integers:
        """Gives the box that is taken where no attempt fits."""
        ratios = widths / heights
        is_tall, is_wide = ratios < min(self._ratio), ratios > max(self._ratio)
        high = np.where(is_tall, np.rint(widths / min(self._ratio)).astype(np.int64), heights)
        wide = np.where(~is_tall & is_wide, np.rint(heights * max(self._ratio)).astype(np.int64), widths)
        return np.stack([(heights - high) // 2, (widths - wide) // 2, high, wide], axis=1)


class FixedFraming:
    """`Resize`, and perhaps `CenterCrop` behind it.

    Attributes:
        words: most words that one image uses up: none.
    """

    words = 0
    is_exact = True

    def __init__(self, resize: BoundStep, crop: BoundStep | None) -> None:
        self.interpolation: str = resize.arguments["interpolation"]
        self._size, self._max_size = resize.arguments["size"], resize.arguments["max_size"]
        self._crop = sides(crop.arguments["size"]) if crop is not None else None
        self.result: tuple[int, int] | None = self._crop or (self._size if isinstance(self._size, tuple) else None)
        self._told = [Applied(step.spec.name) for step in (resize, crop) if step is not None]

    def draw(self, words: Drawn, heights: Integers, widths: Integers) -> tuple[Frames, Integers]:  # noqa: ARG002  one of the framings
        """Works the frames out; see `Framing`."""
        none = np.zeros(len(heights), dtype=np.int64)
        boxes = np.stack([none, none, heights, widths], axis=1)
        pairs = zip(heights.tolist(), widths.tolist(), strict=True)
        sizes = np.array([resized(height, width, self._size, self._max_size) for height, width in pairs], dtype=np.int64).reshape(-1, 2)
        margins = sizes - np.array(self._crop) if self._crop is not None else np.zeros_like(sizes)
        fits = (sizes > 0).all(axis=1) & (margins >= 0).all(axis=1) & (sizes.prod(axis=1) <= MAX_PIXELS)
        return Frames(boxes, sizes, np.rint(margins / 2).astype(np.int64), np.zeros((len(none), 0), dtype=bool), fits), none

    def tell(self, box: Integers) -> list[Applied]:  # noqa: ARG002  one of the framings
        """Tells that the steps were applied; they draw nothing."""
        return self._told


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

    def agrees(self) -> bool:
        """Says whether this process' torch makes the same of a few images both ways. For the process's one renderer: it uses the global generator."""
        return all(self._agrees(height, width) for height, width in _PROOF_SIZES)

    def _agrees(self, height: int, width: int) -> bool:
        pixels = torch.from_numpy(np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8))
        keys = sample_keys(0, 0, np.arange(_PROOF_KEYS, dtype=np.int64))
        frames = self.draw(keys, np.full(_PROOF_KEYS, height), np.full(_PROOF_KEYS, width))
        rows = frames.rows()
        for row in np.flatnonzero(frames.fits).tolist():
            target = np.empty((3, *self.size(rows[row])), dtype=np.uint8)
            self.render((pixels.view(-1), 0, height, width), rows[row], target, Canvas())
            expected, told = self.recipe.apply(pixels.permute(2, 0, 1), int(keys[row]), with_tail=False)
            if told != self.tell(frames.boxes[row], frames.flips[row], with_tail=False) or not torch.equal(torch.from_numpy(target), expected):
                return False
        return True


@lru_cache(maxsize=256)
def fuse(recipe: Recipe) -> FusedHead | None:
    """Gives the fast way through a recipe's head; None where there is none. Ask `agrees` before it is used."""
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
