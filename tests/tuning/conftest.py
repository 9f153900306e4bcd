"""Settings and subjects over the small dataset."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import Settings
from service.tuning.subject import Subject


@pytest.fixture
def make_settings(settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings for `dataset_folder`, with a small slab."""

    def make(**flags: object) -> Settings:
        return settings(**{"slab_bytes": 16 << 20, **flags})

    return make


@pytest.fixture
def subject(make_settings: Callable[..., Settings]) -> Subject:
    """The split `train` of `pets`: 9 samples."""
    return Subject.find(make_settings(), None, None, "Resize(24) | CenterCrop(24) | RandomHorizontalFlip() | ToTensor()")


@pytest.fixture
def damaged_subject(make_settings: Callable[..., Settings], dataset_folder: Path) -> Subject:
    """The same with one file that is no image."""
    (dataset_folder / "train/cat/cat-0.jpg").write_bytes(b"no image")
    return Subject.find(make_settings(), None, None, "Resize(24) | CenterCrop(24) | RandomHorizontalFlip() | ToTensor()")
