from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.errors import UnknownStep
from service.planning.address import Address
from service.planning.permutation import permute
from service.planning.plan import count_steps, make_plan, plan_sample
from service.planning.seeds import sample_keys
from service.plural import count_of

Indices = npt.NDArray[np.int64]

steady = settings(max_examples=300, deadline=None, derandomize=True, database=None)


@dataclass(frozen=True)
class Epoch:
    """One way to walk through an epoch."""

    size: int
    batch_size: int
    world_size: int = 1
    drop_last: bool = False
    shuffle: bool = True
    seed: int = 0
    epoch: int = 0

    @property
    def block(self) -> int:
        return self.batch_size * self.world_size

    @property
    def steps(self) -> int:
        return count_steps(self.size, self.batch_size, self.world_size, self.drop_last)

    def address(self, step: int, rank: int) -> Address:
        return Address(
            dataset="d",
            version="v",
            split="s",
            recipe="r",
            seed=self.seed,
            epoch=self.epoch,
            step=step,
            batch_size=self.batch_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            rank=rank,
            world_size=self.world_size,
            dtype="uint8",
        )

    def ranks(self, step: int) -> list[Indices]:
        return [make_plan(self.address(step, rank), self.size).indices for rank in range(self.world_size)]

    def blocks(self) -> Iterator[Indices]:
        for step in range(self.steps):
            yield np.concatenate(self.ranks(step))

    def order(self) -> Indices:
        """The whole epoch in the order that the contract promises."""
        positions = np.arange(self.size)
        return permute(positions, self.size, self.seed, self.epoch) if self.shuffle else positions


@st.composite
def epochs(draw: st.DrawFn) -> Epoch:
    size = draw(st.integers(1, 40) | st.integers(1, 3000))
    world_size = draw(st.integers(1, 9))
    least = max(1, size // (40 * world_size))  # keeps the number of steps, and with it the time, small
    return Epoch(
        size=size,
        batch_size=draw(st.integers(least, least + 100)),
        world_size=world_size,
        drop_last=draw(st.booleans()),
        shuffle=draw(st.booleans()),
        seed=draw(st.integers(0, 2**70)),
        epoch=draw(st.integers(0, 2**40)),
    )


@steady
@given(epochs())
@example(Epoch(size=1, batch_size=1))
@example(Epoch(size=50, batch_size=1))
@example(Epoch(size=244, batch_size=4))
@example(Epoch(size=1024, batch_size=100, world_size=3))
@example(Epoch(size=1025, batch_size=100, world_size=3))
@example(Epoch(size=3, batch_size=1000, world_size=9))
def test_blocks_walk_through_the_order_of_the_epoch(epoch: Epoch) -> None:
    walked = np.concatenate([np.empty(0, np.int64), *epoch.blocks()])
    kept = epoch.size // epoch.block * epoch.block if epoch.drop_last else epoch.size
    assert walked.tolist() == epoch.order()[:kept].tolist()
    assert sorted(epoch.order().tolist()) == list(range(epoch.size))


@steady
@given(epochs())
def test_full_steps_give_each_rank_its_rows(epoch: Epoch) -> None:
    order = epoch.order()
    for step in range(epoch.size // epoch.block):
        for rank, indices in enumerate(epoch.ranks(step)):
            start = step * epoch.block + rank * epoch.batch_size
            assert indices.tolist() == order[start : start + epoch.batch_size].tolist()


@steady
@given(epochs())
@example(Epoch(size=10, batch_size=4, world_size=2))
@example(Epoch(size=9, batch_size=4, world_size=2))
def test_the_last_block_is_shared_out_evenly(epoch: Epoch) -> None:
    if not epoch.steps:
        assert epoch.drop_last or not epoch.size
        return
    sizes = [len(indices) for indices in epoch.ranks(epoch.steps - 1)]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= epoch.batch_size


@steady
@given(epochs(), st.data())
def test_other_numbers_of_ranks_see_the_same_global_batches(epoch: Epoch, data: st.DataObject) -> None:
    world_size = data.draw(st.sampled_from([each for each in range(1, 37) if epoch.block % each == 0]))
    other = replace(epoch, batch_size=epoch.block // world_size, world_size=world_size)
    assert epoch.steps == other.steps
    assert [block.tolist() for block in epoch.blocks()] == [block.tolist() for block in other.blocks()]


@steady
@given(epochs())
def test_every_row_carries_the_key_of_its_sample(epoch: Epoch) -> None:
    for step in range(min(epoch.steps, 3)):
        for rank in range(epoch.world_size):
            plan = make_plan(epoch.address(step, rank), epoch.size)
            assert plan.indices.shape == plan.keys.shape
            assert (plan.indices.dtype, plan.keys.dtype) == (np.int64, np.uint64)
            assert plan.keys.tolist() == sample_keys(epoch.seed, epoch.epoch, plan.indices).tolist()


def keys_by_sample(epoch: Epoch) -> dict[int, int]:
    plans = [make_plan(epoch.address(step, rank), epoch.size) for step in range(epoch.steps) for rank in range(epoch.world_size)]
    return {index: key for plan in plans for index, key in zip(plan.indices.tolist(), plan.keys.tolist(), strict=True)}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("batch_size", "world_size"), [(1, 1), (4, 1), (16, 5), (244, 1), (1000, 2)])
def test_keys_do_not_depend_on_batch_size_rank_or_order(batch_size: int, world_size: int, shuffle: bool) -> None:
    keys = keys_by_sample(Epoch(size=244, batch_size=batch_size, world_size=world_size, shuffle=shuffle, seed=5, epoch=2))
    alone = {index: plan_sample(index, seed=5, epoch=2).keys.item() for index in range(244)}
    assert keys == alone
    assert len(set(keys.values())) == 244


def test_a_sample_planned_alone_is_a_batch_of_one() -> None:
    plan = plan_sample(17, seed=1, epoch=4)
    assert plan.indices.tolist() == [17]
    assert plan.keys.tolist() == sample_keys(1, 4, np.array([17])).tolist()


@pytest.mark.parametrize(
    ("size", "batch_size", "world_size", "kept", "dropped"),
    [
        (0, 4, 1, 0, 0),
        (1, 4, 1, 1, 0),
        (4, 4, 1, 1, 1),
        (5, 4, 1, 2, 1),
        (244, 4, 1, 61, 61),
        (10, 4, 2, 2, 1),
        (7, 4, 2, 1, 0),
        (10**8, 64, 8, 195313, 195312),
    ],
)
def test_steps_are_counted(size: int, batch_size: int, world_size: int, kept: int, dropped: int) -> None:
    assert count_steps(size, batch_size, world_size) == kept
    assert count_steps(size, batch_size, world_size, drop_last=True) == dropped


@steady
@given(epochs(), st.integers(0, 2**40), st.data())
def test_a_step_past_the_end_is_unknown(epoch: Epoch, beyond: int, data: st.DataObject) -> None:
    address = epoch.address(epoch.steps + beyond, data.draw(st.integers(0, epoch.world_size - 1)))
    with pytest.raises(
        UnknownStep, match=rf"Step {address.step} lies past the end .* {count_of(epoch.steps, 'step')}: {count_of(epoch.size, 'sample')}"
    ) as caught:
        make_plan(address, epoch.size)
    assert caught.value.facts == {"steps": epoch.steps}


def test_an_empty_split_has_no_step() -> None:
    with pytest.raises(UnknownStep):
        make_plan(Epoch(size=0, batch_size=4).address(0, 0), 0)


def test_the_error_says_that_the_incomplete_block_was_dropped() -> None:
    with pytest.raises(UnknownStep, match="without the incomplete last one"):
        make_plan(Epoch(size=7, batch_size=4, drop_last=True).address(1, 0), 7)


def test_epochs_and_seeds_reshuffle() -> None:
    orders = {tuple(Epoch(size=244, batch_size=4, seed=seed, epoch=epoch).order()) for seed in range(20) for epoch in range(20)}
    assert len(orders) == 400


def test_a_rank_may_get_nothing_of_the_last_block() -> None:
    sizes = [len(indices) for indices in Epoch(size=3, batch_size=4, world_size=5).ranks(0)]
    assert sorted(sizes) == [0, 0, 1, 1, 1]
