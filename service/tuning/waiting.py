"""The arithmetic of waiting: what a consumer's log says about its loader."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One batch, as its consumer lived it; times in seconds of one clock.

    Attributes:
        asked: it wanted the batch.
        got: it had it.
        done: it had computed with it; equal to `got` for a consumer that only takes.
        images: in the batch.
    """

    asked: float
    got: float
    done: float
    images: int


def share_waiting(steps: Sequence[Step]) -> float:
    """Gives the part of a consumer's time in which it had nothing to compute with.

    With 1 s to load and 0.1 s to compute, loading while it computes, a consumer waits 0.9 s of each second: 0.9.

    Args:
        steps: in order, without those that filled the pipeline.

    Returns:
        0..1; 0 where no time passed.
    """
    if not steps:
        return 0.0
    total = steps[-1].done - steps[0].asked
    return sum(step.got - step.asked for step in steps) / total if total > 0 else 0.0


def images_per_second(steps: Sequence[Step]) -> float:
    """Gives the images a second that a consumer took; 0 where no time passed."""
    total = steps[-1].done - steps[0].asked if steps else 0.0
    return sum(step.images for step in steps) / total if total > 0 else 0.0
