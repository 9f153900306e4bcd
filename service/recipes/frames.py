"""Frames: which part of an image is taken, at which size, worked out for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from service.encoding.batch import Applied
from service.recipes.framing import resized
from service.recipes.operation import max_pixels
from service.recipes.rule import sides
from service.recipes.words import MOST_RANGE, is_exact, to_integers, to_uniform

if TYPE_CHECKING:
    from service.recipes.step import BoundStep

Integers: TypeAlias = npt.NDArray[np.int64]
Drawn: TypeAlias = npt.NDArray[np.uint32]
Frame: TypeAlias = tuple[list[int], list[int], list[int], list[bool]]

_ATTEMPTS = 10
"""As `RandomResizedCrop.make_params` has it: so many boxes are tried before the middle of the image is taken."""


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
        """Draws frames.

        Args:
            words: (n, `words`), what the generator of each image gives.
            heights: (n,), of the images in pixels.
            widths: likewise.

        Returns:
            frames without flips, and how many words each image has used up.
        """
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
        self._max_pixels = max_pixels(resize, torch.uint8)
        self._told = [Applied(step.spec.name) for step in (resize, crop) if step is not None]

    def draw(self, words: Drawn, heights: Integers, widths: Integers) -> tuple[Frames, Integers]:  # noqa: ARG002  one of the framings
        """Works the frames out; see `RandomFraming.draw`."""
        none = np.zeros(len(heights), dtype=np.int64)
        boxes = np.stack([none, none, heights, widths], axis=1)
        pairs = zip(heights.tolist(), widths.tolist(), strict=True)
        sizes = np.array([resized(height, width, self._size, self._max_size) for height, width in pairs], dtype=np.int64).reshape(-1, 2)
        margins = sizes - np.array(self._crop) if self._crop is not None else np.zeros_like(sizes)
        fits = (sizes > 0).all(axis=1) & (margins >= 0).all(axis=1) & (sizes.prod(axis=1) <= self._max_pixels)
        return Frames(boxes, sizes, np.rint(margins / 2).astype(np.int64), np.zeros((len(none), 0), dtype=bool), fits), none

    def tell(self, box: Integers) -> list[Applied]:  # noqa: ARG002  one of the framings
        """Tells that the steps were applied; they draw nothing."""
        return self._told
