"""Tries settings one after the other, within a bound on memory."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from service.errors import BatchTooLarge, DeadlineExceeded, Unavailable
from service.tuning.consumer import IN_FLIGHT
from service.tuning.setting import LeftOut, Measurement, Result, Setting
from service.tuning.watch import MemoryExceeded

if TYPE_CHECKING:
    from service.tuning.memory_bound import Footprint
    from service.tuning.trial import Tell, Trial


def list_settings(workers: Sequence[int], batch_sizes: Sequence[int]) -> list[Setting]:
    """Combines them, the least memory first."""
    return sorted(Setting(number, size) for number in set(workers) for size in set(batch_sizes))


def worker_counts(processors: int) -> tuple[int, ...]:
    """Chooses numbers of workers worth a try: none, and powers of two up to the processors, and those."""
    return (0, *sorted({processors} | {1 << power for power in range(processors.bit_length()) if 1 << power < processors}))


def tune(trial: Trial, settings: Sequence[Setting], tell: Tell) -> Generator[Result, None, None]:
    """Measures settings; no workers are left when the next result comes, nor when the iterator is closed.

    Args:
        trial: measures one.
        settings: what to try, in an order of growing memory.
        tell: called with the parts of each trial.

    Raises:
        BatchlensError: what stands in the way of every setting: there are no workers to be had, ...
    """
    footprint: Footprint | None = None
    exceeded: list[Setting] = []
    for setting in settings:
        objection = foresee(setting, exceeded, footprint, trial)
        if objection is not None:
            yield LeftOut(setting, objection)
            continue
        try:
            measurement, found = trial.run(setting, tell)
        except (BatchTooLarge, DeadlineExceeded, Unavailable) as exc:
            yield LeftOut(setting, exc.detail)
        except MemoryExceeded as exc:
            exceeded.append(setting)
            yield LeftOut(setting, str(exc))
        else:
            footprint = found if setting.workers else footprint
            objection = trial.watch.bound.objection(measurement.full_bytes)
            yield measurement if objection is None else LeftOut(setting, objection)


def foresee(setting: Setting, exceeded: Sequence[Setting], footprint: Footprint | None, trial: Trial) -> str | None:
    """Says in one sentence why a setting must not even be tried.

    Args:
        setting: to be tried.
        exceeded: settings that took too much.
        footprint: of the last setting with workers; what none has told yet, a trial will, under watch.
        trial: knows what is allowed, and what is taken.

    Returns:
        None where nothing is known against it.
    """
    for each in exceeded:
        if each.workers <= setting.workers and each.batch_size <= setting.batch_size:
            return f"It takes no less than {each}, which was too much."
    predicted = trial.least_bytes() if footprint is None else footprint.predict(trial.effective(setting), IN_FLIGHT)
    return trial.watch.bound.objection(predicted)


def measured(results: Sequence[Result]) -> list[Measurement]:
    """Gives those that were measured."""
    return [each for each in results if isinstance(each, Measurement)]
