"""Who reads, settled at the first use: a loader is made before the process group exists as often as not."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from service.client import RanksChanged
from service.client.ranks import Ranks
from service.errors import InvalidParameter
from tests.client.conftest import OpenLoader
from tests.client.test_epochs import read

LAUNCHERS = [
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
]
VARIABLES = [name for names in LAUNCHERS for name in names]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@contextmanager
def group(rank: int = 1, world_size: int = 2) -> Iterator[None]:
    """A process group of which this process is one rank; torch's "fake" backend does without the others."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def test_a_loader_that_was_made_before_the_process_group_reads_its_ranks_part(open_loader: OpenLoader) -> None:
    loader = open_loader(with_indices=True, uneven="share")
    expected = read(open_loader(with_indices=True, uneven="share", rank=1, world_size=2))
    assert "rank" not in repr(loader)
    with group():
        assert len(loader) == 3
        assert read(loader) == expected
        assert loader.state_dict()["samples_in_step"] == 4
        assert "rank=1, world_size=2" in repr(loader)
    assert len(loader) == 3, "settled for good"


@pytest.mark.parametrize("use", [len, iter, lambda loader: loader.state_dict(), lambda loader: loader.explain(0, 0)])
def test_ranks_that_were_settled_too_early_are_an_error_that_says_what_to_do(open_loader: OpenLoader, use) -> None:
    loader, same, given = open_loader(uneven="share"), open_loader(), open_loader(rank=0, world_size=1)
    use(loader)
    use(same)
    with group():
        for again in (len, iter, lambda loader: loader.state_dict(), lambda loader: loader.load_state_dict({}), lambda loader: loader.explain(0, 0)):
            with pytest.raises(
                RanksChanged, match=r"first used as rank 0 of 1, before .* rank 1 of 2; .* after init_process_group, .* or give rank="
            ) as caught:
                again(loader)
        assert (caught.value.facts["settled"], caught.value.facts["group"]) == ([0, 1], [1, 2])
        assert len(given) == 5, "what was asked for outright is not questioned"
    with group(0, 1):
        assert len(same) == 5


@pytest.mark.parametrize("names", LAUNCHERS)
def test_a_launchers_environment_is_noticed(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]) -> None:
    loader = open_loader(with_indices=True, uneven="share")
    for name, value in zip(names, ("1", "2"), strict=True):
        monkeypatch.setenv(name, value)
    expected = read(open_loader(with_indices=True, uneven="share", rank=1, world_size=2))
    assert read(loader) == expected


def test_a_process_group_counts_more_than_the_environment(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    loader = open_loader(uneven="share")
    with group():
        assert len(loader) == 3


@pytest.mark.parametrize(("rank", "world_size"), [("2", "2"), ("x", "2"), ("-1", "2")])
def test_an_environment_that_makes_no_sense_is_refused(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch, rank: str, world_size: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world_size)
    with pytest.raises(InvalidParameter, match=r"rank"):
        len(open_loader())


def test_half_an_environment_says_nothing(open_loader: OpenLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning sets WORLD_SIZE and LOCAL_RANK for the processes that it starts, and no RANK."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(open_loader()) == 5


def test_a_copy_knows_its_rank_where_there_is_no_process_group() -> None:
    """The workers of a DataLoader that are spawned; but processes that become ranks themselves are not told their parent's."""
    ranks, of_a_launcher = Ranks(None, None), Ranks(None, None)
    of_a_launcher.settle_in_group()
    assert of_a_launcher.settled is None
    with group():
        ranks.settle_in_group()
        copy = pickle.dumps(ranks)
    assert pickle.loads(copy).settle() == (1, 2)
