"""Which datasets are found at a path, how deep, and what they are called."""

from pathlib import Path

import pytest

from service.sources.discovery import Discovery
from tests.sources.conftest import AsNobody, Plant


def find(path: Path, **layouts: str) -> list[tuple[str, str]]:
    """Names of the datasets, and where they are below the path."""
    return [(each.name, each.path.relative_to(path).as_posix()) for each in Discovery(path, layouts).found]


IMAGENET = (
    "Data/CLS-LOC/train/n01440764/n01440764_18.JPEG",
    "Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG",
    "Data/CLS-LOC/test/ILSVRC2012_test_00000001.JPEG",
    "Annotations/CLS-LOC/train/n01440764/n01440764_18.xml",
    "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml",
    "ImageSets/CLS-LOC/train_cls.txt",
)


class TestNamesOfSplits:
    @pytest.mark.parametrize("below", ["", "patient/", "patient/study/", "patient/study/series/"])
    @pytest.mark.parametrize("split", ["train", "Training", "VAL", "dev"])
    def test_make_one_dataset_however_deep_images_lie(self, split: str, below: str, plant: Plant):
        root = plant(f"xray/{split}/NORMAL/{below}1.png", f"xray/{split}/PNEUMONIA/{below}2.png")
        assert find(root / "xray") == [("xray", ".")]
        assert find(root) == [("xray", "xray")]

    def test_count_more_than_what_lies_in_another_split(self, plant: Plant):
        assert find(plant("train/a/1.png", "extra/train/a/1.png", "x/y/z/1.png")) == [(plant().name, ".")]

    def test_do_not_count_where_they_hold_no_classes(self, plant: Plant):
        root = plant("pets/train/cat/1.png", "cars/train/bus/1.png", "test/report.txt", "dev/1.png")
        assert find(root) == [("cars", "cars"), ("pets", "pets")]

    def test_are_looked_for_below_links_that_stay_inside(self, plant: Plant):
        root = plant("pool/deep/1.png")
        (root / "pets/train/cat").mkdir(parents=True)
        (root / "pets/train/cat/everything").symlink_to("/")
        (root / "pets/train/cat/round").symlink_to("..")
        assert ("pets", "pets") not in find(root)
        (root / "pets/train/cat/1.png").symlink_to("../../../pool/blob")
        assert ("pets", "pets") in find(root)


class TestWrappers:
    @pytest.mark.parametrize("above", ["", "imagenet-object-localization-challenge/"])
    def test_of_imagenet_are_looked_through(self, above: str, plant: Plant):
        root = plant(*(f"{above}ILSVRC/{each}" for each in IMAGENET))
        name = above.rstrip("/") or "ILSVRC"
        assert find(root) == [(name, f"{above}ILSVRC/Data/CLS-LOC")]
        assert find(root / above / "ILSVRC") == [("ILSVRC", "Data/CLS-LOC")]
        assert find(root / above / "ILSVRC/Data/CLS-LOC") == [("CLS-LOC", ".")]

    def test_beside_datasets_are_looked_through(self, plant: Plant):
        root = plant("pets/train/cat/1.png", *(f"ILSVRC/{each}" for each in IMAGENET))
        assert find(root) == [("ILSVRC", "ILSVRC/Data/CLS-LOC"), ("pets", "pets")]

    def test_whose_name_says_nothing_leave_it_to_the_path(self, plant: Plant):
        root = plant("datasets--lab--pets/snapshots/0f1e2d/train/cat/1.png", "datasets--lab--pets/blobs/9a") / "datasets--lab--pets"
        assert find(root) == [("datasets--lab--pets", "snapshots/0f1e2d")]

    def test_say_where_the_dataset_is(self, plant: Plant):
        (found,) = Discovery(plant("animals/release/v2/train/cat/1.png"), {}).found
        assert (found.name, found.notes) == ("animals", ("Found deeper down, at animals/release/v2.",))

    def test_of_several_datasets_are_told_and_not_served(self, plant: Plant):
        discovery = Discovery(plant("pets/train/cat/1.png", "more/cars/train/bus/1.png", "more/birds/val/owl/1.png"), {})
        assert [each.name for each in discovery.found] == ["pets"]
        assert discovery.notes == ["more/ is left out: it holds several datasets, birds, cars. Name it as a path of its own."]

    def test_that_are_too_many_are_not_looked_through(self, plant: Plant):
        assert find(plant("1/2/3/4/train/cat/1.png")) == [("1", "1/2/3/4")]
        assert find(plant("1/2/3/4/5/train/cat/1.png", root=plant() / "other")) == []


class TestFoldersOfDatasets:
    def test_hold_datasets_of_every_layout(self, plant: Plant):
        root = plant("pets/train/cat/1.png", "flowers/rose/1.png", "birds/odd/owl/1.png", "birds/even/owl/1.png", "scans/a/p1/1.png", "scans/b/p2/1.png")
        assert [name for name, _ in find(root)] == ["birds", "flowers", "pets", "scans"]

    def test_without_names_of_splits_are_told(self, plant: Plant):
        root = plant("lab/birds/odd/owl/1.png", "lab/cars/even/bus/1.png") / "lab"
        discovery = Discovery(root, {})
        assert [each.name for each in discovery.found] == ["birds", "cars"]
        assert discovery.notes == ['Read as a folder of datasets: birds, cars. layout = "class/group/**" in [datasets.lab] reads it as one.']

    def test_tell_what_has_images_and_is_no_dataset(self, plant: Plant):
        root = plant("pets/train/cat/1.png", "flat/1.png", "masks/train/1.png", "masks/val/2.png", "docs/notes.txt", "docs/more/notes.txt")
        assert Discovery(root, {}).notes == [
            "flat/ is left out: its images lie in no class folder.",
            'masks/ is left out: the images in train, val lie in no class folder. layout = "class/**" in [datasets.masks] reads these as classes.',
        ]


class TestSettings:
    def test_make_a_dataset_of_the_path(self, plant: Plant):
        root = plant("xray/NORMAL/p1/1/2/3.png", "xray/PNEUMONIA/train/1/2.png") / "xray"
        assert find(root, xray="class/group/**") == [("xray", ".")]
        assert find(root.parent, xray="class/group/**") == [("xray", "xray")]

    def test_of_folders_make_a_folder_of_datasets_of_the_path(self, plant: Plant):
        root = plant("flowers/rose/1.png", "flowers/tulip/1.png", "pets/cat/1.png")
        assert find(root) == [(root.name, ".")]
        assert find(root, flowers="class/**") == [("flowers", "flowers"), ("pets", "pets")]

    def test_of_a_dataset_called_like_a_split_leave_splits_alone(self, plant: Plant):
        root = plant("pets/train/cat/1.png", "pets/test/cat/1.png") / "pets"
        assert find(root, test="class/**") == [("pets", ".")]

    def test_of_the_path_count_more_than_those_of_its_folders(self, plant: Plant):
        root = plant("pets/train/cat/1.png") / "pets"
        assert find(root, pets="class/**", train="class/**") == [("pets", ".")]


class TestLockedFolders:
    @pytest.mark.parametrize("locked", ["", "train", "train/cat"])
    def test_of_the_only_dataset_are_found(self, locked: str, public_folder: Path, plant: Plant, as_nobody: AsNobody):
        (plant("train/cat/1.png", root=public_folder) / locked).chmod(0)
        with as_nobody():
            assert [path for _, path in find(public_folder)] == ["."]

    def test_called_like_a_split_do_not_hide_datasets(self, public_folder: Path, plant: Plant, as_nobody: AsNobody):
        (plant("pets/train/cat/1.png", "dev/x/1.png", root=public_folder) / "dev").chmod(0)
        with as_nobody():
            assert [name for name, _ in find(public_folder)] == ["dev", "pets"]
