"""Links to a store beside the dataset, as in the caches of Hugging Face, DVC and git-annex."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InvalidDataset, UnreadableImage
from service.sources.image_folder import ImageFolder
from service.sources.source import Dataset
from tests.sources.conftest import Plant
from tests.sources.listings import listing, listing_of_torchvision


class TestAllowedRoots:
    @pytest.fixture
    def snapshot(self, plant: Plant, make_image: Callable[..., Path]) -> Path:
        root = plant("hub/snapshots/0f1e/README.md") / "hub/snapshots/0f1e"
        for number, place in enumerate(("train/cat/1.png", "train/dog/2.png", "val/cat/3.png")):
            blob = make_image(plant() / f"hub/blobs/{number}.png", (10 + number, 9)).rename(plant() / f"hub/blobs/{number}")
            (root / place).parent.mkdir(parents=True)
            (root / place).symlink_to(os.path.relpath(blob, (root / place).parent))
        return root

    def allow(self, path: Path, *roots: Path) -> Dataset:
        return ImageFolder(path, allowed_roots=tuple(os.path.realpath(each) for each in roots)).scan(10**8, 10**9)

    def test_are_followed_and_read(self, snapshot: Path):
        dataset = self.allow(snapshot, snapshot.parents[1])
        assert (dataset.refused, dataset.notes, dataset.classes) == (0, (), ("cat", "dog"))
        assert [path for path, _ in listing(dataset, "train")] == [path for path, _ in listing_of_torchvision(snapshot, "train")]
        for split in dataset.splits.values():
            for index in range(len(split)):
                file = split.file(index)
                assert dataset.reader.pixels(file).shape == (9, 9 + int(Path(file.path).stem), 3)
                assert dataset.reader.original(file) == (snapshot / file.path).resolve()

    def test_are_told_where_they_are_not_allowed(self, snapshot: Path, plant: Plant):
        plant("train/cat/own.png", root=snapshot)
        dataset = self.allow(snapshot, snapshot.parent)  # a folder above, yet not that of the blobs
        assert listing(dataset, "train") == [("train/cat/own.png", 0)]
        assert (dataset.refused, dataset.refused_to) == (3, str(snapshot.parents[1] / "blobs"))
        (note,) = dataset.notes
        assert note.startswith("3 links are refused, since they lead out of the dataset's folder. To follow such links, name the folder that they lead to")
        assert "BATCHLENS_ALLOWED_ROOTS" in note
        assert str(snapshot.parents[1]) not in note

    def test_are_told_with_that_way_out_where_there_is_nothing_else(self, snapshot: Path):
        with pytest.raises(InvalidDataset, match=r"3 of its links lead out of it and are refused: .* allowed_roots \(BATCHLENS_ALLOWED_ROOTS\)"):
            self.allow(snapshot)

    def test_begin_as_another_folder_does(self, snapshot: Path, plant: Plant):
        plant("train/cat/own.png", root=snapshot)
        assert self.allow(snapshot, snapshot.parents[1] / "blo").refused == 3

    def test_hold_folders_too(self, snapshot: Path, plant: Plant):
        store = plant("store/deep/4.png") / "store"
        (store / "round").symlink_to("../store")
        (snapshot / "train/owl").symlink_to(store)
        dataset = self.allow(snapshot, snapshot.parents[1], store)
        assert [path for path, _ in listing(dataset, "train")] == ["train/cat/1.png", "train/dog/2.png", "train/owl/deep/4.png"]
        assert dataset.refused == 0

    def test_do_not_let_a_link_lead_elsewhere_after_the_listing(self, snapshot: Path, make_image: Callable[..., Path]):
        dataset = self.allow(snapshot, snapshot.parents[1])
        file = dataset.splits["train"].file(0)
        secret = make_image(snapshot.parents[2] / "secret.png")
        os.utime(secret, ns=(file.mtime_ns, file.mtime_ns))
        (snapshot / file.path).unlink()
        (snapshot / file.path).symlink_to(secret)
        for ask in (dataset.reader.pixels, dataset.reader.size, dataset.reader.original):
            with pytest.raises(UnreadableImage, match="leads out of the dataset's folder"):
                ask(file)
