"""Nothing here needs a limit of its own: memory and settings are given."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MemoryTooSmall
from service.loading.memory_plan import WORKER_BYTES, MemoryPlan
from service.processor import Memory
from service.settings import Settings

MIB, GIB = 1 << 20, 1 << 30
SERVICE = 800 * MIB


def settings(**values: object) -> Settings:
    return Settings.model_construct(**{"workers": 1, "slab_bytes": 512 * MIB, "arena_bytes": None, "max_loaders": 16, **values})


def plan(total_bytes: int, space: Memory | None = None, **values: object) -> MemoryPlan:
    return MemoryPlan.of(settings(**values), Memory(total_bytes, total_bytes), SERVICE, space)


def taken(planned: MemoryPlan, loaders: int) -> int:
    """All that may be taken while so many loaders are open."""
    shared = planned.service_bytes + planned.reserve_bytes + planned.body_bytes + planned.arena_bytes_beside(loaders)
    return shared + loaders * (planned.slab_bytes + planned.worker_bytes)


@given(
    total=st.integers(1 * GIB, 64 * GIB),
    workers=st.integers(0, 8),
    slab=st.integers(1 * MIB, 8 * GIB),
    images=st.none() | st.integers(0, 64 * GIB),
    most=st.integers(1, 16),
)
def test_the_sum_stays_within_the_limit_however_many_loaders_are_open(total: int, workers: int, slab: int, images: int | None, most: int) -> None:
    try:
        planned = plan(total, workers=workers, slab_bytes=slab, arena_bytes=images, max_loaders=most)
    except MemoryTooSmall:
        assert SERVICE + workers * WORKER_BYTES + total // 10 + 3 * min(slab, 16 * MIB) > total
        return
    assert 1 <= planned.loaders <= most
    assert 0 < planned.slab_bytes <= slab
    assert all(taken(planned, loaders) <= total for loaders in range(1, planned.loaders + 1))


def test_where_there_is_plenty_the_settings_hold() -> None:
    planned = plan(24 * GIB)
    assert (planned.slab_bytes, planned.arena_bytes, planned.loaders) == (512 * MIB, 6 * GIB, 16)
    assert not planned.is_less_than(settings())


def test_under_four_gibibytes_decoded_images_leave_room_for_a_second_loader() -> None:
    planned = plan(4 * GIB)
    assert planned.slab_bytes == 512 * MIB
    assert planned.loaders >= 2
    assert planned.arena_bytes_beside(1) == GIB
    assert planned.arena_bytes_beside(planned.loaders) < GIB


def test_under_one_gibibyte_batches_shrink_and_the_log_says_so() -> None:
    planned = plan(GIB)
    assert planned.slab_bytes < 64 * MIB
    assert planned.is_less_than(settings())
    assert str(planned).startswith("Of 1.00 GiB of memory, 0.78 are for the service itself")


@pytest.mark.parametrize(("loaders", "text"), [(1, "one loader can be open at a time."), (3, "up to 3 loaders can be open.")])
def test_the_sentence_counts_loaders(loaders: int, text: str) -> None:
    assert str(replace(plan(24 * GIB), loaders=loaders)).endswith(text)


def test_images_that_were_asked_for_and_do_not_fit_are_told() -> None:
    assert plan(4 * GIB, arena_bytes=3 * GIB).is_less_than(settings(arena_bytes=3 * GIB))


def test_where_not_one_loader_fits_the_start_is_refused() -> None:
    with pytest.raises(MemoryTooSmall, match=r"There are 0.88 GiB of memory; the service needs .* with 2 workers\. Raise the limit"):
        plan(900 * MIB, workers=2)


# A limit of address space


def space(free_bytes: int) -> Memory:
    return Memory(free_bytes + 3500 * MIB, free_bytes)


@given(free=st.integers(0, 64 * GIB), workers=st.integers(0, 4), slab=st.integers(1 * MIB, 4 * GIB), most=st.integers(1, 16))
def test_what_processes_map_stays_within_their_address_space(free: int, workers: int, slab: int, most: int) -> None:
    try:
        planned = plan(64 * GIB, space(free), workers=workers, slab_bytes=slab, max_loaders=most)
    except MemoryTooSmall:
        assert free < 1600 * MIB
        return
    server = planned.slab_bytes + (0 if workers else planned.arena_bytes)
    assert planned.loaders * (server + 400 * MIB) <= free
    assert planned.slab_bytes + planned.arena_bytes < free


def test_where_the_address_space_is_too_small_the_start_is_refused() -> None:
    with pytest.raises(MemoryTooSmall, match=r"A process may have 4.39 GiB of address space \(ulimit -v\); the service needs 4.93 GiB. Raise that limit."):
        plan(64 * GIB, space(1000 * MIB))


def test_address_space_is_named_where_it_is_limited() -> None:
    assert "6.42 GiB of address space for each process" in str(plan(64 * GIB, space(3 * GIB + 2 * MIB)))


def test_a_little_address_space_still_serves_two_splits() -> None:
    planned = plan(64 * GIB, space(3 * GIB))
    assert planned.loaders >= 2
    assert 16 * MIB <= planned.slab_bytes <= 512 * MIB
