"""A keyed bijection on [0, n), evaluated only where it is asked.

A balanced Feistel network permutes the smallest domain of 4^k values that holds n; values that land outside [0, n) walk on along their cycle until they are
inside (format-preserving encryption by cycle walking: Black and Rogaway, CT-RSA 2002). No permutation is stored, and position 10^8 costs what position 0 does.
"""

import numpy as np
import numpy.typing as npt

from service.planning.seeds import derive, mix

_ROUNDS = 8  # Luby and Rackoff (1988) need 4 for a strong permutation; small domains mix poorly, so twice that.


def permute(positions: npt.NDArray[np.int64], size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Maps positions of a shuffled order to sample indices.

    Args:
        positions: int64 array, each value in [0, size).
        size: number of samples in the split, at most 2^62.
        seed: 0 or more.
        epoch: 0 or more.

    Returns:
        int64 array of the same shape: distinct positions give distinct indices in [0, size).
    """
    half_bits = max(1, ((max(size, 2) - 1).bit_length() + 1) // 2)
    shift, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    round_keys = derive("order", seed, epoch, _ROUNDS)
    values = positions.astype(np.uint64)
    outside = np.arange(values.size)
    while outside.size:
        left, right = values[outside] >> shift, values[outside] & mask
        for key in round_keys:
            left, right = right, left ^ (mix(right ^ key) & mask)
        values[outside] = (left << shift) | right
        outside = outside[values[outside] >= np.uint64(size)]
    return values.astype(np.int64)
