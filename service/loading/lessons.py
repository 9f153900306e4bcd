"""What a loader learns from its work: how large samples get, and which batches end their workers. Bounded; not thread-safe: its loader holds a lock."""

from collections import OrderedDict
from typing import Any

from service.errors import BatchTooLarge, RenderCrashed
from service.loading.job import Job
from service.loading.task import Sample

_GUESS_BYTES = 1 << 20
_REMEMBERED = 256


class SampleSizes:
    """How large the samples of a recipe get whose shape is not known beforehand. The first batch that is larger than the guess is rendered once more."""

    def __init__(self) -> None:
        self._largest: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def estimate(self, job: Job, available_bytes: int) -> int:
        """Says how large a slot a job needs.

        Raises:
            BatchTooLarge: larger than all that there is.
        """
        needed = len(job.samples) * (job.known_sample_bytes or self._largest.get(job.size_key, _GUESS_BYTES))
        if needed > available_bytes:
            raise BatchTooLarge(
                f"{len(job.samples)} samples of this recipe need {needed:,} bytes; a loader has {available_bytes:,} for batches."
                " Ask for a smaller batch_size, or raise BATCHLENS_SLAB_BYTES.",
                needed_bytes=needed,
                available_bytes=available_bytes,
            )
        return needed

    def learn(self, job: Job) -> None:
        """Takes note of a job that needed more than it was given."""
        per_sample = -(-job.needed_bytes // len(job.samples))
        self._largest[job.size_key] = max(self._largest.get(job.size_key, 0), per_sample)
        _trim(self._largest)


class Crashes:
    """Batches that have ended their workers too often."""

    def __init__(self) -> None:
        self._errors: OrderedDict[str, RenderCrashed] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises the RenderCrashed of an order that has crashed before."""
        if key in self._errors:
            raise self._errors[key]

    def add(self, job: Job, sample: Sample) -> RenderCrashed:
        """Takes note of a crash, and gives the error that names the sample."""
        error = RenderCrashed(
            f"Rendering sample {sample.index} ({sample.file.label}) ended its worker process {job.deaths} times.",
            sample=sample.index,
            file=sample.file.label,
        )
        self._errors[job.order.key] = error
        _trim(self._errors)
        return error


def _trim(memory: OrderedDict[Any, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
