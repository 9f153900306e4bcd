"""A rank's part of each epoch, and what happens if the last step cannot be shared equally."""

from dataclasses import dataclass, replace
from typing import Literal

from service.planning.address import Address
from service.planning.plan import count_steps, share_rows

Uneven = Literal["share", "pad", "drop"]


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank reads.

    Attributes:
        address: of the rank's first batch of epoch 0.
        size: samples in the split.
        uneven: what becomes of a last step whose samples cannot be shared equally: "share" leaves ranks with one sample less, or none; "pad" gives
            these a sample of the epoch's first step once more; "drop" leaves the step out.
    """

    address: Address
    size: int
    uneven: Uneven

    @property
    def steps(self) -> int:
        """Steps in an epoch, the same for every rank."""
        steps = self._all_steps
        return steps - 1 if self.uneven == "drop" and steps and self._rows_in(steps - 1) % self.address.world_size else steps

    @property
    def samples_in_step(self) -> int:
        """Samples in a full step, over all ranks."""
        return self.address.batch_size * self.address.world_size

    @property
    def has_empty_batch(self) -> bool:
        """Whether some rank gets no sample in the last step."""
        return self.uneven == "share" and self._all_steps > 0 and self._rows_in(self._all_steps - 1) < self.address.world_size

    @property
    def has_repeats(self) -> bool:
        """Whether some rank's last batch is filled up."""
        return self.uneven == "pad" and self._all_steps > 0 and self._rows_in(self._all_steps - 1) % self.address.world_size != 0

    def address_of(self, epoch: int, step: int) -> Address:
        """Return the address of this rank's batch."""
        return replace(self.address, epoch=epoch, step=step)

    def filler_of(self, epoch: int, step: int) -> Address | None:
        """Return the address of the batch whose first sample fills this rank's batch up; None if it needs none.

        It is the batch of the epoch's first step, as `DistributedSampler` repeats the first samples: of this rank, or of the next one that has any.
        """
        if self.uneven != "pad" or self._count(step, self.address.rank) == -(-self._rows_in(step) // self.address.world_size):
            return None
        donor = next(rank for rank in range(self.address.rank, self.address.world_size) if self._count(0, rank))
        return replace(self.address, epoch=epoch, step=0, rank=donor)

    @property
    def _all_steps(self) -> int:
        return count_steps(self.size, self.address.batch_size, self.address.world_size, self.address.drop_last)

    def _rows_in(self, step: int) -> int:
        return min(self.samples_in_step, self.size - step * self.samples_in_step)

    def _count(self, step: int, rank: int) -> int:
        first, last = share_rows(self._rows_in(step), rank, self.address.world_size)
        return last - first
