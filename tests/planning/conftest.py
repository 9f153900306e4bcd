import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from service.planning.address import Address

Surprise = Callable[[npt.ArrayLike, npt.ArrayLike, int], float]


@pytest.fixture
def address() -> Address:
    return Address(
        dataset="hymenoptera",
        version="0f1e2d3c",
        split="train",
        recipe="RandomResizedCrop(224) | ToTensor()",
        seed=7,
        epoch=3,
        step=11,
        batch_size=4,
        shuffle=True,
        drop_last=False,
        rank=0,
        world_size=1,
        dtype="float32",
    )


@pytest.fixture(scope="session")
def surprise() -> Surprise:
    """Pearson's chi-square of counts against what is expected, as a standard normal deviate (Wilson and Hilferty 1931).

    Below 4.75 happens by chance except once in a million times. The seeds are fixed, so a test passes always or never.
    """

    def measure(counts: npt.ArrayLike, expected: npt.ArrayLike, freedom: int) -> float:
        wanted = np.asarray(expected, dtype=np.float64)
        statistic = float(((np.asarray(counts) - wanted) ** 2 / wanted).sum())
        spread = 2 / (9 * freedom)
        return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)

    return measure
