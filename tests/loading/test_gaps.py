"""What is taken never overlaps, and what is given back is whole again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.loading.gaps import Gaps, align

SIZE = 1 << 14


@given(st.lists(st.one_of(st.integers(0, SIZE // 3), st.none()), max_size=80), st.randoms(use_true_random=False))
def test_parts_never_overlap_and_nothing_is_lost(requests: list[int | None], chance) -> None:
    """An integer asks for a part of that size, None gives a part, or a piece of one, back at random."""
    gaps, held = Gaps(SIZE), []
    for request in requests:
        if request is None and held:
            offset, size = held.pop(chance.randrange(len(held)))
            kept = chance.randrange(0, size + 1, 64)
            if kept and chance.random() < 0.5:
                held.append((offset, kept))
                gaps.give(offset + kept, size - kept)
            else:
                held += [(offset, kept)] if kept else []
                gaps.give(offset + kept, size - kept)
        elif request is not None:
            before = largest_gap(held)
            offset = gaps.take(align(request))
            assert (offset is None) == (before < align(request)), "there is a part wherever one fits"
            held += [] if offset is None else [(offset, align(request))]
        held.sort()
        assert all(first + size <= second for (first, size), (second, _) in pairwise(held))
        assert all(offset >= 0 and offset + size <= SIZE and offset % 64 == 0 for offset, size in held)
    for offset, size in chance.sample(held, len(held)):
        gaps.give(offset, size)
    assert gaps.take(SIZE) == 0, "all gaps have been joined"


def largest_gap(held: list[tuple[int, int]]) -> int:
    edges = [(0, 0), *sorted(held), (SIZE, 0)]
    return max(second - first - size for (first, size), (second, _) in pairwise(edges))


def test_the_first_gap_that_is_large_enough_is_taken() -> None:
    gaps = Gaps(1024)
    assert [gaps.take(256) for _ in range(4)] == [0, 256, 512, 768]
    assert gaps.take(64) is None
    gaps.give(512, 256)
    gaps.give(0, 128)
    assert gaps.take(192) == 512
    assert gaps.take(128) == 0
    assert gaps.take(64) == 704


def test_giving_nothing_changes_nothing() -> None:
    gaps = Gaps(128)
    gaps.give(64, 0)
    assert gaps.take(128) == 0
    gaps.give(128, 0)
    assert gaps.take(64) is None


@pytest.mark.parametrize(("size", "aligned"), [(0, 64), (1, 64), (64, 64), (65, 128), (12_288, 12_288), (12_289, 12_352)])
def test_sizes_are_rounded_up_to_cache_lines(size: int, aligned: int) -> None:
    assert align(size) == aligned
