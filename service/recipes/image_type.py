"""What is known of an image between two steps before any image is seen: the types of recipes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

UINT8 = "uint8"
FLOATS = ("float32", "float16", "bfloat16")
ALL_DTYPES = (UINT8, *FLOATS)


@dataclass(frozen=True, slots=True)
class ImageType:
    """What one knows of a tensor [C, H, W] from the recipe's text alone.

    Attributes:
        dtype: "uint8", "float32", "float16" or "bfloat16".
        channels: 1 or 3.
        height: in pixels; None where it depends on the image or on chance.
        width: likewise.
        mean: with `std`, the way back to pixels in [0, 1]: `x * std + mean`; one value, or one for each channel. For uint8, divide by 255 instead.
        std: likewise.
    """

    dtype: str = UINT8
    channels: int = 3
    height: int | None = None
    width: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floats."""
        return self.dtype != UINT8

    @property
    def is_rescaled(self) -> bool:
        """Whether pixels are floats outside the usual [0, 1]."""
        return set(self.mean) != {0.0} or set(self.std) != {1.0}

    def sized(self, height: int | None, width: int | None) -> Self:
        """Gives the same with another size."""
        return replace(self, height=height, width=width)

    def normalized(self, mean: Iterable[float], std: Iterable[float]) -> Self:
        """Gives the type after `(x - mean) / std`; the way back is composed exactly.

        Args:
            mean: one value, or one for each channel.
            std: likewise.
        """
        shift, scale, old_mean, old_std = (self._per_channel(values) for values in (mean, std, self.mean, self.std))
        new_mean = tuple(m * s + o for m, s, o in zip(shift, old_std, old_mean, strict=True))
        new_std = tuple(d * s for d, s in zip(scale, old_std, strict=True))
        return replace(self, mean=new_mean, std=new_std)

    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Gives (mean, std), one value for each channel, or None where pixels are uint8 or already in [0, 1]."""
        return (self._per_channel(self.mean), self._per_channel(self.std)) if self.is_rescaled else None

    def has_same_pixels(self, other: "ImageType") -> bool:
        """Whether dtype, channels and scale agree; sizes may differ."""
        return self.sized(None, None) == other.sized(None, None)

    def merged(self, other: "ImageType") -> Self:
        """Gives the type that holds for both; they have the same pixels, and sizes that differ become None."""
        return self.sized(self.height if self.height == other.height else None, self.width if self.width == other.width else None)

    def __str__(self) -> str:
        return f"{self.dtype} with {self.channels} channel{'s' if self.channels > 1 else ''}{', rescaled' if self.is_rescaled else ''}"

    def _per_channel(self, values: Iterable[float]) -> tuple[float, ...]:
        given = tuple(values)
        return given * self.channels if len(given) == 1 else given
