"""A last step whose samples cannot be shared equally: share, pad or drop."""

import warnings

import numpy as np
import pytest

from service.client import RemoteLoader
from service.errors import InvalidParameter
from tests.client.conftest import Network, OpenLoader
from tests.client.test_epochs import flatten, read


def open_ranks(open_loader: OpenLoader, world_size: int, batch_size: int, **options: object) -> list[RemoteLoader]:
    return [open_loader(rank=rank, world_size=world_size, batch_size=batch_size, with_indices=True, **options) for rank in range(world_size)]


@pytest.mark.parametrize(("world_size", "batch_size"), [(4, 1), (4, 2), (2, 2), (2, 4), (5, 4), (16, 1), (3, 3)])
@pytest.mark.parametrize("uneven", ["share", "pad", "drop"])
def test_what_each_choice_means(open_loader: OpenLoader, world_size: int, batch_size: int, uneven: str) -> None:
    """Nine samples: batches of all sizes, with and without a rank that gets none."""
    plain = read(open_loader(batch_size=world_size * batch_size, with_indices=True))
    ranks = open_ranks(open_loader, world_size, batch_size, uneven=uneven)
    read_by = [read(loader) for loader in ranks]
    steps = len(plain) - (uneven == "drop" and len(plain[-1]) % world_size != 0)
    assert {len(each) for each in read_by} == {len(loader) for loader in ranks} == {steps}
    for step, expected in enumerate(plain[:steps]):
        batches = [each[step] for each in read_by]
        sizes = {len(batch) for batch in batches}
        if uneven == "share":
            assert flatten(batches) == expected
            assert max(sizes) - min(sizes) <= 1
        else:
            assert len(sizes) == 1
            assert set(flatten(batches)) == set(expected) | (set(flatten(batches)) & set(plain[0]))
            assert len(flatten(batches)) - len(expected) == -len(expected) % world_size


def test_repeats_are_samples_of_the_first_step_bit_for_bit_and_marked(open_loader: OpenLoader) -> None:
    shared = [list(loader) for loader in open_ranks(open_loader, 4, 2, uneven="share")]
    padded = [list(loader) for loader in open_ranks(open_loader, 4, 2, uneven="pad", with_repeats=True)]
    for rank in range(4):
        *steps, last = padded[rank]
        assert not any(batch[-1].any() for batch in steps)
        own = len(shared[rank][1][1])
        assert last[-1].tolist() == [False] * own + [True] * (1 - own)
        for position, array in enumerate(last[:-1]):
            expected = shared[rank][1][position] if own else shared[rank][0][position][:1]
            assert array.equal(expected)


def test_repeats_where_the_first_step_is_the_last(open_loader: OpenLoader) -> None:
    """Ranks without any sample take one of the next rank that has some."""
    ranks = [list(loader) for loader in open_ranks(open_loader, 16, 1, uneven="pad", with_repeats=True, as_numpy=True)]
    indices = [int(batch[2][0]) for (batch,) in ranks]
    repeated = [bool(batch[3][0]) for (batch,) in ranks]
    assert sum(repeated) == 7
    assert sorted(index for index, is_repeat in zip(indices, repeated, strict=True) if not is_repeat) == list(range(9))
    assert max(np.bincount(indices)) == 2, "no sample is there three times"


def test_unreadable_samples_stay_marked_when_a_batch_is_filled_up(open_loader: OpenLoader) -> None:
    for loader in open_ranks(open_loader, 4, 2, uneven="pad", on_error="mask", with_repeats=True):
        for images, labels, indices, valid, repeated in loader:
            assert len(images) == len(labels) == len(indices) == len(valid) == len(repeated)
            assert valid.all()


def test_addresses_are_those_that_there_always_were(open_loader: OpenLoader, network: Network) -> None:
    for loader in open_ranks(open_loader, 4, 2, uneven="pad"):
        list(loader)
    assert not [path for _, path in network.asked if "uneven" in path or "pad" in path]
    filled = [each for each in network.batches_of("http://localhost:8000") if each.startswith("0/0.")]
    assert len(filled) == 4 + 3, "its own by each rank, and once more by those that get none of the last step"


def test_a_rank_without_samples_is_warned_about_once_unless_that_was_chosen(open_loader: OpenLoader) -> None:
    loader = open_loader(batch_size=1, rank=0, world_size=4)
    with pytest.warns(UserWarning, match=r"pets/train .* the 4 ranks .* uneven='pad' or 'drop'") as caught:
        len(loader)
    assert len(caught) == 1
    list(loader)
    for options in ({"uneven": "share"}, {"uneven": "pad"}, {"uneven": "drop"}, {"drop_last": True}, {"batch_size": 3}):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            list(open_loader(**{"batch_size": 1, "rank": 0, "world_size": 4, **options}))


def test_another_choice_is_refused(open_loader: OpenLoader) -> None:
    with pytest.raises(InvalidParameter, match="'share', 'pad' or 'drop'"):
        open_loader(uneven="repeat")
