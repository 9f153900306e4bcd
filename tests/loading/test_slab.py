"""Slots never overlap, and what is freed can be used again."""

import os
from itertools import pairwise
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

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
