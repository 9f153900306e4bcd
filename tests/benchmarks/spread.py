"""A figure measured several times."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range; machines are noisy, so one number alone says little.

    Attributes:
        median: of all values.
        low: the least.
        high: the largest.
        count: how many there are.
    """

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sums up values, at least one."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Gives the least value that at least this share (0..1) of the values does not exceed: the nearest-rank percentile, no interpolation."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]
