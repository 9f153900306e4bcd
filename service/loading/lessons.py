"""What a loader learns from its work: how large samples get, and which batches end their workers. Bounded; not thread-safe: its loader holds a lock."""

import time
from collections import OrderedDict
from typing import Any

from service.errors import BatchTooLarge, RenderCrashed
from service.loading.job import Job

_GUESS_BYTES = 1 << 20
_REMEMBERED = 256
_CRASH_SECONDS = 600.0


class SampleSizes:
    """How large the samples of a recipe get whose shape is not known beforehand. A batch that turns out larger than its guess is rendered once more."""

    def __init__(self) -> None:
        self._largest: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def estimate(self, job: Job, available_bytes: int) -> int:
        """Says how large a slot a job needs.

        Raises:
            BatchTooLarge: larger than all that there is.
        """
        exact = job.needed_bytes or len(job.order) * (job.known_sample_bytes or 0)
        if exact > available_bytes:
            raise BatchTooLarge(
                f"{len(job.order)} samples of this recipe need {exact:,} bytes; a loader has {available_bytes:,} for batches."
                " Ask for a smaller batch_size, or raise BATCHLENS_SLAB_BYTES.",
                needed_bytes=exact,
                available_bytes=available_bytes,
            )
        guess = len(job.order) * self._largest.get(job.size_key, _GUESS_BYTES)
        return exact or min(guess, available_bytes)

    def least(self, job: Job) -> int:
        """Says how many bytes a job is known to need at least, or has needed before; 0 where nothing is known of its samples."""
        return len(job.order) * (job.known_sample_bytes or self._largest.get(job.size_key, 0))

    def learn(self, job: Job) -> None:
        """Takes note of a job that needed more than it was given."""
        per_sample = -(-job.needed_bytes // len(job.order))
        self._largest[job.size_key] = max(self._largest.get(job.size_key, 0), per_sample)
        _trim(self._largest)


class Crashes:
    """Batches that have ended their workers too often; each is refused for ten minutes, since what ended them may pass."""

    def __init__(self) -> None:
        self._crashed: OrderedDict[str, tuple[float, RenderCrashed]] = OrderedDict()

    def holds(self, key: str) -> bool:
        """Says whether an order has crashed."""
        return key in self._crashed

    def check(self, key: str) -> None:
        """Raises RenderCrashed for an order that has crashed lately."""
        since_seconds, error = self._crashed.get(key, (0.0, None))
        if error is None:
            return
        if time.monotonic() - since_seconds > _CRASH_SECONDS:
            del self._crashed[key]
        else:
            raise _copy(error)

    def add(self, job: Job, position: int) -> RenderCrashed:
        """Takes note of a crash, and gives the error that names the sample."""
        index, label = int(job.order.plan.indices[position]), job.order.file(position).label
        error = RenderCrashed(f"Rendering sample {index} ({label}) has ended its worker process again and again.", sample=index, file=label)
        self._crashed[job.order.key] = (time.monotonic(), error)
        _trim(self._crashed)
        return _copy(error)


def _copy(error: RenderCrashed) -> RenderCrashed:
    """Gives an error of its own to each who raises it: a traceback hangs on it."""
    return RenderCrashed(error.detail, **error.facts)


def _trim(memory: OrderedDict[Any, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
