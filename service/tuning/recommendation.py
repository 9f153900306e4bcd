"""From measurements to one setting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from service.tuning.setting import Measurement, Setting

WAIT_ALLOWED = 0.01
"""A consumer that waits less than this part of its time is as good as busy all the time."""

CLOSE_TO_BEST = 0.95
"""Rates from this part of the best on count as equal: runs of a few seconds tell no finer."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to set.

    Attributes:
        setting: what was chosen.
        reason: why, one sentence.
    """

    setting: Setting
    reason: str


def recommend(measurements: Iterable[Measurement]) -> Recommendation | None:
    """Chooses a setting: as few workers as do the job, since each takes memory and, where there are too many, processors from the others.

    For each batch size that is the least number of workers with which the consumer hardly waits; where it always waits, the least number that gives it
    nearly the most images. Among batch sizes, those that give the consumer nearly the most images a second are equal; the fewest workers win, then the
    highest steady rate.

    Returns:
        None where nothing was measured.
    """
    ordered = sorted(measurements, key=lambda each: (each.setting.batch_size, each.setting.workers))
    picks = [_pick(list(group)) for _, group in groupby(ordered, attrgetter("setting.batch_size"))]
    if not picks:
        return None
    best = min(_nearly_best(picks), key=lambda each: (each.setting.workers, -each.steady_rate))
    return Recommendation(best.setting, _explain(best))


def _pick(measurements: Sequence[Measurement]) -> Measurement:
    """Chooses among the numbers of workers, ascending, at one batch size."""
    busy = [each for each in measurements if each.wait_share < WAIT_ALLOWED]
    return (busy or _nearly_best(measurements))[0]


def _nearly_best(measurements: Sequence[Measurement]) -> list[Measurement]:
    best = max(each.consumer_rate for each in measurements)
    return [each for each in measurements if each.consumer_rate >= CLOSE_TO_BEST * best]


def _explain(chosen: Measurement) -> str:
    if chosen.wait_share < WAIT_ALLOWED:
        return "The consumer hardly waits; of the numbers of workers tried at this batch size, this is the smallest that does it."
    return "The consumer waits with every number of workers tried at this batch size; this is the smallest that gives it nearly the most images."
