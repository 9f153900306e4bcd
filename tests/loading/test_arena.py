"""The arena: what lies in it is right, the budget is exact in every order of events, and a photo is decoded once."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.loading.arena import Arena, Budget, Room
from service.loading.gaps import align
from service.loading.loader import Loader
from service.loading.order import Order
from service.planning.plan import Plan
from service.sources.source import File, Split
from tests.loading.conftest import DATASET, LIMITS, SIZE, OpenLoader, digest, make_dataset, order, position_of, take
from tests.loading.readers import CountingReader, GatedReader, LastGaspReader, PatternReader, UnreadableReader
from tests.waiting import wait_until

SMALL = 12
FUSED = "RandomResizedCrop(32) | RandomHorizontalFlip() | ToTensor() | Normalize([0.5], [0.25])"
PLAIN = "RandomCrop(30) | ColorJitter(0.4, 0.4)"
ROOMY = 64 << 20


def make_split(name: str) -> Split:
    return Split.of(name, [(File(f"{name}/{index}.png", 1, 1), 0) for index in range(SMALL)])


def shape_of(split: Split, index: int, resolution: int | None) -> tuple[int, int]:
    chance = np.random.default_rng([sum(split.name.encode()), index, resolution or 0])
    return int(chance.integers(1, 60)), int(chance.integers(1, 60))


def pixels_of(split: Split, index: int, resolution: int | None) -> np.ndarray:
    height, width = shape_of(split, index, resolution)
    return np.full(3 * height * width, 1 + (37 * index + 11 * (resolution or 0) + 101 * sum(split.name.encode())) % 255, dtype=np.uint8)


@dataclass
class Work:
    """A task as a worker has it, without the worker."""

    split: Split
    resolution: int | None
    indices: np.ndarray
    places: np.ndarray
    room: Room

    @classmethod
    def begin(cls, arena: Arena, split: Split, indices: list[int], resolution: int | None = None) -> "Work":
        rows = np.array(indices, dtype=np.int64)
        return cls(split, resolution, rows, *arena.begin(split, resolution, rows))

    def check(self, arena: Arena) -> None:
        """What it was told lies there, lies there."""
        for index, (offset, height, width) in zip(self.indices.tolist(), self.places.tolist(), strict=True):
            if offset >= 0:
                assert (height, width) == shape_of(self.split, index, self.resolution)
                expected = pixels_of(self.split, index, self.resolution)
                assert np.array_equal(arena.memory.array[offset : offset + len(expected)], expected)

    def write(self, arena: Arena) -> tuple[np.ndarray, np.ndarray]:
        """Decodes what is missing into the room; gives what `settle` takes."""
        placed, used = np.full(len(self.indices), -1, dtype=np.int64), 0
        for row, index in enumerate(self.indices.tolist()):
            pixels = pixels_of(self.split, index, self.resolution)
            if self.places[row, 0] < 0 and used + align(len(pixels)) <= self.room.size_bytes:
                placed[row] = self.room.offset + used
                arena.memory.array[placed[row] : placed[row] + len(pixels)] = pixels
                used += align(len(pixels))
        return placed, np.array([shape_of(self.split, index, self.resolution) for index in self.indices.tolist()], dtype=np.int64)

    def finish(self, arena: Arena) -> None:
        arena.settle(self.resolution, self.indices, self.room, *self.write(arena))


def free_bytes(budget: Budget) -> int:
    """Finds out how much there is to take."""
    free = budget._free_bytes
    assert budget.take(free)
    assert not budget.take(1)
    budget.give(free)
    return free


def resident_bytes(arena: Arena) -> int:
    return os.fstat(arena.memory._descriptor).st_blocks * 512


def occupied(arena: Arena, split: Split, works: list[Work]) -> list[tuple[int, int]]:
    """Lists (offset, size) of every room that is lent, and of every sample that can be found."""
    rooms = [(work.room.offset, work.room.size_bytes) for work in works if work.room.size_bytes]
    held = []
    for resolution in (None, 20, 30):
        directory = arena._directories.get(resolution)
        if directory is not None:
            held += [(offset, align(3 * height * width)) for offset, height, width in directory.find(np.arange(len(split))).tolist() if offset >= 0]
    assert len(held) == arena.samples
    assert sum(size for _, size in held) == arena.used_bytes
    return sorted(rooms + held)


STEP = st.tuples(
    st.sampled_from(["begin", "begin", "begin", "begin", "settle", "settle", "settle", "give up", "clear", "another listing"]),
    st.integers(0, 1),
    st.lists(st.integers(0, SMALL - 1), min_size=1, max_size=6),
    st.sampled_from([None, None, None, 20, 30]),
)


@settings(max_examples=150)
@given(st.lists(STEP, max_size=50), st.sampled_from([0, 64, 5_000, 70_001, 150_000, 4 << 20]), st.randoms(use_true_random=False))
def test_the_budget_is_exact_and_no_pixel_changes_in_any_order_of_events(steps, size: int, chance) -> None:
    """Two arenas share a budget; tasks begin, end and are given up in any order, while arenas are cleared and listings change."""
    budget = Budget(size)
    arenas, works, splits = [Arena(budget), Arena(budget)], [[], []], [make_split("a"), make_split("b")]
    for name, which, indices, resolution in steps:
        arena, running = arenas[which], works[which]
        if name == "begin":
            running.append(Work.begin(arena, splits[which], indices, resolution))
            running[-1].write(arena)
        elif name == "clear":
            arena.clear()
        elif name == "another listing":
            splits[which] = make_split(chance.choice("cdefgh"))
        elif running:
            work = running.pop(chance.randrange(len(running)))
            work.check(arena)
            if name == "settle":
                work.finish(arena)
            else:
                arena.give_up(work.room)
        lent = sum(work.room.size_bytes for tasks in works for work in tasks)
        assert free_bytes(budget) == size - lent - sum(each.used_bytes for each in arenas)
        for each, tasks, split in zip(arenas, works, splits, strict=True):
            assert all(first + length <= second for (first, length), (second, _) in pairwise(occupied(each, split, tasks)))
            for work in tasks:
                work.check(each)
    for arena, tasks in zip(arenas, works, strict=True):
        for work in chance.sample(tasks, len(tasks)):
            arena.give_up(work.room)
    assert free_bytes(budget) == size - sum(each.used_bytes for each in arenas)
    for arena in arenas:
        arena.close()
        assert (arena.samples, arena.used_bytes, resident_bytes(arena)) == (0, 0, 0)
    assert free_bytes(budget) == size


def test_what_one_task_leaves_the_next_one_finds() -> None:
    arena, split = Arena(Budget(8 << 20)), make_split("a")
    first = Work.begin(arena, split, [3, 1, 4])
    assert (first.places == [[-1, 0, 0]] * 3).all()
    first.finish(arena)
    assert arena.samples == 3
    second = Work.begin(arena, split, [4, 5, 3])
    assert (second.places[:, 0] >= 0).tolist() == [True, False, True]
    second.check(arena)
    second.finish(arena)
    Work.begin(arena, split, [5]).finish(arena)  # Its size is known by now.
    everything = Work.begin(arena, split, [1, 3, 4, 5])
    assert (everything.places[:, 0] >= 0).all()
    assert everything.room.size_bytes == 0


def test_two_tasks_that_decode_one_sample_leave_it_once() -> None:
    budget = Budget(8 << 20)
    arena, split = Arena(budget), make_split("a")
    tasks = [Work.begin(arena, split, [2, 7]), Work.begin(arena, split, [7, 2])]
    for task in tasks:
        task.finish(arena)
    assert arena.samples == 2
    assert arena.used_bytes == sum(align(len(pixels_of(split, index, None))) for index in (2, 7))
    assert free_bytes(budget) == budget.size_bytes - arena.used_bytes
    Work.begin(arena, split, [2, 7]).check(arena)


def test_a_sample_that_stands_twice_in_a_task_is_kept_once() -> None:
    arena, split = Arena(Budget(8 << 20)), make_split("a")
    Work.begin(arena, split, [5, 6, 5]).finish(arena)
    assert arena.samples == 2


def test_what_is_known_to_be_large_gets_the_room_that_it_needs() -> None:
    """At first sizes are guessed; an image that did not fit then does so the next time."""
    arena, split = Arena(Budget(64 << 20)), make_split("a")
    index, shapes = np.array([0]), np.array([[2000, 2500]])
    _, room = arena.begin(split, None, index)
    assert 0 < room.size_bytes < 15_000_000
    arena.settle(None, index, room, np.array([-1]), shapes)
    assert arena.samples == 0
    places, room = arena.begin(split, None, index)
    assert places.tolist() == [[-1, 2000, 2500]]
    assert align(15_000_000) <= room.size_bytes < 16_000_000
    arena.settle(None, index, room, np.array([room.offset]), shapes)
    assert (arena.samples, arena.used_bytes) == (1, 15_000_000)


def test_an_unreadable_image_takes_no_room() -> None:
    arena, split = Arena(Budget(8 << 20)), make_split("a")
    _, room = arena.begin(split, None, np.array([0, 1]))
    arena.settle(None, np.array([0, 1]), room, np.array([-1, room.offset]), np.array([[0, 0], [4, 5]]))
    assert (arena.samples, arena.used_bytes) == (1, 64)


def test_another_listing_empties_the_arena_once_running_tasks_have_ended() -> None:
    budget = Budget(8 << 20)
    arena, old, new = Arena(budget), make_split("a"), make_split("b")
    Work.begin(arena, old, [0, 1, 2]).finish(arena)
    reading = Work.begin(arena, old, [0, 1, 3])
    early = Work.begin(arena, new, [0])
    assert early.places[0, 0] == -1, "the same index is another sample now"
    assert early.room.size_bytes == 0, "nothing new comes in beside what is being read"
    reading.check(arena)
    assert resident_bytes(arena) > 0
    early.finish(arena)
    reading.check(arena)
    reading.finish(arena)
    assert (arena.samples, arena.used_bytes, resident_bytes(arena), free_bytes(budget)) == (0, 0, 0, budget.size_bytes)
    Work.begin(arena, new, [0]).finish(arena)
    Work.begin(arena, new, [0]).check(arena)
    assert arena.samples == 1


def test_a_loader_that_is_never_idle_still_gets_its_arena_back() -> None:
    """After a new listing, or a move, there is always some task under way; only those from before are waited for."""
    arena, split = Arena(Budget(8 << 20)), make_split("b")
    old = Work.begin(arena, make_split("a"), [0])
    running = [Work.begin(arena, split, [1])]
    old.finish(arena)
    for index in [*range(SMALL)] * 3:
        running.append(Work.begin(arena, split, [index]))
        running.pop(0).finish(arena)
    assert arena.samples == SMALL
    running.pop().finish(arena)
    arena.clear()
    assert (arena.samples, resident_bytes(arena)) == (0, 0)


def test_a_task_that_the_arena_did_not_wait_for_teaches_nothing() -> None:
    """Its listing may be gone, and a shorter one in its place."""
    arena, short = Arena(Budget(8 << 20)), Split.of("short", [(File("x.png", 1, 1), 0)])
    old = Work.begin(arena, make_split("a"), [0])
    late = Work.begin(arena, make_split("b"), [SMALL - 1])
    old.finish(arena)
    Work.begin(arena, short, [0]).finish(arena)
    late.finish(arena)
    assert arena.samples == 1
    again = Work.begin(arena, short, [0])
    again.check(arena)
    assert again.places[0, 0] >= 0


def test_each_resolution_has_a_directory_of_its_own_up_to_a_number() -> None:
    arena, split = Arena(Budget(8 << 20)), make_split("a")
    for resolution in (None, 20, 30, 40):
        Work.begin(arena, split, [0, 1], resolution).finish(arena)
    assert arena.samples == 8
    fifth = Work.begin(arena, split, [0, 1], 50)
    assert (fifth.places[:, 0].tolist(), fifth.room.size_bytes) == ([-1, -1], 0)
    fifth.finish(arena)
    assert arena.samples == 8
    for resolution in (None, 20, 30, 40):
        work = Work.begin(arena, split, [1, 0], resolution)
        assert (work.places[:, 0] >= 0).all()
        work.check(arena)


def test_what_does_not_fit_stays_outside_and_disturbs_nothing() -> None:
    budget = Budget(20_000)
    arena, split = Arena(budget), make_split("a")
    for _ in range(3):
        for index in range(SMALL):
            Work.begin(arena, split, [index]).finish(arena)
    assert 0 < arena.samples < SMALL
    assert free_bytes(budget) == 20_000 - arena.used_bytes
    Work.begin(arena, split, list(range(SMALL))).check(arena)


def test_memory_of_work_that_came_to_nothing_is_given_back() -> None:
    """What a task has written whose worker died, or that another was faster with, counts to nobody: it may not stay."""
    arena, split = Arena(Budget(32 << 20)), make_split("a")
    work = Work.begin(arena, split, [0, 1, 2, 3])
    arena.memory.array[work.room.offset : work.room.offset + work.room.size_bytes] = 1
    assert resident_bytes(arena) >= work.room.size_bytes > 0
    arena.give_up(work.room)
    assert resident_bytes(arena) == 0
    shapes, twice = np.array([[1000, 1000]]), [arena.begin(split, None, np.array([0]))[1] for _ in range(2)]
    for room in twice:
        arena.memory.array[room.offset : room.offset + 3_000_000] = 1
        arena.settle(None, np.array([0]), room, np.array([room.offset]), shapes)
    assert arena.samples == 1
    assert resident_bytes(arena) <= arena.used_bytes + 2 * 4096


def test_a_budget_gives_no_more_than_it_has() -> None:
    budget = Budget(100)
    assert [budget.take(60), budget.take(60), budget.take(40), budget.take(1), budget.take(0)] == [True, False, True, False, True]
    budget.give(60)
    assert budget.take(60)


def every_order(recipe: str, epoch: int = 0, **fields: object) -> list[Order]:
    """All steps of an epoch, last one first: nobody's walk, so that nothing is read ahead."""
    return [order(step, epoch=epoch, recipe=recipe, **fields) for step in reversed(range(SIZE // 8 + 1))]


def arena_of(loader: Loader) -> tuple[int, int]:
    report = loader.report()["arena"]
    return report["samples"], report["used_bytes"]


def decoded_bytes(resolution: int | None = None) -> int:
    split = DATASET.splits["train"]
    return sum(align(PatternReader().pixels(split.file(index), resolution).size) for index in range(SIZE))


@pytest.fixture(scope="module")
def quiet() -> dict[str, list[object]]:
    """The bytes of two epochs, rendered where no arena is."""
    digests: dict[str, list[object]] = {}
    for recipe in (FUSED, PLAIN):
        loader = Loader("quiet", PatternReader(), replace(LIMITS, workers=0, arena_bytes=0), Budget(0), "cpu", None)
        digests[recipe] = [take(loader, each) for epoch in (0, 1) for each in every_order(recipe, epoch)]
        loader.close()
    return digests


@pytest.mark.parametrize("arena_bytes", [0, 200_000, ROOMY])
@pytest.mark.parametrize("workers", [0, 2])
def test_warm_and_cold_are_equal_whatever_fits(open_loader: OpenLoader, quiet, workers: int, arena_bytes: int) -> None:
    loader = open_loader(workers=workers, arena_bytes=arena_bytes)
    for recipe in (FUSED, PLAIN):
        assert [take(loader, each) for epoch in (0, 1) for each in every_order(recipe, epoch)] == quiet[recipe]
    samples, used_bytes = arena_of(loader)
    assert used_bytes <= arena_bytes
    if arena_bytes == ROOMY:
        assert (samples, used_bytes) == (SIZE, decoded_bytes())
    else:
        assert (samples > 0) == (arena_bytes > 0)
        assert samples < SIZE
    assert free_bytes(loader._arena._budget) == arena_bytes - used_bytes


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_sample_is_decoded_once_if_all_fit(open_loader: OpenLoader, tmp_path: Path, workers: int) -> None:
    reader = CountingReader(tmp_path / "reads")
    loader = open_loader(reader, workers=workers, arena_bytes=ROOMY)
    for recipe in (FUSED, PLAIN):
        for epoch in range(3):
            for each in every_order(recipe, epoch):
                take(loader, each)
    assert sorted(reader.reads()) == sorted(DATASET.splits["train"].file(index).path for index in range(SIZE))
    assert arena_of(loader) == (SIZE, decoded_bytes())


def test_each_resolution_is_decoded_once(open_loader: OpenLoader, tmp_path: Path) -> None:
    reader = CountingReader(tmp_path / "reads")
    loader = open_loader(reader, arena_bytes=ROOMY)
    plain = open_loader(workers=0, arena_bytes=0)
    for _ in range(2):
        for resolution in (None, 45, 50):
            for each in every_order(FUSED, 0, max_resolution=resolution):
                assert take(loader, each) == take(plain, each)
    assert len(reader.reads()) == 3 * SIZE
    assert arena_of(loader) == (3 * SIZE, sum(decoded_bytes(resolution) for resolution in (None, 45, 50)))


@pytest.mark.parametrize("arena_bytes", [0, ROOMY])
def test_several_views_of_one_sample_decode_it_once(open_loader: OpenLoader, tmp_path: Path, arena_bytes: int) -> None:
    reader = CountingReader(tmp_path / "reads")
    loader = open_loader(reader, arena_bytes=arena_bytes)
    keys = np.arange(9, dtype=np.uint64)
    views = replace(order(0, recipe=FUSED), key="views of 5", plan=Plan(np.full(9, 5, dtype=np.int64), keys))

    def check(delivery) -> None:
        pixels = PatternReader().pixels(DATASET.splits["train"].file(5))
        for key, row, image in zip(keys.tolist(), delivery.batch.rows, delivery.batch.images, strict=True):
            expected, told = views.recipe.apply(torch.from_numpy(pixels).permute(2, 0, 1), key)
            assert image.equal(expected)
            assert (row.applied, row.index) == (told, 5)

    take(loader, views, check)
    assert len(reader.reads()) == 1
    assert arena_of(loader)[0] == (arena_bytes > 0)


def test_what_is_told_is_the_same_from_the_arena(open_loader: OpenLoader) -> None:
    """Rows that went the fast way and rows that went the plain way, some of them unreadable, cold and warm."""

    def tell(delivery) -> list[object]:
        return [(row.index, row.width, row.height, row.applied, row.problem) for row in delivery.batch.rows]

    bad = DATASET.splits["train"].file(5).path
    for recipe in (FUSED, PLAIN, "Resize(60) | CenterCrop([60, 75]) | RandomHorizontalFlip()"):
        loader, cold = open_loader(UnreadableReader(bad), arena_bytes=ROOMY), open_loader(UnreadableReader(bad), workers=0, arena_bytes=0)
        for other in ("float32", "uint8"):
            wanted = order(position_of(5), recipe=recipe, on_error="mask", dtype=other)
            expected = take(cold, wanted, lambda delivery: (digest(delivery), tell(delivery)))
            for epoch in (None, 3):
                if epoch is not None:
                    take(loader, order(position_of(5), recipe=recipe, on_error="mask", epoch=epoch))
                assert take(loader, wanted, lambda delivery: (digest(delivery), tell(delivery))) == expected


def test_a_worker_killed_in_the_middle_of_its_writing_leaves_nothing_wrong(open_loader: OpenLoader, quiet, tmp_path: Path) -> None:
    """It has put pixels into the arena that nobody has been told of."""
    loader = open_loader(LastGaspReader(tmp_path / "gasp", after=4), workers=2, arena_bytes=ROOMY)
    for recipe in (FUSED, PLAIN):
        assert [take(loader, each) for epoch in (0, 1) for each in every_order(recipe, epoch)] == quiet[recipe]
    assert loader.report()["restarts"] >= 1
    assert arena_of(loader) == (SIZE, decoded_bytes())
    assert free_bytes(loader._arena._budget) == ROOMY - decoded_bytes()
    assert resident_bytes(loader._arena) <= ROOMY - free_bytes(loader._arena._budget) + 64 * 4096


def test_an_error_in_a_batch_gives_its_room_back(open_loader: OpenLoader) -> None:
    bad = DATASET.splits["train"].file(5).path
    loader = open_loader(UnreadableReader(bad), arena_bytes=ROOMY)
    for _ in range(3):
        ticket = loader.submit(order(position_of(5), recipe=FUSED))
        assert ticket.future.exception(60) is not None
        loader.release(ticket)
    assert free_bytes(loader._arena._budget) == ROOMY
    assert resident_bytes(loader._arena) == 0


def test_another_listing_is_read_anew(open_loader: OpenLoader, tmp_path: Path) -> None:
    reader = CountingReader(tmp_path / "reads")
    loader, dataset = open_loader(reader, arena_bytes=ROOMY), make_dataset(PatternReader())
    before = take(loader, order(0, recipe=FUSED))
    renewed = replace(order(0, recipe=FUSED), key="after the refresh", dataset=dataset, split=dataset.splits["train"])
    assert take(loader, renewed) == before
    assert len(reader.reads()) == 16
    assert arena_of(loader)[0] == 8


def test_a_move_gives_the_memory_back(open_loader: OpenLoader, executor) -> None:
    loader = open_loader(arena_bytes=ROOMY)
    expected = [take(loader, each) for each in every_order(FUSED)]
    assert arena_of(loader)[0] == SIZE
    loader.move("cuda:0", executor)
    assert arena_of(loader) == (0, 0)
    assert (free_bytes(loader._arena._budget), resident_bytes(loader._arena)) == (ROOMY, 0)
    assert [take(loader, each) for each in every_order(FUSED)] == expected
    assert [take(loader, each) for each in every_order(FUSED)] == expected
    assert arena_of(loader) == (SIZE, decoded_bytes())


def test_a_closed_loader_gives_its_part_of_the_budget_back() -> None:
    budget = Budget(400_000)
    loaders = [Loader(f"shared/{number}", PatternReader(), replace(LIMITS, workers=number), budget, "cpu", None) for number in (0, 1)]
    for loader in loaders:
        for each in every_order(FUSED):
            take(loader, each)
    used = [arena_of(loader)[1] for loader in loaders]
    assert 0 < sum(used) <= 400_000
    assert free_bytes(budget) == 400_000 - sum(used)
    loaders[0].close()
    assert arena_of(loaders[0]) == (0, 0)
    assert resident_bytes(loaders[0]._arena) == 0
    assert free_bytes(budget) == 400_000 - used[1]
    for each in every_order(FUSED, 1):
        take(loaders[1], each)
    assert arena_of(loaders[1])[1] > used[1], "what the one has given back the other may use"
    loaders[1].close()
    assert free_bytes(budget) == 400_000


def test_closing_in_the_middle_of_work_gives_all_back(open_loader: OpenLoader, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    loader = open_loader(GatedReader(gate), workers=2, arena_bytes=ROOMY)
    tickets = [loader.submit(each) for each in every_order(FUSED)]
    wait_until(gate.with_name("started").exists)
    assert free_bytes(loader._arena._budget) < ROOMY
    loader.close()
    assert all(ticket.future.done() for ticket in tickets)
    assert free_bytes(loader._arena._budget) == ROOMY
    assert resident_bytes(loader._arena) == 0


@pytest.mark.parametrize("make", [lambda arena: arena.clear(), lambda arena: arena.close()])
def test_an_arena_that_was_never_used_can_be_emptied(make: Callable[[Arena], None]) -> None:
    budget = Budget(1 << 20)
    arena = Arena(budget)
    make(arena)
    make(arena)
    assert free_bytes(budget) == 1 << 20
