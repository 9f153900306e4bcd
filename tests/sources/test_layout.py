"""What a folder's classes and samples are in each layout."""

import os

import pytest
from torchvision.datasets import ImageFolder as TorchvisionFolder

from service.errors import InvalidDataset
from service.sources.image_folder import ImageFolder
from tests.sources.conftest import Plant, Scan
from tests.sources.listings import listing


class TestClassesWithoutSplits:
    def test_are_one_split_as_torchvision_lists_the_folder_itself(self, plant: Plant, scan: Scan):
        root = plant("pets/dog/1.png", "pets/dog/a/b/2.png", "pets/cat/z.png", "pets/cat/a-b/3.png", "pets/empty/notes.txt", "pets/4.png") / "pets"
        dataset = scan(root)
        assert (dataset.layout, dataset.classes, list(dataset.splits)) == ("class/**", ("cat", "dog", "empty"), ["all"])
        samples = [(os.path.relpath(path, root), label) for path, label in TorchvisionFolder(root, allow_empty=True).samples]
        assert listing(dataset, "all") == samples
        assert dataset.notes[0].startswith("Read as class/file: cat, dog are classes")
        assert dataset.notes[1:] == ("Left out beside its folders: 1 image.",)

    def test_leave_out_flat_folders_called_like_splits_unless_the_settings_say_so(self, plant: Plant, scan: Scan):
        root = (
            plant(
                "pets/dog/1.png",
                "pets/cat/2.png",
                "pets/test/3.png",
            )
            / "pets"
        )
        dataset = scan(root)
        assert dataset.classes == ("cat", "dog")
        assert dataset.notes[1].startswith("test/ is left out: it is called like a split")
        said = ImageFolder(root, layout="class/**").scan(10**8, 10**9)
        assert (said.classes, said.notes) == (("cat", "dog", "test"), ())

    def test_with_groups_are_one_split(self, plant: Plant, scan: Scan):
        root = plant("NORMAL/p1/1.png", "PNEUMONIA/p2/2.png", "PNEUMONIA/p3/deep/3.png")
        dataset = scan(root)
        assert (dataset.layout, dataset.classes) == ("class/group/**", ("NORMAL", "PNEUMONIA"))
        assert listing(dataset, "all") == [("NORMAL/p1/1.png", 0), ("PNEUMONIA/p2/2.png", 1), ("PNEUMONIA/p3/deep/3.png", 1)]

    def test_do_not_walk_round(self, plant: Plant, scan: Scan):
        root = plant("cat/1.png", "dog/2.png")
        for place, target in {"cat/up": "..", "again": ".", "dog/cat": "../cat"}.items():
            (root / place).symlink_to(target)
        assert [path for path, _ in listing(scan(root), "all")] == ["cat/1.png", "dog/2.png", "dog/cat/1.png"]


class TestLayoutsThatAreSet:
    def test_are_what_the_folder_is_read_as(self, plant: Plant):
        root = plant("train/NORMAL/1.png", "val/NORMAL/2.png")
        for layout, splits, classes in (
            ("split/class/**", ["train", "val"], ("NORMAL",)),
            ("class/**", ["all"], ("train", "val")),
            ("class/group/**", ["all"], ("train", "val")),
        ):
            dataset = ImageFolder(root, layout=layout).scan(1, 1)
            assert (list(dataset.splits), dataset.classes, dataset.layout, dataset.notes) == (splits, classes, layout, ())

    def test_that_do_not_fit_say_what_was_expected(self, plant: Plant):
        root = plant("cat/1.png")
        with pytest.raises(InvalidDataset, match=r"expected split/class/file with one of .*\. cat/ is left out: no class folder holds its 1 image\."):
            ImageFolder(root, layout="split/class/**").scan(1, 1)
