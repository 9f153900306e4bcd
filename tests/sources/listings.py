"""A listing in the form in which tests compare it, ours and torchvision's."""

import os
from pathlib import Path

from torchvision.datasets import ImageFolder as TorchvisionFolder

from service.sources.source import Dataset


def listing(dataset: Dataset, split: str) -> list[tuple[str, int]]:
    """A split as pairs of path and label."""
    found = dataset.splits[split]
    return [(found.file(index).path, int(found.labels[index])) for index in range(len(found))]


def listing_of_torchvision(root: Path, split: str) -> list[tuple[str, int]]:
    folder = TorchvisionFolder(root / split, allow_empty=True)
    return [(os.path.relpath(path, root), label) for path, label in folder.samples]
