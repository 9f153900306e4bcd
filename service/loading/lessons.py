"""What a loader learns from its work: how large samples get, and which batches end their workers. Bounded; not thread-safe: its loader holds a lock."""

import time
from collections import OrderedDict
from typing import Any

from service.errors import BatchTooLarge, RenderCrashed
from service.loading.job import Job
from service.loading.task import Sample

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
        exact = job.needed_bytes or len(job.samples) * (job.known_sample_bytes or 0)
        if exact > available_bytes:
            raise BatchTooLarge(
                f"{len(job.samples)} samples of this recipe need {exact:,} bytes; a loader has {available_bytes:,} for batches."
                " Ask for a smaller batch_size, or raise BATCHLENS_SLAB_BYTES.",
                needed_bytes=exact,
                available_bytes=available_bytes,
            )
        guess = len(job.samples) * self._largest.get(job.size_key, _GUESS_BYTES)
        return exact or min(guess, available_bytes)

    def learn(self, job: Job) -> None:
        """Takes note of a job that needed more than it was given."""
        per_sample = -(-job.needed_bytes // len(job.samples))
        self._largest[job.size_key] = max(self._largest.get(job.size_key, 0), per_sample)
        _trim(self._largest)


class Crashes:
    """Batches that have ended their workers too often; each is refused for ten minutes, since what ended them may pass."""

    def __init__(self) -> None:
        self._crashed: OrderedDict[str, tuple[float, Sample]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises RenderCrashed for an order that has crashed lately."""
        since_seconds, sample = self._crashed.get(key, (0.0, None))
        if sample is None:
            return
        if time.monotonic() - since_seconds > _CRASH_SECONDS:
            del self._crashed[key]
        else:
            raise _crashed(sample)

    def add(self, job: Job, sample: Sample) -> RenderCrashed:
        """Takes note of a crash, and gives the error that names the sample."""
        self._crashed[job.order.key] = (time.monotonic(), sample)
        _trim(self._crashed)
        return _crashed(sample)


def _crashed(sample: Sample) -> RenderCrashed:
    label = sample.file.label
    return RenderCrashed(f"Rendering sample {sample.index} ({label}) has ended its worker process again and again.", sample=sample.index, file=label)


def _trim(memory: OrderedDict[Any, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
