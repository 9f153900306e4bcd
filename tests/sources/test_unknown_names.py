"""Names in the settings that fit nothing are told, with the one that was meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import Settings
from service.sources.catalogue import Catalogue
from service.sources.unknown_names import find_unknown_names

MakeSettings = Callable[..., Settings]


def find(settings: Settings) -> list[str]:
    return find_unknown_names(settings, Catalogue.open(settings))


def test_names_that_are_served_are_not_told(settings: MakeSettings):
    assert find(settings(datasets={"pets": {"layout": "split/class/**", "train": {"batch_size": 2}}})) == []


@pytest.mark.parametrize(("name", "meant"), [("trian", "train"), ("Train", "train"), ("vla", "val"), ("test", "")])
def test_splits(name: str, meant: str, settings: MakeSettings):
    (sentence,) = find(settings(datasets={"pets": {name: {}}}))
    assert sentence == (
        f"There are settings for a split {name!r} of 'pets', which it does not have. It has: train, val." + (f" Did you mean {meant!r}?" if meant else "")
    )


@pytest.mark.parametrize(("name", "meant"), [("PETS", "pets"), ("pet", "pets"), ("flowers", "")])
def test_datasets(name: str, meant: str, settings: MakeSettings):
    (sentence,) = find(settings(datasets={name: {"trian": {}}}))
    assert sentence == f"There are settings for a dataset {name!r}, which is not served. Served: pets." + (f" Did you mean {meant!r}?" if meant else "")


def test_datasets_that_cannot_be_listed_are_known(settings: MakeSettings, dataset_folder: Path):
    (dataset_folder.parent / "birds/train/owl").mkdir(parents=True)
    (dataset_folder.parent / "birds/train/owl/1.png").symlink_to("/etc/hostname")
    assert find(settings(paths=(dataset_folder.parent,), datasets={"birds": {"train": {}}})) == []


def test_allowed_roots_that_are_not_there(settings: MakeSettings, tmp_path: Path):
    assert find(settings(allowed_roots=(tmp_path, tmp_path / "nowhere"))) == [
        f"allowed_roots: there is no folder {tmp_path}/nowhere, so no link is followed to it."
    ]
