"""Slots never overlap, and what is freed can be used again."""

import mmap
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.loading.foreland import Foreland
from service.loading.slab import SharedMemory, Slab

SIZE = 1 << 16


@given(st.lists(st.one_of(st.integers(0, SIZE // 3), st.none()), max_size=80), st.randoms(use_true_random=False))
def test_slots_never_overlap(requests: list[int | None], chance) -> None:
    """An integer asks for a slot of that size, None frees one at random."""
    slab, held = Slab(SIZE), {}
    for request in requests:
        if request is None and held:
            slab.free(held.pop(chance.choice(sorted(held)))[0])
        elif request is not None:
            offset = slab.allocate(request)
            if offset is not None:
                held[len(held), offset] = (offset, request)
        ranges = sorted(held.values())
        assert all(first + size <= second for (first, size), (second, _) in pairwise(ranges))
        assert all(offset + size <= SIZE and offset % 64 == 0 for offset, size in ranges)
        assert slab.slots == len(held)
    for offset, _ in held.values():
        slab.free(offset)
    assert slab.used_bytes == 0
    assert slab.allocate(SIZE) == 0, "all gaps have been joined"


def test_a_full_slab_says_so() -> None:
    slab = Slab(SIZE)
    assert slab.allocate(SIZE + 1) is None
    first = slab.allocate(SIZE // 2)
    assert slab.allocate(SIZE // 2) is not None
    assert slab.allocate(1) is None
    slab.free(first)
    assert slab.allocate(SIZE // 2) == first


def test_views_share_the_memory() -> None:
    memory = SharedMemory(4096)
    memory.view(64, (2, 3), torch.float32).fill_(1.5)
    assert memory.view(64, (6,), torch.float32).tolist() == [1.5] * 6
    assert memory.bytes[:64].count_nonzero() == 0


def test_memory_has_no_name_and_ends_with_its_last_user() -> None:
    memory = SharedMemory(4096)
    inode = os.fstat(memory._descriptor).st_ino
    assert inode in _open_memory()
    assert not [path for path in Path("/dev/shm").iterdir() if "batchlens" in path.name]
    view = memory.view(0, (16,), torch.uint8)
    del memory
    assert view.fill_(7).sum() == 16 * 7, "a view outlives the block"
    del view
    assert inode not in _open_memory()


def _open_memory() -> set[int]:
    return {path.stat().st_ino for path in Path("/proc/self/fd").iterdir() if path.is_symlink() and "memfd:batchlens" in str(path.readlink())}


def _pages_taken(memory: SharedMemory) -> int:
    return os.fstat(memory._descriptor).st_blocks * 512 // mmap.PAGESIZE


@given(st.integers(0, SIZE), st.integers(0, SIZE), st.integers(0, 255))
def test_writing_copies_just_those_bytes(start: int, end: int, value: int) -> None:
    start, end = sorted((start, end))
    memory = SharedMemory(SIZE)
    memory.bytes.fill_(7)
    memory.write(start, np.full(end - start, value, dtype=np.uint8))
    expected = np.full(SIZE, 7, dtype=np.uint8)
    expected[start:end] = value
    assert np.array_equal(memory.array, expected)


def test_what_is_touched_is_there_and_unchanged() -> None:
    memory = SharedMemory(SIZE)
    memory.array[5] = 3
    memory.touch(0, 3 * mmap.PAGESIZE)
    assert _pages_taken(memory) == 3
    memory.touch(SIZE - mmap.PAGESIZE, 1 << 30)  # As far as there is memory.
    assert _pages_taken(memory) == 4
    assert memory.array[5] == 3
    assert memory.bytes.count_nonzero() == 1


def test_touching_does_no_harm_where_the_machine_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.loading.slab._MADV_POPULATE_WRITE", 9999)
    memory = SharedMemory(SIZE)
    memory.touch(0, SIZE)
    assert _pages_taken(memory) == 0


def test_the_foreland_stays_a_fixed_way_ahead_of_what_is_used() -> None:
    memory = SharedMemory(96 << 20)
    foreland = Foreland(memory)

    def grow() -> int:
        while foreland.grow():
            pass
        return _pages_taken(memory) * mmap.PAGESIZE >> 20

    assert grow() == 32
    assert not foreland.grow()
    foreland.reach(10 << 20)
    foreland.reach(5 << 20)
    assert grow() == 42
    foreland.reach(90 << 20)
    assert grow() == 96
