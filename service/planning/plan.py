"""From an address to rows: which samples, in which order, with which random keys.

Pure arithmetic on NumPy arrays: no I/O, no tensors, nothing that grows with the size of the split.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.errors import UnknownStep
from service.planning.address import Address
from service.planning.permutation import permute
from service.planning.seeds import Words, sample_keys
from service.plural import count_of


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of one batch.

    Attributes:
        indices: int64 array of shape (B,), the samples in order.
        keys: uint64 array of shape (B,), the random key of each.
    """

    indices: npt.NDArray[np.int64]
    keys: Words


def count_steps(size: int, batch_size: int, world_size: int = 1, drop_last: bool = False) -> int:
    """Counts the steps of an epoch, the same for every rank.

    Args:
        size: number of samples in the split.
        batch_size: samples a rank takes in a full step.
        world_size: number of ranks that share each step.
        drop_last: whether an incomplete last block is left out.

    Returns:
        0 for an empty split, else at least 1 unless `drop_last` drops the only block.
    """
    block = batch_size * world_size
    return size // block if drop_last else -(-size // block)


def share_rows(rows: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return where a rank's part of a step's rows begins and ends; parts differ by one row at most, and the last is never the smaller one."""
    return rows * rank // world_size, rows * (rank + 1) // world_size


def make_plan(address: Address, size: int) -> Plan:
    """Plans one batch.

    Step s of rank r takes positions [s*G + r*B, s*G + (r+1)*B) of the epoch's order, with B the batch size and G = B * world_size. A last block of fewer than G
    samples is shared out over the ranks so that their numbers differ by at most one; a rank may get none.

    Args:
        address: what is asked.
        size: number of samples in the split.

    Returns:
        the rows, in order.

    Raises:
        UnknownStep: the step lies past the end of the epoch.
    """
    steps = count_steps(size, address.batch_size, address.world_size, address.drop_last)
    if address.step >= steps:
        raise UnknownStep(
            f"Step {address.step} lies past the end of the epoch, which has {count_of(steps, 'step')}: {count_of(size, 'sample')},"
            f" batch_size {address.batch_size} x world_size {address.world_size}"
            f"{', without the incomplete last one' if address.drop_last else ''}; steps count from 0.",
            steps=steps,
        )
    block = address.batch_size * address.world_size
    start = address.step * block
    rows = min(block, size - start)
    first, last = share_rows(rows, address.rank, address.world_size)
    positions = np.arange(start + first, start + last, dtype=np.int64)
    indices = permute(positions, size, address.seed, address.epoch) if address.shuffle else positions
    return Plan(indices, sample_keys(address.seed, address.epoch, indices))


def plan_sample(index: int, seed: int, epoch: int) -> Plan:
    """Plans a single sample as the given epoch shows it, wherever it stands in the order."""
    indices = np.array([index], dtype=np.int64)
    return Plan(indices, sample_keys(seed, epoch, indices))
