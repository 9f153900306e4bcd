"""torchdata's StatefulDataLoader around a loader: a state from anywhere gives each step once."""

from itertools import islice
from typing import Any

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from service.client import PositionUnknown
from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import STEPS, Seen, epochs_of


def seen(batches: Any) -> Seen:
    return [indices.tolist() for *_, indices in batches]


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("done", [1, 4, 5, STEPS - 1])
def test_going_on_in_the_midst_of_an_epoch(open_loader: OpenLoader, workers: int, done: int) -> None:
    expected = epochs_of(open_loader(), 3)
    loader = open_loader()
    loader.set_epoch(1)
    first = StatefulDataLoader(loader, batch_size=None, num_workers=workers)
    batches = iter(first)
    before = seen(islice(batches, done))
    state = first.state_dict()
    del batches
    again = open_loader()
    second = StatefulDataLoader(again, batch_size=None, num_workers=workers)
    second.load_state_dict(state)
    assert [*before, *seen(second)] == expected[1]
    if workers:
        with pytest.raises(PositionUnknown):
            again.state_dict()
    again.set_epoch(2)
    assert seen(second) == expected[2]


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_from_the_end_of_an_epoch(open_loader: OpenLoader, workers: int) -> None:
    expected = epochs_of(open_loader(), 2)
    first = StatefulDataLoader(open_loader(), batch_size=None, num_workers=workers)
    assert seen(first) == expected[0]
    loader = open_loader()
    second = StatefulDataLoader(loader, batch_size=None, num_workers=workers)
    second.load_state_dict(first.state_dict())
    loader.set_epoch(1)
    assert seen(second) == expected[1]


def test_the_keys_go_on_too(open_loader: OpenLoader) -> None:
    """The map-style way: the sampler stays in this process."""
    expected = epochs_of(open_loader(), 3)

    def wrap() -> StatefulDataLoader:
        loader = open_loader()
        return StatefulDataLoader(loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn, num_workers=2)

    first = wrap()
    before = seen(islice(iter(first), 3))
    second = wrap()
    second.load_state_dict(first.state_dict())
    assert [*before, *seen(second)] == expected[0]
    assert [seen(second), seen(second)] == expected[1:]
