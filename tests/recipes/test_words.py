"""Words and numbers are those that torch itself draws from a generator seeded with the same key."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.planning.seeds import sample_keys
from service.recipes.words import MOST_RANGE, draw_words, is_exact, to_integers, to_uniform, to_unit

KEYS = [0, 1, 5489, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1, 2**63, 2**64 - 1, *sample_keys(7, 3, np.arange(200)).tolist()]
BOUNDS = [(0.0, 1.0), (0.08, 1.0), (0.5, 1.0), (0.25, 0.75), (-0.2876820722, 0.2876820722), (-1.0, 1.0), (0.001, 2.0), (0.9, 1.1), (-0.7, 0.1), (1.0, 1.5)]


def seeded(key: int) -> torch.Generator:
    return torch.Generator().manual_seed(key)


def draw(keys: list[int], count: int) -> np.ndarray:
    return draw_words(np.array(keys, dtype=np.uint64), count)


def test_units_are_those_of_rand() -> None:
    drawn = to_unit(draw(KEYS, 22))
    for key, row in zip(KEYS, drawn, strict=True):
        generator = seeded(key)
        assert row.tolist() == [torch.rand(1, generator=generator).item() for _ in range(22)]


@given(st.integers(0, 2**64 - 1), st.integers(0, 9))
def test_every_key_gives_its_words(key: int, count: int) -> None:
    generator = seeded(key)
    words = draw([3, key], count)
    assert words.shape == (2, count)
    assert words.dtype == np.uint32
    assert to_unit(words[1]).tolist() == [torch.rand(1, generator=generator).item() for _ in range(count)]


@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_uniform_numbers_are_those_of_uniform(low: float, high: float) -> None:
    assert is_exact(low, high)
    assert_uniform(KEYS, low, high)


@given(st.integers(0, 2**64 - 1), st.floats(-8, 8, width=32), st.floats(2**-10, 8, width=32))
def test_all_bounds_that_count_as_exact_are(key: int, low: float, span: float) -> None:
    if is_exact(low, low + span):
        assert_uniform([key], low, low + span)


def assert_uniform(keys: list[int], low: float, high: float) -> None:
    for key, row in zip(keys, to_uniform(draw(keys, 12), low, high), strict=True):
        generator = seeded(key)
        assert row.tolist() == [torch.empty(1).uniform_(low, high, generator=generator).item() for _ in range(12)]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 224, 1000, 65_537, 40_000_001, MOST_RANGE - 1])
def test_integers_are_those_of_randint(limit: int) -> None:
    drawn = to_integers(draw(KEYS, 6), np.full(6, limit))
    for key, row in zip(KEYS, drawn, strict=True):
        generator = seeded(key)
        assert row.tolist() == [torch.randint(0, limit, (1,), generator=generator).item() for _ in range(6)]


def test_kinds_of_draws_may_follow_each_other() -> None:
    """Each of them takes one word, so that positions can be counted beforehand."""
    words = draw(KEYS, 4)
    for key, row in zip(KEYS, words, strict=True):
        generator = seeded(key)
        assert to_uniform(row[:1], 0.08, 1.0).item() == torch.empty(1).uniform_(0.08, 1.0, generator=generator).item()
        assert to_integers(row[1:2], np.array([97])).item() == torch.randint(0, 97, (1,), generator=generator).item()
        assert to_unit(row[2:3]).item() == torch.rand(1, generator=generator).item()
        assert to_integers(row[3:], np.array([12])).item() == torch.randint(0, 12, (1,), generator=generator).item()


def test_no_global_generator_is_touched() -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002  the global one is meant
    before, plain = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    draw(KEYS, 30)
    assert torch.get_rng_state().equal(before)
    assert np.random.get_state()[1].tolist() == plain  # noqa: NPY002


def test_nothing_wanted_is_nothing_drawn() -> None:
    assert draw([], 5).shape == (0, 5)
    assert draw([1, 2, 3], 0).shape == (3, 0)


@given(st.floats(-64, 64, width=32), st.floats(2**-20, 64, width=32), st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=20))
def test_exact_means_that_float64_rounds_nothing(low: float, span: float, words: list[int]) -> None:
    if is_exact(low, low + span):
        assert not rounded(low, low + span, words)


def test_exact_ends_where_float64_would_round() -> None:
    assert is_exact(0.95, 1.05)
    assert not is_exact(1e-12, 1.0)
    assert rounded(1e-12, 1.0, [2**24 - 1, 12_345_677, 3])
    assert not is_exact(1e10, 1e10 + 4096)
    assert [is_exact(start, start + 1) for start in (0.0, 1.0, 31.0, 32.0, 1000.0)] == [True, True, True, False, False]
    assert is_exact(-1.0, 1.0) == is_exact(-1.0, 0.0) is True


def rounded(low: float, high: float, words: list[int]) -> bool:
    """Says whether float64 rounds the multiply-add of any word."""
    start = np.float32(low)
    span = np.float32(high) - start
    return any(
        Fraction(word * 2.0**-24 * float(span) + float(start)) != Fraction(word, 2**24) * Fraction(float(span)) + Fraction(float(start)) for word in words
    )
