"""Who reads: which rank of a distributed job, which worker of a DataLoader. Looks at torch only where somebody has imported it."""

import sys
from collections.abc import Sequence

from service.errors import InvalidParameter


def find_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Completes rank and world size.

    Args:
        rank: this consumer, below `world_size`; None to take both from `torch.distributed` where that is initialised, else 0 of 1.
        world_size: number of consumers that share each step; None likewise.

    Raises:
        InvalidParameter: only one of the two is given, or they do not fit.
    """
    if rank is None and world_size is None:
        return _find_distributed()
    if rank is None or world_size is None:
        raise InvalidParameter(f"rank and world_size go together: rank={rank}, world_size={world_size}.")
    if not 0 <= rank < world_size:
        raise InvalidParameter(f"rank {rank} is not below world_size {world_size}; ranks count from 0.")
    return rank, world_size


def share_steps(steps: range) -> Sequence[int]:
    """Gives this process's part of the steps: all, but in worker i of n of a DataLoader every n-th from the i-th on.

    A DataLoader takes from its workers in turn, so the batches come out in order.
    """
    data = sys.modules.get("torch.utils.data")
    info = data.get_worker_info() if data is not None else None
    return steps if info is None else steps[info.id :: info.num_workers]


def _find_distributed() -> tuple[int, int]:
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()
