"""The batches a loader holds: under way, being read, or kept for the next who asks."""

from __future__ import annotations

from collections import OrderedDict

from service.loading.job import Job
from service.loading.slab import Slab

Key = tuple[str, str]

_MOST_JOBS = 4096


class Store:
    """Jobs by (order key, device), least recently used first, and the slots they own. Not thread-safe: its loader holds a lock.

    Args:
        slab_bytes: shared memory for slots; batches that stay on another device may take as much there.
    """

    def __init__(self, slab_bytes: int) -> None:
        self.slab = Slab(slab_bytes)
        self.size_bytes = slab_bytes
        self._jobs: OrderedDict[Key, Job] = OrderedDict()
        self._device_bytes = 0

    @property
    def kept(self) -> int:
        """Number of finished batches."""
        return sum(job.batch is not None for job in self._jobs.values())

    @property
    def device_bytes(self) -> int:
        """Memory of finished batches on other devices."""
        return self._device_bytes

    def find(self, key: Key) -> Job | None:
        """Gives the job for a key, now the most recently used."""
        job = self._jobs.get(key)
        if job is not None:
            self._jobs.move_to_end(key)
        return job

    def holds(self, key: Key) -> bool:
        """Says whether there is a job for a key; does not count as a use."""
        return key in self._jobs

    def owns(self, job: Job) -> bool:
        """Says whether a job is still here, under way or finished."""
        return self._jobs.get(key_of(job)) is job

    def add(self, job: Job) -> None:
        """Takes a new job in; gives up the oldest finished ones beyond a number, since small batches cost more than their slots."""
        self._jobs[key_of(job)] = job
        if len(self._jobs) > _MOST_JOBS:
            for idle in self._idle()[: len(self._jobs) - _MOST_JOBS]:
                self.discard(idle)

    def allocate(self, size_bytes: int) -> int | None:
        """Takes a slot, giving up batches that nobody reads; None where even that is not enough."""
        offset = self.slab.allocate(size_bytes)
        for job in [] if offset is not None else self._idle():
            if job.offset is not None:
                self.discard(job)
                offset = self.slab.allocate(size_bytes)
                if offset is not None:
                    break
        return offset

    def keep_on_device(self, job: Job) -> None:
        """Counts a finished batch on another device, giving up older ones beyond the budget. Its slot, which held decoded pixels, is free again."""
        self.free_slot(job)
        self._device_bytes += job.device_bytes
        for idle in self._idle():
            if self._device_bytes <= self.size_bytes:
                break
            self.discard(idle)

    def free_slot(self, job: Job) -> None:
        """Gives a job's slot back, if it has one."""
        if job.offset is not None:
            self.slab.free(job.offset)
            job.offset = None

    def discard(self, job: Job) -> None:
        """Forgets a job and gives its memory back."""
        self.free_slot(job)
        if self._jobs.get(key_of(job)) is job:
            del self._jobs[key_of(job)]
            self._device_bytes -= job.device_bytes
        job.batch = None

    def trim(self, job: Job) -> None:
        """Gives back what a finished job does not use of its slot."""
        if job.offset is not None:
            self.slab.trim(job.offset, job.used_bytes)

    def discard_other_versions(self, version: str) -> None:
        """Forgets finished batches that nobody reads and that are of another version of the dataset."""
        for job in self._idle():
            if job.order.address.version != version:
                self.discard(job)

    def discard_other_devices(self, device_id: str) -> None:
        """Forgets finished batches that nobody reads and that were rendered elsewhere."""
        for job in self._idle():
            if job.device_id != device_id:
                self.discard(job)

    def _idle(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.batch is not None and not job.tickets]


def key_of(job: Job) -> Key:
    """Gives the key that a job is stored under."""
    return job.order.key, job.device_id
