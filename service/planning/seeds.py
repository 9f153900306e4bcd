"""Keyed hashing: the one source of every random decision in a plan.

Strings and tuples enter through BLAKE2b (RFC 7693); many integers at once are then mixed with SplitMix64's finaliser in the "Mix13" variant (Stafford 2011,
used by Java's SplittableRandom, Steele et al., OOPSLA 2014), a bijection on 64-bit words with full avalanche.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)


def derive(purpose: str, seed: int, epoch: int, count: int) -> Words:
    """Makes `count` independent 64-bit words out of (purpose, seed, epoch).

    Args:
        purpose: what the words are for; different purposes share nothing.
        seed: 0 or more.
        epoch: 0 or more.
        count: 1 to 8 words.

    Returns:
        uint64 array of shape (count,), the same on every machine.
    """
    text = f"{purpose}:{seed}:{epoch}".encode()
    return np.frombuffer(blake2b(text, digest_size=8 * count).digest(), dtype="<u8").astype(np.uint64)


def mix(words: Words) -> Words:
    """Mixes each 64-bit word; a bijection, so distinct words stay distinct."""
    mixed = (words ^ (words >> _SHIFT_1)) * _MULTIPLIER_1
    mixed = (mixed ^ (mixed >> _SHIFT_2)) * _MULTIPLIER_2
    return mixed ^ (mixed >> _SHIFT_3)


def sample_keys(seed: int, epoch: int, indices: npt.NDArray[np.int64]) -> Words:
    """Gives every sample its key: a hash of (seed, epoch, index).

    The key belongs to the sample, so batch size, rank, worker and order of requests cannot change it. Within one epoch the keys of distinct samples differ.

    Args:
        seed: 0 or more.
        epoch: 0 or more.
        indices: int64 array of shape (B,).

    Returns:
        uint64 array of shape (B,).
    """
    first, second = derive("sample", seed, epoch, 2)
    return mix(mix(indices.astype(np.uint64) ^ first) ^ second)
