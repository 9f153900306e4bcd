"""How much is measured, and who is told about it."""

from collections.abc import Callable
from dataclasses import dataclass

Tell = Callable[[str], None]
"""Called before each step of a measurement, with what it is about."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        runs: how often each figure is taken; all contenders take turns in each.
        seconds: how long a contender's turn lasts, at least; it ends with a whole epoch.
        warm_seconds: how long it runs before that.
        is_quick: whether only a look is wanted.
    """

    runs: int
    seconds: float
    warm_seconds: float
    is_quick: bool


FULL = Effort(runs=5, seconds=2.0, warm_seconds=1.5, is_quick=False)
QUICK = Effort(runs=1, seconds=0.6, warm_seconds=0.4, is_quick=True)
