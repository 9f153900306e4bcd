"""Passes and the state: which epoch an iterator reads, whose progress counts, copies, forks, and the end of a loader."""

import os
import signal
import warnings
from itertools import islice
from typing import Any

import pytest

from service.client import ClientError, ForkedIterator, RemoteLoader
from service.errors import InvalidParameter
from tests.client.conftest import Network, OpenLoader
from tests.client.test_epochs import read
from tests.client.test_loops import assert_nothing_left


@pytest.fixture
def loader(open_loader: OpenLoader) -> RemoteLoader:
    return open_loader(with_indices=True)


@pytest.fixture
def epochs(open_loader: OpenLoader) -> list[list[list[int]]]:
    """The indices of the first four epochs."""
    whole = open_loader(with_indices=True)
    return [read(whole) for _ in range(4)]


def place(loader: RemoteLoader) -> tuple[int, int]:
    state = loader.state_dict()
    return state["epoch"], state["step"]


def rest(batches: Any) -> list[list[int]]:
    return [batch[-1].tolist() for batch in batches]


def test_an_iterator_reads_the_epoch_at_which_it_was_made(loader: RemoteLoader, epochs: list) -> None:
    first = iter(loader)
    second = iter(loader)
    loader.set_epoch(3)
    assert rest(second) == epochs[1]
    assert rest(first) == epochs[0]
    assert read(loader) == epochs[3]


def test_an_iterator_that_is_dropped_unread_does_not_count(loader: RemoteLoader, epochs: list) -> None:
    """Lightning makes one only to see whether that works."""
    iter(loader)
    iter(loader).close()
    assert loader.epoch == 0
    next(iter(loader))
    loader.load_state_dict({**loader.state_dict(), "epoch": 2, "step": 3})
    iter(loader)
    assert read(loader) == epochs[2][3:]
    first = iter(loader)
    second = iter(loader)
    del first
    assert rest(second) == epochs[3], "nor for the one that was made after it"
    unread = iter(loader)
    loader.set_epoch(1)
    del unread
    assert read(loader) == epochs[1], "what was chosen in the meantime stays"


def test_a_sampler_moves_a_pass_that_is_still_unread(loader: RemoteLoader, epochs: list) -> None:
    """Lightning, going on without a state: first the iterator, then the epoch."""
    batches = iter(loader)
    loader.sampler.set_epoch(2)
    assert rest(batches) == epochs[2]
    assert loader.epoch == 3
    batches = iter(loader)
    next(batches)
    loader.sampler.set_epoch(1)
    assert rest(batches) == epochs[3][1:], "one that is being read goes on"
    assert read(loader) == epochs[1]
    loader.load_state_dict({**loader.state_dict(), "epoch": 1, "step": 3})
    batches = iter(loader)
    loader.sampler.set_epoch(1)
    assert rest(batches) == epochs[1][3:]


def test_an_old_iterator_does_not_overwrite_a_loaded_state(loader: RemoteLoader, epochs: list) -> None:
    old = iter(loader)
    next(old)
    state = loader.state_dict()
    next(old)
    loader.load_state_dict(state)
    next(old)
    assert place(loader) == (0, 1)
    assert rest(old) == epochs[0][3:]
    assert place(loader) == (0, 1)
    assert read(loader) == epochs[0][1:]


def test_the_state_is_that_of_the_iterator_that_was_made_last(loader: RemoteLoader) -> None:
    old, new = iter(loader), iter(loader)
    next(new)
    next(old)
    next(old)
    assert place(loader) == (1, 1)


def test_a_state_from_after_the_last_batch_begins_the_next_epoch(loader: RemoteLoader, open_loader: OpenLoader, epochs: list) -> None:
    batches = list(islice(loader, 5))
    assert len(batches) == 5
    state = loader.state_dict()
    assert place(loader) == (0, 5)
    second = open_loader(with_indices=True)
    second.load_state_dict(state)
    assert second.epoch == 1
    assert read(second) == epochs[1]
    second.load_state_dict(state)
    second.set_epoch(0)
    assert read(second) == [], "whoever asks for that epoch gets what is left of it"
    assert read(second) == epochs[1]


@pytest.mark.parametrize("number", [0, 1, 4])
def test_skipped_batches_are_not_fetched(loader: RemoteLoader, network: Network, epochs: list, number: int) -> None:
    loader.set_epoch(1)
    network.asked.clear()
    loader.skip_batches(number)
    assert read(loader) == epochs[1][number:]
    assert len(network.batches_of("http://localhost:8000")) == 5 - number
    assert read(loader) == epochs[2]


def test_skipping_adds_up_and_ends_with_the_epoch(loader: RemoteLoader, epochs: list) -> None:
    loader.skip_batches(1)
    loader.skip_batches(2)
    assert read(loader) == epochs[0][3:]
    loader.skip_batches(9)
    assert read(loader) == epochs[2]
    with pytest.raises(InvalidParameter, match="-1"):
        loader.skip_batches(-1)


def test_batches_by_their_keys(loader: RemoteLoader, epochs: list) -> None:
    dataset, keys = loader.dataset, list(loader.batch_sampler)
    assert keys == [[(0, step)] for step in range(5)]
    assert (len(dataset), len(loader.sampler), len(loader.batch_sampler)) == (9, 5, 5)
    assert [loader.collate_fn([dataset[key] for key in batch])[-1].tolist() for batch in keys] == epochs[0]
    assert place(loader) == (0, 5)
    assert [dataset[2, step][-1].tolist() for step in (3, 1, 2)] == [epochs[2][step] for step in (3, 1, 2)]
    assert list(loader.sampler) == [(3, step) for step in range(5)]
    with pytest.raises(InvalidParameter, match=r"by \(epoch, step\)"):
        dataset[3]


def test_map_fn_makes_what_is_yielded(open_loader: OpenLoader) -> None:
    batches = list(open_loader(map_fn=lambda batch: {"pixel_values": batch[0], "labels": batch[1]}))
    assert [sorted(batch) for batch in batches] == [["labels", "pixel_values"]] * 5


def test_with_closes_everything(open_loader: OpenLoader, network: Network) -> None:
    with open_loader() as loader:
        whole = iter(loader)
        assert len(list(whole)) == 5
        assert network.open_transports
    assert_nothing_left(network)
    with open_loader() as loader:
        batches = iter(loader)
        next(batches)
    assert_nothing_left(network)
    loader.close()
    with pytest.raises(ClientError, match="closed in the midst"):
        next(batches)
    assert next(whole, "end") == "end", "it had come to its end before"


def test_a_child_process_that_goes_on_with_its_parents_iterator_gets_an_error(loader: RemoteLoader, epochs: list) -> None:
    batches = iter(loader)
    next(batches)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of a fork beside threads, which is what this is about.
        child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(60)
            try:
                next(batches)
            except ForkedIterator:
                batches.close()
                del batches  # None of this may reach the parent's connections.
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rest(batches) == epochs[0][1:]
