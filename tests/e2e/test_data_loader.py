"""torch's DataLoader around a loader: its workers share the steps, wherever they begin and however they are started."""

import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from service.client import PositionUnknown, RemoteLoader
from tests.e2e.conftest import serving

OPTIONS: dict[str, Any] = {"batch_size": 2, "recipe": "CenterCrop(24) | ToTensor()", "with_indices": True}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for all of these tests; none changes anything there."""
    root = tmp_path_factory.mktemp("data") / "pets"
    for number in range(13):
        path: Path = root / "train" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((30, 26, 3), 19 * number, np.uint8)).save(path)
    with serving(tmp_path_factory.mktemp("logs"), root) as start:
        yield start(workers=1).url


@pytest.fixture
def loader(url: str) -> Iterator[RemoteLoader]:
    with RemoteLoader(url, "pets", **OPTIONS) as loader:
        yield loader


@pytest.fixture
def epochs(url: str) -> list[list[list[int]]]:
    with RemoteLoader(url, "pets", **OPTIONS) as whole:
        return [seen(whole) for _ in range(3)]


def seen(batches: Any) -> list[list[int]]:
    return [indices.tolist() for *_, indices in batches]


def test_it_is_an_iterable_dataset(loader: RemoteLoader, url: str) -> None:
    assert isinstance(loader, IterableDataset)
    assert isinstance(RemoteLoader(url, "pets", as_numpy=True), IterableDataset), "torch is loaded"
    wrapped = DataLoader(RemoteLoader(url, "pets", **OPTIONS, as_numpy=True), batch_size=None)
    assert all(isinstance(each, torch.Tensor) for batch in wrapped for each in batch)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # More workers than this machine has processors.
@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_steps_are_shared_in_order(loader: RemoteLoader, epochs: list, workers: int) -> None:
    wrapped = DataLoader(loader, batch_size=None, num_workers=workers)
    assert len(wrapped) == 7
    for epoch in (0, 2):
        loader.set_epoch(epoch)
        assert seen(wrapped) == epochs[epoch]


@pytest.mark.parametrize("done", [1, 2, 5])
def test_workers_go_on_in_the_midst_of_an_epoch(loader: RemoteLoader, epochs: list, done: int) -> None:
    batches = iter(loader)
    assert seen(islice(batches, done)) == epochs[0][:done]
    loader.load_state_dict(loader.state_dict())
    assert seen(DataLoader(loader, batch_size=None, num_workers=2)) == epochs[0][done:]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_workers_that_repeat_an_epoch_warn_once(loader: RemoteLoader, epochs: list, start_method: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings are errors here, in forked workers too; spawned ones have filters of their own, and print it."""
    capfd.readouterr()
    wrapped = DataLoader(loader, batch_size=None, num_workers=2 if start_method == "fork" else 1, multiprocessing_context=start_method)
    assert seen(wrapped) == epochs[0]
    if start_method == "fork":
        with pytest.raises(UserWarning, match=r"epoch 0 once more.*set_epoch before each pass"):
            seen(wrapped)
    else:
        assert seen(wrapped) == epochs[0]
    assert seen(wrapped) == epochs[0]
    loader.set_epoch(1)
    assert seen(wrapped) == epochs[1]
    if start_method == "spawn":
        assert capfd.readouterr().err.count("epoch 0 once more") == 1


def test_a_repeated_pass_is_no_surprise_without_shuffling_or_with_workers_that_stay(loader: RemoteLoader, epochs: list, url: str) -> None:
    wrapped = DataLoader(loader, batch_size=None, num_workers=2, persistent_workers=True)
    assert [seen(wrapped) for _ in range(3)] == epochs
    with RemoteLoader(url, "pets", shuffle=False, **OPTIONS) as val:
        wrapped = DataLoader(val, batch_size=None, num_workers=2)
        assert seen(wrapped) == seen(wrapped)


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_state_that_this_process_cannot_know_is_refused(loader: RemoteLoader, epochs: list, start_method: str) -> None:
    assert loader.state_dict()["step"] == 0
    loader.set_epoch(1)
    assert seen(DataLoader(loader, batch_size=None, num_workers=1, multiprocessing_context=start_method)) == epochs[1]
    with pytest.raises(PositionUnknown, match="StatefulDataLoader"):
        loader.state_dict()
    copy = pickle.loads(pickle.dumps(loader))
    assert copy.state_dict()["epoch"] == 1
    loader.set_epoch(2)
    assert loader.state_dict()["epoch"] == 2


@pytest.mark.parametrize("options", [{"num_workers": 0}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_a_data_loader_of_its_parts_walks_from_epoch_to_epoch(loader: RemoteLoader, epochs: list, options: dict) -> None:
    wrapped = DataLoader(loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn, **options)
    assert len(wrapped) == 7
    assert [seen(wrapped) for _ in range(3)] == epochs
    loader.set_epoch(1)
    loader.skip_batches(3)
    assert seen(wrapped) == epochs[1][3:]
    if options["num_workers"]:
        with pytest.raises(PositionUnknown):
            loader.state_dict()
    else:
        assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (1, 7)


def test_a_pickle_made_in_the_midst_of_a_pass_goes_on_where_it_says(loader: RemoteLoader, epochs: list) -> None:
    batches = iter(loader)
    next(batches)
    next(batches)
    copy = pickle.loads(pickle.dumps(loader))
    assert (copy.state_dict()["epoch"], copy.state_dict()["step"]) == (0, 2)
    assert seen(copy) == epochs[0][2:]
    assert seen(copy) == epochs[1]
    assert seen(batches) == epochs[0][2:]
    finished = pickle.loads(pickle.dumps(loader))
    assert seen(finished) == epochs[1]
