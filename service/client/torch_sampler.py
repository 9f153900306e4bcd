"""The loader's samplers as torch's classes; imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, RandomSampler, SequentialSampler

from service.client.data_loader import BatchDataset, StepSampler

if TYPE_CHECKING:
    from service.client.epoch_reader import EpochReader


class SequentialSteps(StepSampler, SequentialSampler):
    """The steps of epochs that are not shuffled."""

    def __init__(self, reader: EpochReader) -> None:
        StepSampler.__init__(self, reader)
        self.data_source = BatchDataset(reader)


class RandomSteps(StepSampler, RandomSampler):
    """The steps of epochs that are shuffled: by the service, from the seed in the address."""

    def __init__(self, reader: EpochReader) -> None:
        StepSampler.__init__(self, reader)
        self.data_source = BatchDataset(reader)
        self.replacement = False
        self.generator = None
        self._num_samples = None


def register_iterable(kind: type[Any]) -> None:
    """Make a class count as an IterableDataset: a DataLoader around it then iterates instead of indexing."""
    IterableDataset.register(kind)
