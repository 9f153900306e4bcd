"""The loader: a DataLoader whose batches come from a service."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from service.client.data_loader import DataLoaderInterface
from service.client.delivery import Delivery
from service.client.description import Choices, describe
from service.client.endpoint import find_endpoints
from service.client.epoch_reader import EpochReader
from service.client.keeper import SessionKeeper
from service.client.picture import Picture
from service.client.provenance import Provenance, read_provenance
from service.client.ranks import Ranks
from service.client.session import Session
from service.client.transport import TIMEOUT_SECONDS, HttpTransport, TransportFactory
from service.errors import InvalidParameter

if TYPE_CHECKING:
    from service.client.delivery import Device
    from service.client.epoch_reader import MapFn
    from service.client.share import Uneven
    from service.planning.address import Address, DType, OnError

PATIENCE_SECONDS = 120.0
"""How long a batch may fail to come before the loader gives up: a server has the time to restart, and a `Retry-After` of a minute is waited out."""

FIRST_ANSWER_SECONDS = 5.0
"""How long a loader tries when it is made and nothing has answered yet: a mistyped URL shows soon."""


class RemoteLoader(DataLoaderInterface):
    """Iterates over the batches of a split; one pass is one epoch. Takes the place of a `torch.utils.data.DataLoader`.

    Each `for` yields an epoch, (images, labels) at a time: epoch 0 first, then 1 and so on, each with an order and augmentations of its own, whether or not the
    one before was read to its end; as with a DataLoader that shuffles. `iter` fixes the epoch; an iterator that is dropped before its first batch does not
    count. `set_epoch` says which comes next, as with a `DistributedSampler`. All ranks have to begin the same passes, or call `set_epoch`.

    The dataset's version, and whatever the arguments leave to the server, are settled when the loader is made and stay. Several servers may be given: requests
    are spread over them, and go to another when one fails. An iterator holds up to `prefetch` threads and connections until it ends, is closed or is dropped;
    the connections of a pass that came to its end are kept for the next one, until the loader is closed or dropped. A pickled copy goes on where `state_dict`
    says.

    It has what frameworks look for in a DataLoader, and is itself an `IterableDataset`: workers of `DataLoader(loader, batch_size=None, num_workers=2)` share
    the steps out among themselves. They read copies, so call `set_epoch` before each such pass, and save the state of torchdata's `StatefulDataLoader`.

    Args:
        urls: of one server or of several, for instance "http://lab:8000"; user and password in them are sent as HTTP Basic authentication.
        dataset: a dataset's name.
        split: a split's name.
        batch_size: samples in a batch of this rank; the server's default for None, as with `shuffle`, `recipe` and `dtype`.
        shuffle: whether each epoch has an order of its own.
        seed: picks orders and augmentations.
        recipe: a name or text.
        dtype: of the images: "uint8" (without the recipe's tail), "float32", "float16" or "bfloat16"; what the recipe yields by default. Whatever it is, bytes
            travel where the recipe allows it, and its tail is applied here: the numbers are those that the server would give, bit for bit on the CPU.
        drop_last: whether an incomplete last step is left out.
        uneven: what becomes of a last step whose samples cannot be shared equally by the ranks. "share" gives some ranks one sample less than others, or
            none; "pad" gives those a sample of the epoch's first step once more, as `DistributedSampler` does; "drop" leaves the step out on all ranks.
            None shares, with a warning if a rank gets an empty batch.
        rank: this consumer; with `world_size` settled at the first use (iteration, `len`, state): from `torch.distributed` if that is initialised, else from
            the variables of torchrun or mpirun, else 0 of 1.
        world_size: number of consumers that share each step.
        device: where the tensors go, and where the tail is applied.
        pin_memory: whether tensors pass through page-locked memory on their way to a GPU.
        as_numpy: yields NumPy's arrays; torch is not imported.
        with_indices: yields (images, labels, indices).
        with_repeats: each batch ends with a bool array that is True for samples that "pad" has repeated.
        map_fn: called with each batch, a tuple; what it returns is yielded instead, for instance a dict.
        on_error: "fail" raises on a sample that cannot be read or rendered; "mask" gives zeros, and each batch ends with a
            bool array that is False there.
        max_resolution: shorter side to which larger photos are reduced on decoding; 0 leaves them as they are; the dataset's own setting for None.
        prefetch: batches under way ahead of the consumer, at least 1.
        timeout_seconds: longest silence of a server before another is asked.
        patience_seconds: how long a batch may fail to come before `ServerUnavailable` is raised.
        first_answer_seconds: the same when the loader is made, as long as no server has answered anything; raise it if they start together.
        headers: to send along with each request, to the servers' own origins only, as with `token`; neither is ever shown.
        token: to send as bearer token.
        trust_env: whether proxies (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) and passwords (.netrc) of the environment are used.
        transport: makes what sends requests; HTTP by default, and `timeout_seconds` is about that one.

    Raises:
        UnknownDataset, UnknownSplit, InvalidRecipe, InvalidParameter: what was asked does not exist or does not fit.
        ServerUnavailable: no server answers.
        TLSError: a certificate is not accepted, or https was asked of a server that speaks http.

    While it is read, it may also raise `DatasetChanged`, `RanksChanged` (a process group came up after the first use), and whatever else a server refuses with.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        dataset: str,
        split: str = "train",
        *,
        batch_size: int | None = None,
        shuffle: bool | None = None,
        seed: int = 0,
        recipe: str | None = None,
        dtype: DType | None = None,
        drop_last: bool = False,
        uneven: Uneven | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        device: Device = None,
        pin_memory: bool = False,
        as_numpy: bool = False,
        with_indices: bool = False,
        with_repeats: bool = False,
        map_fn: MapFn | None = None,
        on_error: OnError = "fail",
        max_resolution: int | None = None,
        prefetch: int = 4,
        timeout_seconds: float = TIMEOUT_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
        first_answer_seconds: float = FIRST_ANSWER_SECONDS,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        trust_env: bool = True,
        transport: TransportFactory | None = None,
    ) -> None:
        endpoints = find_endpoints(urls, headers, token, trust_env=trust_env)
        self._urls = tuple(each.url for each in endpoints)
        _check_options(self._urls, prefetch, is_numpy=as_numpy, has_device=device is not None or pin_memory)
        first_timeout, make_http = min(timeout_seconds, 2 * first_answer_seconds), partial(HttpTransport, trust_env=trust_env)
        self._make_session = partial(Session, endpoints, transport or partial(make_http, timeout_seconds), patience_seconds)
        choices = Choices(dataset, split, seed, recipe, batch_size, shuffle, drop_last, dtype, on_error, max_resolution, as_numpy)
        _check_uneven(uneven)
        ranks = Ranks(rank, world_size)
        with Session(endpoints, transport or partial(make_http, first_timeout), patience_seconds, first_answer_seconds) as session:
            self._description = description = describe(session, choices)
        delivery = Delivery(description, is_numpy=as_numpy, device=device, is_pinned=pin_memory, has_indices=with_indices, has_repeats=with_repeats)
        super().__init__(EpochReader(description, ranks, uneven, SessionKeeper(self._make_session), delivery, map_fn, prefetch))
        _register(is_numpy=as_numpy)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _register(is_numpy=True)

    def __enter__(self) -> RemoteLoader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self._description.classes

    @property
    def dataset_size(self) -> int:
        """Samples in the split, over all ranks."""
        return self._description.size

    @property
    def version(self) -> str:
        """The dataset's version, the same as long as this loader lives."""
        return self._description.address.version

    @property
    def recipe(self) -> str:
        """The recipe's canonical text."""
        return self._description.address.recipe

    @property
    def epoch(self) -> int:
        """The epoch of the batch that comes next."""
        return self._reader.position.epoch

    def __repr__(self) -> str:
        address = self._description.address
        asked = f"batch_size={address.batch_size}, seed={address.seed}, shuffle={address.shuffle}, recipe={address.recipe!r}"
        settled = self._reader.ranks.settled
        ranks = "" if settled is None else f", rank={settled[0]}, world_size={settled[1]}"
        return f"{type(self).__name__}({', '.join(self._urls)!r}, {address.dataset!r}, {address.split!r}, {asked}{ranks})"

    def close(self) -> None:
        """Close every connection and end the passes under way. A later pass opens new ones; to close again does no harm."""
        self._reader.close()

    def set_epoch(self, epoch: int) -> None:
        """Makes the next pass the one of this epoch; from its beginning, unless a position in it was loaded and is still to be taken up."""
        if epoch < 0:
            raise InvalidParameter(f"epoch {epoch} is below 0.")
        self._reader.choose_epoch(epoch)

    def skip_batches(self, number: int) -> None:
        """Leave out the next batches of the next pass, without fetching them."""
        if number < 0:
            raise InvalidParameter(f"{number} batches cannot be skipped.")
        self._reader.skip(number)

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the batch after the one that was yielded last, and what it depends on. Plain values, the same on every rank.

        Raises:
            PositionUnknown: workers of a DataLoader read this loader.
        """
        return self._reader.save()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Makes the next pass go on where a position was saved, by this loader or one on another number of ranks with the same batch_size * world_size.

        From the end of an epoch it goes on with the next one.

        Raises:
            DatasetChanged: it was saved on another version of the dataset.
            PositionMismatch: it was saved with another seed, recipe, ...; names what differs.
        """
        self._reader.load(state_dict)

    def explain(self, epoch: int, step: int) -> Provenance:
        """Tells where a batch of this rank comes from: for each row its index, file, class, key, and what was done to it."""
        with self._make_session() as session:
            return read_provenance(session.get_json(_url(self._reader.share.address_of(epoch, step), "json")))

    def show(self, epoch: int, step: int) -> Picture:
        """Gives the picture of a batch of this rank; a notebook shows it."""
        address = self._reader.share.address_of(epoch, step)
        with self._make_session() as session:
            return Picture(address.text, bytes(session.get(_url(address, "png")).body))


def _check_options(urls: tuple[str, ...], prefetch: int, *, is_numpy: bool, has_device: bool) -> None:
    if not urls:
        raise InvalidParameter("There is no URL of a server; one looks like http://lab:8000.")
    if prefetch < 1:
        raise InvalidParameter(f"prefetch {prefetch} is below 1.")
    if is_numpy and has_device:
        raise InvalidParameter("device and pin_memory are about torch's tensors; they do not go with as_numpy.")


def _url(address: Address, suffix: str) -> str:
    return f"{address.path}.{suffix}?{address.query}"


def _check_uneven(uneven: Uneven | None) -> None:
    if uneven not in {None, "share", "pad", "drop"}:
        raise InvalidParameter(f"uneven={uneven!r} is not known; it can be 'share', 'pad' or 'drop'.")


def _register(*, is_numpy: bool) -> None:
    """Make loaders count as IterableDatasets, unless that would import torch for somebody who wants NumPy's arrays."""
    if not is_numpy or "torch.utils.data" in sys.modules:
        from service.client.torch_sampler import register_iterable

        register_iterable(RemoteLoader)
