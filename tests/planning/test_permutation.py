"""Whether the orders look drawn by chance. Seeds are fixed: a test passes always or never, and 4.75 is once in a million."""

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.planning.permutation import permute

Indices = npt.NDArray[np.int64]
Measure = Callable[[npt.ArrayLike, npt.ArrayLike, int], float]

SAMPLES = 20_000
LIMIT = 4.75

over_seeds_and_epochs = pytest.mark.parametrize("vary", ["seed", "epoch"])


def orders(positions: Indices, size: int, vary: str, count: int = SAMPLES) -> Indices:
    """The samples at `positions`, a row for each of `count` successive seeds, or epochs of one seed."""
    return np.stack([permute(positions, size, each, 3) if vary == "seed" else permute(positions, size, 3, each) for each in range(count)])


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 40) | st.integers(1, 5000), st.integers(0, 2**70), st.integers(0, 2**40))
def test_it_is_a_bijection(size: int, seed: int, epoch: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, seed, epoch)), np.arange(size))


@pytest.mark.parametrize("size", [1023, 1024, 1025, 2048, 2049, 4096, 4097, 10**5, 1 << 17, 1 << 18])
def test_it_is_a_bijection_at_the_edges_of_its_domains(size: int) -> None:
    assert np.array_equal(np.sort(permute(np.arange(size), size, 1, 2)), np.arange(size))


@pytest.mark.parametrize("size", [10**9, 2**40 + 1, 2**62])
def test_it_stays_inside_the_largest_splits(size: int) -> None:
    rng = np.random.default_rng(5)
    positions = np.unique(np.concatenate([rng.integers(0, size, 5000), [0, size - 1]]))
    indices = permute(positions, size, 1, 2)
    assert 0 <= indices.min() <= indices.max() < size
    assert np.unique(indices).size == positions.size


@pytest.mark.parametrize("size", [1, 2, 244, 1024, 1025, 10**8])
def test_positions_can_be_asked_alone_in_any_order_and_number(size: int) -> None:
    positions = np.random.default_rng(6).integers(0, size, 50)
    together = permute(positions, size, 1, 2)
    assert together.dtype == np.int64
    assert [permute(each, size, 1, 2).item() for each in positions.reshape(-1, 1)] == together.tolist()
    assert permute(positions[::-1], size, 1, 2).tolist() == together[::-1].tolist()
    assert permute(positions[:0], size, 1, 2).tolist() == []


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [2, 3, 5, 7, 10, 100, 244])
def test_every_sample_is_equally_likely_at_every_position(size: int, vary: str, surprise: Measure) -> None:
    count = SAMPLES if size <= 100 else SAMPLES // 2
    drawn = orders(np.arange(size), size, vary, count)
    cells = np.stack([np.bincount(column, minlength=size) for column in drawn.T])
    scale = (size - 1) / size  # rows and columns of the table are fixed, so a cell varies by this much less
    assert surprise(cells * scale, count / size * scale, (size - 1) ** 2) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [1025, 2048, 4096, 10**5, 10**8])
def test_every_region_is_equally_likely_at_every_position(size: int, vary: str, surprise: Measure) -> None:
    buckets, count = 50, 1200
    positions = np.concatenate([np.arange(32), size - 1 - np.arange(32)])
    regions = orders(positions, size, vary, count) * buckets // size
    edges = np.array([-(-bucket * size // buckets) for bucket in range(buckets + 1)])  # the first sample of each region
    cells = np.stack([np.bincount(column, minlength=buckets) for column in regions.T])
    assert surprise(cells, np.diff(edges) / size * count, len(positions) * (buckets - 1)) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [3, 4, 5, 7, 10])
def test_neighbours_are_independent(size: int, vary: str, surprise: Measure) -> None:
    drawn = orders(np.arange(size), size, vary)
    pairs = size * (size - 1)
    for one, other in zip(drawn.T, drawn.T[1:], strict=False):
        cells = np.bincount(one * size + other, minlength=size * size).reshape(size, size)
        assert cells.trace() == 0
        assert surprise(cells[~np.eye(size, dtype=bool)], SAMPLES / pairs, pairs - 1) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [1025, 2048, 4096, 10**5])
def test_the_distance_of_neighbours_is_uniform(size: int, vary: str, surprise: Measure) -> None:
    drawn = orders(np.arange(65), size, vary, 1000)
    for gap in (1, 64):  # 64: the left half of 4096 one further
        distances = (drawn[:, gap:] - drawn[:, :-gap]) % size - 1
        residues = distances[distances < (size - 1) // 32 * 32] % 32
        assert surprise(np.bincount(residues.ravel(), minlength=32), residues.size / 32, 31) < LIMIT
        eighths = distances[distances < (size - 1) // 8 * 8] // ((size - 1) // 8)
        assert surprise(np.bincount(eighths.ravel(), minlength=8), eighths.size / 8, 7) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [3, 4, 5, 6])
def test_all_orders_are_equally_frequent(size: int, vary: str, surprise: Measure) -> None:
    """A Feistel network on 16 values fails this at 5 and 6, with any number of rounds: it makes even permutations only."""
    codes = orders(np.arange(size), size, vary) @ (size ** np.arange(size))
    _, counts = np.unique(codes, return_counts=True)
    assert len(counts) == math.factorial(size)
    assert surprise(counts, SAMPLES / len(counts), len(counts) - 1) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [3, 5, 10, 100])
def test_successive_orders_are_independent(size: int, vary: str, surprise: Measure) -> None:
    drawn = orders(np.array([0, size - 1]), size, vary)
    for position in (0, 1):
        before, after = drawn[::2, position], drawn[1::2, position]
        assert surprise(np.bincount(before * size + after, minlength=size * size), len(before) / size**2, size**2 - 1) < LIMIT


@over_seeds_and_epochs
@pytest.mark.parametrize("size", [16, 256, 1024, 2048, 4096])
def test_about_one_sample_stays_where_it_was(size: int, vary: str) -> None:
    count = 400
    fixed = int((orders(np.arange(size), size, vary, count) == np.arange(size)).sum())
    assert abs(fixed - count) < 5 * math.sqrt(count)


@pytest.mark.parametrize("size", [1000, 10**5, 10**8, 10**12])
def test_no_memory_grows_with_the_split(size: int) -> None:
    positions = np.arange(64) + size // 2
    permute(positions, size, 0, 0)
    tracemalloc.start()
    permute(positions, size, 1, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024
