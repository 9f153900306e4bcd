"""A loader's parts, as `torch.utils.data.DataLoader` has them: what frameworks take apart and put together again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from service.client.position import Position
from service.client.worker_reads import find_worker
from service.errors import InvalidParameter

if TYPE_CHECKING:
    from service.client.epoch_pass import EpochPass
    from service.client.epoch_reader import EpochReader

Key = tuple[int, int]
"""Epoch and step: what a batch is fetched by."""


class BatchDataset:
    """A map-style dataset whose items are batches of this rank, by (epoch, step), in any order and from any process. Batches in a row are fetched ahead.

    Its length is the number of samples in the split, since that is what loops divide by.

    Args:
        reader: whose batches it has.
    """

    def __init__(self, reader: EpochReader) -> None:
        self._reader = reader
        self._pass: EpochPass | None = None
        self._next = Position(-1)

    def __len__(self) -> int:
        return self._reader.description.size

    def __getitem__(self, key: Key) -> Any:  # noqa: ANN401  whatever the loader yields
        if not isinstance(key, tuple):
            raise InvalidParameter(f"This dataset has batches by (epoch, step), not samples: {key!r}. Take `batch_sampler` and `collate_fn` from the loader.")
        position = Position(*key)
        if find_worker() is not None:
            return self._reader.read_batch(position)
        if self._pass is None or self._next != position:
            self._close()
            self._pass = self._reader.read_from(position)
        self._next = Position(position.epoch, position.step + 1)
        return next(self._pass)

    def __getstate__(self) -> dict[str, Any]:
        return {"_reader": self._reader, "_pass": None, "_next": Position(-1)}

    def _close(self) -> None:
        if self._pass is not None:
            self._pass.close()
        self._pass = None


class StepSampler:
    """The keys of the loader's next epoch, in order. The first one begins a pass, as iterating over the loader does.

    Args:
        reader: whose epochs it walks through.
    """

    def __init__(self, reader: EpochReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return self._reader.share.steps

    def __iter__(self) -> Iterator[Any]:
        yield from self._reader.take_keys()  # Only now: a DataLoader with workers makes two iterators for each pass, and reads one.

    def set_epoch(self, epoch: int) -> None:
        """Make the next pass the one of this epoch, and a pass that was begun without having given a batch, too.

        Some loops ask for the iterator first and call this then, as a DataLoader without workers allows.
        """
        self._reader.redirect(epoch)


class StepBatchSampler(StepSampler):
    """The keys, each in a list of its own: a batch sampler for `BatchDataset`.

    Attributes:
        sampler: the keys without lists.
        batch_size: samples in a batch of this rank.
        drop_last: whether an incomplete last step is left out.
    """

    def __init__(self, reader: EpochReader) -> None:
        super().__init__(reader)
        self.sampler = make_sampler(reader)
        self.batch_size = reader.description.address.batch_size
        self.drop_last = reader.description.address.drop_last

    def __iter__(self) -> Iterator[list[Key]]:
        for key in super().__iter__():
            yield [key]


class DataLoaderInterface:
    """What frameworks read of a `torch.utils.data.DataLoader`, some to make another one of it.

    Args:
        reader: reads the batches.
    """

    num_workers = 0
    """The work is done by the service."""

    prefetch_factor = None
    persistent_workers = False
    pin_memory = False
    """Tensors are in page-locked memory already, if that was asked for."""

    pin_memory_device = ""
    timeout = 0
    worker_init_fn = None
    multiprocessing_context = None
    generator = None
    in_order = True

    def __init__(self, reader: EpochReader) -> None:
        self._reader = reader

    @property
    def batch_size(self) -> int:
        """Samples in a full batch of this rank."""
        return self._reader.description.address.batch_size

    @property
    def drop_last(self) -> bool:
        """Whether an incomplete last step is left out."""
        return self._reader.description.address.drop_last

    @property
    def dataset(self) -> BatchDataset:
        """The batches by (epoch, step), of the length of the split, for a DataLoader that is given `batch_sampler` and `collate_fn` of this loader."""
        return BatchDataset(self._reader)

    @property
    def sampler(self) -> StepSampler:
        """The steps of the next epoch; a SequentialSampler or RandomSampler of torch, and has `set_epoch`."""
        return make_sampler(self._reader)

    @property
    def batch_sampler(self) -> StepBatchSampler:
        """The steps of the next epoch, for `dataset`. Leaving some out costs nothing."""
        return StepBatchSampler(self._reader)

    @property
    def collate_fn(self) -> Callable[[Sequence[Any]], Any]:
        """A function that returns the only batch of a list."""
        return take_only

    def __len__(self) -> int:
        """Steps in an epoch, the same for every rank."""
        return self._reader.share.steps

    def __iter__(self) -> EpochPass:
        """Read an epoch, or what a loaded position leaves of it. The state is that of the iterator that was made last."""
        return self._reader.begin()


def make_sampler(reader: EpochReader) -> StepSampler:
    """Return a sampler; where torch is loaded, a SequentialSampler or RandomSampler, by which frameworks tell whether it shuffles."""
    if "torch.utils.data" not in sys.modules:
        return StepSampler(reader)
    from service.client.torch_sampler import RandomSteps, SequentialSteps

    return RandomSteps(reader) if reader.description.address.shuffle else SequentialSteps(reader)


def take_only(batches: Sequence[Any]) -> Any:  # noqa: ANN401  whatever the loader yields
    """Return the batch: the `collate_fn` that goes with `StepBatchSampler`."""
    (batch,) = batches
    return batch
