from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from service.planning.seeds import derive, mix, sample_keys


def key(seed: int, epoch: int, index: int) -> int:
    return int(sample_keys(seed, epoch, np.array([index])).item())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 0, 2), (2, 0, 1)),
        ((1, 2, 0), (2, 1, 0)),
        ((0, 1, 2), (0, 2, 1)),
        ((1, 0, 0), (0, 1, 0)),
        ((0, 1, 0), (0, 0, 1)),
        ((1, 11, 0), (11, 1, 0)),
        ((1, 1, 11), (11, 1, 1)),
        ((2**32, 0, 0), (0, 0, 0)),
        ((2**64, 0, 0), (0, 0, 0)),
        ((0, 2**64, 0), (0, 0, 0)),
        ((0, 0, 2**32), (0, 0, 0)),
    ],
)
def test_keys_are_no_sums_and_keep_every_bit(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert key(*one) != key(*other)


def test_a_million_keys_are_distinct() -> None:
    indices = np.arange(1000)
    keys = np.concatenate([sample_keys(seed, epoch, indices) for seed, epoch in product(range(32), repeat=2)])
    assert np.unique(keys).size == keys.size == 1_024_000


@pytest.mark.parametrize("byte", range(4))
@pytest.mark.parametrize("vary", ["index", "epoch", "seed"])
def test_each_byte_of_the_low_32_bits_is_uniform(vary: str, byte: int, surprise: Callable[..., float]) -> None:
    if vary == "index":
        keys = sample_keys(3, 5, np.arange(1 << 16))
    else:
        keys = np.array([key(each, 5, 9) if vary == "seed" else key(3, each, 9) for each in range(1 << 13)], dtype=np.uint64)
    counts = np.bincount(((keys >> np.uint64(8 * byte)) & np.uint64(255)).astype(np.int64), minlength=256)
    assert surprise(counts, keys.size / 256, 255) < 4.75


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_neighbours_share_nothing(shift: int, surprise: Callable[..., float]) -> None:
    words = sample_keys(3, 5, np.arange(1 << 16)).reshape(-1, 2) >> np.uint64(shift)
    nibbles = (words & np.uint64(15)).astype(np.int64)
    counts = np.bincount(nibbles[:, 0] * 16 + nibbles[:, 1], minlength=256)
    assert surprise(counts, len(nibbles) / 256, 255) < 4.75


@pytest.mark.parametrize("bit", [0, 1, 7, 20, 31])
def test_one_bit_of_the_index_turns_half_of_the_key(bit: int) -> None:
    indices = np.arange(4096)
    turned = sample_keys(3, 5, indices) ^ sample_keys(3, 5, indices ^ (1 << bit))
    shares = [float(((turned >> np.uint64(place)) & np.uint64(1)).mean()) for place in range(64)]
    assert min(shares) > 0.46  # five standard deviations below a half
    assert max(shares) < 0.54


def test_mixing_is_a_bijection_with_a_known_inverse() -> None:
    words = np.concatenate([np.arange(1000, dtype=np.uint64), np.uint64(2**64 - 1) - np.arange(1000, dtype=np.uint64)])
    assert [_unmix(int(word)) for word in mix(words)] == words.tolist()


def _unmix(word: int) -> int:
    full = 2**64 - 1
    for shift, multiplier in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        word ^= (word >> shift) ^ (word >> 2 * shift)
        word = word * pow(multiplier, -1, 2**64) & full
    return word


@pytest.mark.parametrize("count", range(1, 9))
def test_derived_words_depend_on_everything(count: int) -> None:
    made = {tuple(derive(*given, count).tolist()) for given in product(("order", "sample"), (0, 1, 10, 2**80), (0, 1, 10, 2**80))}
    assert len(made) == 32
    assert len({word for words in made for word in words}) == 32 * count
