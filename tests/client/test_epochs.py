"""Order, epochs, ranks, and going on where another run stopped."""

import json
from itertools import chain, islice
from typing import Any

import pytest
import torch

from service.client import DatasetChanged, PositionMismatch, RemoteLoader
from service.errors import InvalidParameter
from tests.client.conftest import Network, OpenLoader, OpenService

Batch = tuple[torch.Tensor, ...]


def read(loader: RemoteLoader) -> list[list[int]]:
    """The indices of each batch of a pass."""
    return [indices.tolist() for *_, indices in loader]


def flatten(lists: list[list[Any]]) -> list[Any]:
    return list(chain.from_iterable(lists))


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    assert all(one.equal(other) for batch, wanted in zip(found, expected, strict=True) for one, other in zip(batch, wanted, strict=True))


@pytest.fixture
def loader(open_loader: OpenLoader) -> RemoteLoader:
    return open_loader(with_indices=True)


def test_what_is_known_before_the_first_batch(loader: RemoteLoader, network: Network, open_loader: OpenLoader) -> None:
    assert (len(loader), loader.dataset_size, loader.classes) == (5, 9, ("cat", "dog", "owl"))
    assert len(open_loader(drop_last=True)) == 4
    assert len(open_loader(split="val", batch_size=5)) == 1
    assert loader.version == network.request("GET", "http://localhost:8000", "/datasets/pets").json()["version"]
    assert loader.recipe.startswith("RandomResizedCrop(24) | ")
    assert "'pets', 'train', batch_size=2, seed=0" in repr(loader)


def test_each_pass_is_the_next_epoch(loader: RemoteLoader, open_loader: OpenLoader) -> None:
    passes = [read(loader) for _ in range(3)]
    assert [sorted(flatten(each)) for each in passes] == [list(range(9))] * 3
    assert [len(each) for each in passes[0]] == [2, 2, 2, 2, 1]
    assert passes[0] != passes[1] != passes[2]
    assert loader.epoch == 3
    other = open_loader(with_indices=True)
    for epoch in (2, 0, 1):
        other.set_epoch(epoch)
        assert read(other) == passes[epoch]


def test_each_pass_is_the_next_epoch_even_if_the_one_before_was_left_early(loader: RemoteLoader, open_loader: OpenLoader) -> None:
    """Some loops read part of each epoch, others never ask for more than `len` batches and so never see the end."""
    whole = open_loader(with_indices=True)
    epochs = [read(whole) for _ in range(4)]
    for epoch, steps in enumerate((3, 5, 1)):
        assert [batch[-1].tolist() for batch in islice(loader, steps)] == epochs[epoch][:steps]
        assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (epoch, steps)
    assert read(loader) == epochs[3]
    assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (4, 0)
    iter(loader)
    assert loader.epoch == 4, "a pass begins when its first batch is asked for"


def test_set_epoch_in_the_midst_is_about_the_next_pass(loader: RemoteLoader) -> None:
    epochs = [read(loader) for _ in range(5)]
    loader.set_epoch(1)
    seen = []
    for *_, indices in loader:
        loader.set_epoch(4)
        seen.append(indices.tolist())
    assert seen == epochs[1]
    assert read(loader) == epochs[4]
    with pytest.raises(InvalidParameter, match="-1"):
        loader.set_epoch(-1)


def test_unshuffled(open_loader: OpenLoader) -> None:
    assert flatten(read(open_loader(shuffle=False, with_indices=True))) == list(range(9))


def test_the_servers_defaults_are_settled_at_the_start(open_loader: OpenLoader, open_service: OpenService, network: Network) -> None:
    open_service(batch_size=3, shuffle=False, recipes={"train": "CenterCrop(9)"})
    loader = open_loader(batch_size=None, recipe=None, with_indices=True)
    assert (len(loader), loader.recipe) == (3, "CenterCrop(9)")
    assert read(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert all("batch_size=3&" in path and "recipe=CenterCrop%289%29&" in path for _, path in network.asked if ".safetensors" in path)


def test_large_photos_are_reduced_as_asked_or_as_the_dataset_says(open_loader: OpenLoader, open_service: OpenService) -> None:
    open_service(datasets={"pets": {"max_resolution": 28}})
    told = {asked: open_loader(max_resolution=asked, shuffle=False, recipe="CenterCrop(24)") for asked in (None, 0, 20, 28)}
    addresses = {asked: loader.explain(0, 0).address for asked, loader in told.items()}
    assert [f"max_resolution={most}" in addresses[asked] for asked, most in ((None, 28), (20, 20), (28, 28))] == [True] * 3
    assert "max_resolution" not in addresses[0]
    batches = {asked: list(loader) for asked, loader in told.items()}
    assert_same(batches[None], batches[28])
    assert not batches[0][0][0].equal(batches[28][0][0])
    assert not batches[20][0][0].equal(batches[28][0][0])


def test_what_the_dataset_says_is_settled_at_the_start(open_loader: OpenLoader, open_service: OpenService, network: Network) -> None:
    open_service()
    whole = open_loader(shuffle=False)
    open_service(datasets={"pets": {"max_resolution": 28}})  # in the place of the first
    reduced = open_loader(shuffle=False)
    open_service()
    assert_same(list(whole), list(open_loader(shuffle=False)))
    assert_same(list(reduced), list(open_loader(shuffle=False, max_resolution=28)))


def test_a_position_on_photos_of_another_size_is_refused(open_loader: OpenLoader) -> None:
    plain, reduced = open_loader(), open_loader(max_resolution=28)
    assert "max_resolution" not in plain.state_dict(), "as it always was"
    for saved, loader in ((plain, reduced), (reduced, plain)):
        with pytest.raises(PositionMismatch, match=r"max_resolution: .* then, .* now") as caught:
            loader.load_state_dict(saved.state_dict())
        assert caught.value.facts["differing"] == ["max_resolution"]
    reduced.load_state_dict(reduced.state_dict())
    plain.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("stop", [1, 4, 5, 6, 9, 10])
def test_a_run_that_stopped_goes_on_as_if_it_had_not(open_loader: OpenLoader, stop: int) -> None:
    whole = open_loader()
    expected = [batch for _ in range(3) for batch in whole]
    first, seen = open_loader(), []
    for batch in islice((batch for _ in range(3) for batch in first), stop):
        seen.append(batch)
        state = json.dumps(first.state_dict())
    second = open_loader()
    second.load_state_dict(json.loads(state))
    for epoch in range((stop - 1) // 5, 3):  # From the epoch that was saved in; nothing is left of it where all of it was seen.
        second.set_epoch(epoch)
        seen += list(second)
    assert_same(seen, expected)


def test_a_state_from_after_an_epoch_begins_the_next(open_loader: OpenLoader) -> None:
    first, second = open_loader(), open_loader()
    list(first)
    state = first.state_dict()
    assert (state["epoch"], state["step"]) == (1, 0)
    second.load_state_dict(state)
    assert second.epoch == 1
    assert_same(list(second), list(first))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (4, 2), (2, 4)])
def test_going_on_with_another_number_of_ranks(open_loader: OpenLoader, before: int, after: int) -> None:
    def ranks(world_size: int) -> list[RemoteLoader]:
        return [open_loader(batch_size=4 // world_size, world_size=world_size, rank=rank, uneven="share", with_indices=True) for rank in range(world_size)]

    seen, states = [], []
    for loader in ranks(before):
        seen += [batch[-1] for batch in islice(loader, 1)]
        states.append(loader.state_dict())
    assert all(state == states[0] for state in states)
    steps = []
    for loader in ranks(after):
        loader.load_state_dict(states[0])
        steps.append([batch[-1] for batch in loader])
    assert {len(each) for each in steps} == {2}
    assert sorted(torch.cat([*seen, *flatten(steps)]).tolist()) == list(range(9))
    together = [torch.cat(parts).tolist() for parts in zip(*steps, strict=True)]
    assert together == read(open_loader(batch_size=4, with_indices=True))[1:]


def test_a_position_that_does_not_fit_is_refused(open_loader: OpenLoader, loader: RemoteLoader) -> None:
    state = loader.state_dict()
    with pytest.raises(PositionMismatch, match=r"samples_in_step: 2 then, 4 now\. Keep batch_size \* world_size the same") as caught:
        open_loader(batch_size=2, rank=0, world_size=2, uneven="share").load_state_dict(state)
    assert caught.value.facts["differing"] == ["samples_in_step"]
    with pytest.raises(PositionMismatch, match="seed: 0 then, 1 now; shuffle: True then, False now"):
        open_loader(seed=1, shuffle=False).load_state_dict(state)
    with pytest.raises(DatasetChanged, match="saved on version 'another'"):
        loader.load_state_dict({**state, "version": "another"})
    with pytest.raises(PositionMismatch, match="an epoch has 5 steps"):
        loader.load_state_dict({**state, "step": 6})
    for foreign in ({}, {"epoch": 1}, {**state, "step": "x"}):
        with pytest.raises(PositionMismatch, match="no state of a RemoteLoader"):
            loader.load_state_dict(foreign)
    assert loader.state_dict() == state


def test_ranks_share_each_step(open_loader: OpenLoader) -> None:
    ranks = [read(open_loader(batch_size=2, rank=rank, world_size=3, with_indices=True)) for rank in range(3)]
    assert [len(each) for each in ranks] == [2, 2, 2]
    assert [sum(len(each[1]) for each in ranks)] == [3]
    assert sorted(flatten(flatten(ranks))) == list(range(9))


def test_a_rank_may_get_an_empty_batch(open_loader: OpenLoader) -> None:
    last = [list(open_loader(batch_size=1, rank=rank, world_size=4, uneven="share"))[-1] for rank in range(4)]
    assert [tuple(inputs.shape) for inputs, _ in last] == [(0, 3, 24, 24)] * 3 + [(1, 3, 24, 24)]


@pytest.mark.parametrize(
    ("options", "match"), [({"rank": 1}, "go together"), ({"world_size": 2}, "go together"), ({"rank": 2, "world_size": 2}, "below world_size 2")]
)
def test_ranks_that_do_not_fit_are_refused(open_loader: OpenLoader, options: dict, match: str) -> None:
    with pytest.raises(InvalidParameter, match=match):
        open_loader(**options)


def test_ranks_come_from_torch_distributed(open_loader: OpenLoader, tmp_path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        assert read(open_loader(with_indices=True)) == read(open_loader(rank=0, world_size=1, with_indices=True))
    finally:
        torch.distributed.destroy_process_group()
