"""What torch's CPU generator would draw, for many samples at once: the raw words, and the arithmetic that turns them into numbers.

torch keeps a Mersenne Twister (Matsumoto & Nishimura 1998) for each generator. Its float32 `uniform_` and `rand` take one 32-bit word and keep the low 24 bits,
`randint` takes one word modulo the range (ATen/core/DistributionsHelper.h, TransformationHelper.h). None of that is promised by torch, so whoever uses this
module compares a few results with torch's own first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt

    from service.planning.seeds import Words

MOST_RANGE = 1 << 28
"""From this range on, `randint` takes two words."""

_LOW_24 = np.uint32((1 << 24) - 1)
_TO_UNIT = 2.0**-24
_EVERYTHING = -(1 << 63)


def draw_words(keys: Words, count: int) -> npt.NDArray[np.uint32]:
    """Gives the first words of the generators that are seeded with these keys. Touches no global generator; thread-safe.

    Args:
        keys: uint64 array of shape (n,).
        count: words wanted of each.

    Returns:
        uint32 array of shape (n, count).
    """
    pairs = -(-count // 2)
    drawn = torch.empty((len(keys), pairs), dtype=torch.int64)
    generator = torch.Generator()
    for row, key in zip(drawn.unbind(), keys.tolist(), strict=True):
        row.random_(_EVERYTHING, None, generator=generator.manual_seed(key))  # All 64 bits: two words, the first one high.
    return drawn.numpy().view(np.uint32).reshape(len(keys), pairs, 2)[:, :, ::-1].reshape(len(keys), 2 * pairs)[:, :count]


def to_unit(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """Gives what `torch.rand` makes of words: multiples of 2^-24 in [0, 1)."""
    return (words & _LOW_24).astype(np.float64) * _TO_UNIT


def to_uniform(words: npt.NDArray[np.uint32], low: float, high: float) -> npt.NDArray[np.float32]:
    """Gives what float32 `uniform_(low, high)` makes of words: one multiply-add, rounded once. Exact where `is_exact(low, high)`."""
    start, stop = np.float32(low), np.float32(high)
    return (to_unit(words) * np.float64(stop - start) + np.float64(start)).astype(np.float32)


def is_exact(low: float, high: float) -> bool:
    """Says whether float64 holds the multiply-add of `to_uniform` without rounding, so that float32 gets the same number as from one fused operation."""
    start, span = abs(np.float32(low)), np.float32(high) - np.float32(low)
    finest = min(float(np.spacing(span)) * _TO_UNIT, float(np.spacing(start)) if start else 1.0)
    return max(float(start), abs(high)) <= finest * 2**52


def to_integers(words: npt.NDArray[np.uint32], ranges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Gives what `randint(0, range)` makes of words, for ranges from 1 to below `MOST_RANGE`."""
    return words.astype(np.int64) % ranges
