"""How much memory tuning may take, and how much a setting will."""

from __future__ import annotations

from dataclasses import dataclass

from service.processor import Memory
from service.tuning.setting import Setting

_RESERVE = 0.05
"""Part of the machine's memory that stays free, whatever the bound says."""


@dataclass(frozen=True, slots=True)
class MemoryBound:
    """What may be taken.

    Attributes:
        allowed_bytes: by this process and all that descend from it.
        reserve_bytes: that must stay free on the machine, or in its control group.
    """

    allowed_bytes: int
    reserve_bytes: int

    @classmethod
    def of(cls, machine: Memory, taken_bytes: int, *, allowed_bytes: int | None = None, fraction: float) -> MemoryBound:
        """Sets a bound.

        Args:
            machine: what there is, and what is free.
            taken_bytes: by this process and its descendants so far.
            allowed_bytes: the bound itself, where it was said.
            fraction: else the part of the free memory that may be taken in addition, 0..1.
        """
        allowed = taken_bytes + int(fraction * (machine.free_bytes or 0)) if allowed_bytes is None else allowed_bytes
        return cls(allowed, int(_RESERVE * machine.total_bytes))

    def objection(self, taken_bytes: int, free_bytes: int | None = None) -> str | None:
        """Says in one sentence what forbids so much memory.

        Args:
            taken_bytes: by this process and its descendants, now or in the long run.
            free_bytes: on the machine; None where it is about the long run.

        Returns:
            None where nothing does.
        """
        if taken_bytes > self.allowed_bytes:
            when = "It takes" if free_bytes is not None else "With its shared memory full it takes"
            return f"{when} {taken_bytes / 2**20:,.0f} MiB of memory; {self.allowed_bytes / 2**20:,.0f} MiB are allowed."
        if free_bytes is not None and free_bytes < self.reserve_bytes:
            return f"Only {free_bytes / 2**20:,.0f} MiB of memory are left; {self.reserve_bytes / 2**20:,.0f} MiB must stay free."
        return None


@dataclass(frozen=True, slots=True)
class Footprint:
    """What memory goes into, learned from a measured setting.

    Attributes:
        idle_bytes: this process before it opened a loader.
        worker_bytes: for each worker, its share in what they are forked from included.
        shared_bytes: shared memory of the loader when it is full.
        sample_bytes: one sample as the consumer holds it.
    """

    idle_bytes: int
    worker_bytes: int
    shared_bytes: int
    sample_bytes: int

    def predict(self, setting: Setting, in_flight: int) -> int:
        """Says how much memory a setting will take in the long run.

        Args:
            setting: whose batch size is no larger than the split.
            in_flight: batches at the consumer.
        """
        return self.idle_bytes + setting.workers * self.worker_bytes + self.shared_bytes + in_flight * setting.batch_size * self.sample_bytes
