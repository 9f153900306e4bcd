"""Which rank of a distributed job this process is. Looks at torch only if it has been imported already."""

import os
import sys

from service.client.errors import RanksChanged
from service.errors import InvalidParameter

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)
"""Variables of torchrun (and what follows it, such as `accelerate launch`), and of mpirun in Open MPI, in MPICH and Intel MPI, and in MVAPICH2.
Slurm's are left out: a batch script has SLURM_NTASKS for all its tasks, although it is one process."""


class Ranks:
    """Rank and world size, settled at the first use, since a loader is often made before the process group exists.

    Args:
        rank: of this consumer, below `world_size`; None to take both from `torch.distributed` if it is initialised, else from the launcher's
            environment, else 0 of 1.
        world_size: number of consumers that share each step; None likewise.

    Raises:
        InvalidParameter: only one of the two is given, or they do not fit.
    """

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        self._settled: tuple[int, int] | None = None
        self._is_given = rank is not None
        if rank is not None and world_size is not None:
            self._settled = _check(rank, world_size)
        elif rank is not None or world_size is not None:
            raise InvalidParameter(f"rank and world_size go together: rank={rank}, world_size={world_size}.")

    @property
    def settled(self) -> tuple[int, int] | None:
        """Rank and world size; None before the first use."""
        return self._settled

    def settle(self) -> tuple[int, int]:
        """Return rank and world size, the same from the first call on.

        Raises:
            RanksChanged: a process group came up later, in which this process has another rank.
            InvalidParameter: the launcher's environment makes no sense.
        """
        group = None if self._is_given else _find_group()
        if self._settled is None:
            self._settled = group or _find_launched() or (0, 1)
        elif group is not None and group != self._settled:
            raise RanksChanged(
                f"This loader was first used as rank {self._settled[0]} of {self._settled[1]}, before the process group existed in which this process is"
                f" rank {group[0]} of {group[1]}; the ranks would read the same samples. Use it (iteration, len, state) only after"
                " init_process_group, make a new one now, or give rank= and world_size=.",
                settled=list(self._settled),
                group=list(group),
            )
        return self._settled

    def settle_in_group(self) -> None:
        """Settle now if a process group exists: a copy in another process would not find it."""
        if not self._is_given and _find_group() is not None:
            self.settle()


def _check(rank: int, world_size: int) -> tuple[int, int]:
    if not 0 <= rank < world_size:
        raise InvalidParameter(f"rank {rank} is not below world_size {world_size}; ranks count from 0.")
    return rank, world_size


def _find_group() -> tuple[int, int] | None:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _find_launched() -> tuple[int, int] | None:
    for names in _LAUNCHERS:
        values = [os.environ.get(name, "") for name in names]
        if all(values):
            try:
                return _check(int(values[0]), int(values[1]))
            except ValueError as exc:
                told = ", ".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True))
                raise InvalidParameter(f"The environment gives no rank: {told}. Give rank= and world_size=.") from exc
    return None
