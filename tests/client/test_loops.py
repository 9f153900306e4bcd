"""The loader in other people's loops: wrappers, early ends, and what must not stay behind."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from service.client import RemoteLoader
from tests.client.conftest import Network, OpenLoader


class Wrapped(IterableDataset):
    def __init__(self, loader: RemoteLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


@pytest.fixture
def loader(open_loader: OpenLoader) -> RemoteLoader:
    return open_loader()


def assert_nothing_left(network: Network) -> None:
    assert not network.open_transports
    assert not [each for each in threading.enumerate() if each.name.startswith("batchlens prefetch")]


def interrupt_in_the_midst(loader: RemoteLoader) -> None:
    for _ in loader:
        raise KeyboardInterrupt


def test_connections_are_kept_from_pass_to_pass_and_closed_with_the_loader(open_loader: OpenLoader, network: Network) -> None:
    loader = open_loader()
    assert_nothing_left(network)
    batches = iter(loader)
    assert_nothing_left(network)
    next(batches)
    assert network.open_transports
    list(batches)
    kept = set(network.open_transports)
    assert kept, "for the next pass"
    assert list(loader)
    assert network.open_transports == kept
    loader.close()
    assert_nothing_left(network)
    loader.explain(0, 0)
    assert_nothing_left(network)
    assert list(loader), "a closed loader can be read on"
    del loader
    gc.collect()
    assert_nothing_left(network)


def test_leaving_a_loop_early_leaves_nothing_behind(loader: RemoteLoader, network: Network) -> None:
    for _ in loader:
        break
    assert_nothing_left(network)
    batches = iter(loader)
    next(batches)
    del batches
    assert_nothing_left(network)
    with pytest.raises(KeyboardInterrupt):
        interrupt_in_the_midst(loader)
    assert_nothing_left(network)


def test_an_iterator_in_a_cycle_ends_when_it_is_collected(loader: RemoteLoader, network: Network) -> None:
    holder: list[object] = [iter(loader)]
    holder.append(holder)
    next(holder[0])
    assert network.open_transports
    del holder
    deadline = time.monotonic() + 20
    while network.open_transports and time.monotonic() < deadline:
        gc.collect()  # Does nothing while another thread collects, which may find the cycle first and still be closing.
        time.sleep(0.01)
    assert_nothing_left(network)


def test_two_iterators_at_once_read_two_epochs(loader: RemoteLoader, open_loader: OpenLoader) -> None:
    plain = open_loader()
    epochs = [list(plain), list(plain)]
    assert all(one[0].equal(two[0]) and other[0].equal(three[0]) for one, other, two, three in zip(loader, loader, *epochs, strict=True))


def test_a_data_loader_around_it(loader: RemoteLoader, open_loader: OpenLoader) -> None:
    plain = open_loader()
    wrapped = DataLoader(Wrapped(loader), batch_size=None)
    assert len(wrapped) == 5
    for _ in range(2):
        for batch, expected in zip(wrapped, plain, strict=True):
            assert batch[0].equal(expected[0])
            assert batch[1].equal(expected[1])


def test_a_loop_that_knows_the_length(loader: RemoteLoader, open_loader: OpenLoader) -> None:
    """Lightning: a new iterator for each epoch, `len` batches from it and not one call more, a state after each, the epoch told to `sampler`."""
    plain = open_loader()
    for epoch in (0, 1, 4):
        assert loader.batch_sampler.sampler
        loader.sampler.set_epoch(epoch)
        plain.set_epoch(epoch)
        batches = iter(loader)
        for number, expected in enumerate(plain):
            inputs, labels = next(batches)
            assert inputs.equal(expected[0])
            assert labels.equal(expected[1])
            assert loader.state_dict()["step"] == number + 1


def test_numpy_arrays_are_the_consumers_own(open_loader: OpenLoader) -> None:
    for options in ({"as_numpy": True}, {"as_numpy": True, "dtype": "uint8"}):
        for arrays in open_loader(**options):
            for array in arrays:
                array[...] = 1


def test_importing_the_client_does_not_import_torch() -> None:
    unwanted = {"torch", "torchvision", "fastapi", "starlette", "uvicorn", "pydantic", "PIL", "httpx"}
    code = f"import sys, service.client; print(sorted({unwanted} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout == "[]\n"


def test_public_names_are_sorted_and_there() -> None:
    import service.client

    assert sorted(service.client.__all__) == service.client.__all__
    assert all(hasattr(service.client, name) for name in service.client.__all__)


def test_what_collectives_send_is_memory_of_torch_itself(open_loader: OpenLoader) -> None:
    _, *others = next(iter(open_loader(with_indices=True, on_error="mask")))
    assert len(others) == 3, "labels, indices, valid"
    owned = [each.untyped_storage().resizable() for each in others]
    assert owned == [True] * 3, "memory that belongs to a Python object cannot be let go of by gloo's threads while the interpreter ends"
    assert not torch.from_numpy(others[0].numpy().copy()).untyped_storage().resizable(), "which is what this tells apart"
