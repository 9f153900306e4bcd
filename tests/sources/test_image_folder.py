"""Image folders: the same listing as torchvision's, and what happens where theirs would go wrong."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.datasets import ImageFolder as TorchvisionFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from service.errors import InvalidDataset, UnreadableImage
from service.sources.catalogue import Catalogue
from service.sources.image_folder import EXTENSIONS, ImageFolder
from service.sources.source import Dataset
from tests.sources.conftest import AsNobody, Plant, Scan
from tests.sources.listings import listing, listing_of_torchvision


def assert_same(dataset: Dataset, root: Path, split: str) -> None:
    assert listing(dataset, split) == listing_of_torchvision(root, split)
    assert {name: dataset.label_of(name) for name in dataset.classes} == TorchvisionFolder(root / split, allow_empty=True).class_to_idx


def test_extensions_are_torchvisions():
    assert EXTENSIONS == IMG_EXTENSIONS


def test_photos(photos: Path, scan: Scan):
    dataset = scan(photos)
    assert dataset.name == "hymenoptera_data"
    assert dataset.classes == ("ants", "bees")
    assert {name: dataset.class_counts(split) for name, split in dataset.splits.items()} == {
        "train": {"ants": 123, "bees": 121},
        "val": {"ants": 70, "bees": 83},
    }
    assert dataset.refused == 0
    for split in ("train", "val"):
        assert_same(dataset, photos, split)


def test_demo_data(scan: Scan):
    root = Path(__file__).parents[2] / "data" / "shapes"
    dataset = scan(root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 75, "val": 25}
    assert_same(dataset, root, "train")
    assert_same(dataset, root, "val")


def test_splits_in_order_of_their_names(plant: Plant, scan: Scan):
    assert list(scan(plant("val/a/1.png", "train/a/1.png", "Test/a/1.png")).splits) == ["Test", "train", "val"]


def test_every_extension_in_any_case(plant: Plant, scan: Scan):
    root = plant(*(f"train/a/{number}{written}" for number, suffix in enumerate(EXTENSIONS) for written in (suffix, suffix.upper(), suffix.title())))
    assert len(scan(root).splits["train"]) == 3 * len(EXTENSIONS)
    assert_same(scan(root), root, "train")


def test_other_files_are_passed_over(plant: Plant, scan: Scan):
    root = plant(
        "README.md", "top.jpg", "train/labels.csv", "train/loose.jpg", "train/a/1.jpg", "train/a/2.gif", "train/a/3.jpg.txt", "train/a/jpg", "train/a/Thumbs.db"
    )
    assert listing(scan(root), "train") == [("train/a/1.jpg", 0)]
    assert_same(scan(root), root, "train")


def test_folders_within_a_class_are_sorted_as_text(plant: Plant, scan: Scan):
    # By their whole path: "a b" and "a-b" come before "a/...", since a space and a hyphen come before the slash.
    root = plant("train/x/a/z.jpg", "train/x/a b/y.jpg", "train/x/a-b/x.jpg", "train/x/a/a/w.jpg", "train/x/ab.jpg", "train/x/B/1.jpg", "train/x/10.jpg")
    assert [path for path, _ in listing(scan(root), "train")] == [
        "train/x/10.jpg",
        "train/x/ab.jpg",
        "train/x/B/1.jpg",
        "train/x/a/z.jpg",
        "train/x/a b/y.jpg",
        "train/x/a-b/x.jpg",
        "train/x/a/a/w.jpg",
    ]
    assert_same(scan(root), root, "train")


def test_hidden_folders_are_neither_splits_nor_classes(plant: Plant, scan: Scan):
    root = plant("train/b/1.jpg", "train/.ipynb_checkpoints/1.jpg", ".cache/b/1.jpg", "lost+found/b/1.jpg", "__MACOSX/train/._1.jpg", "train/__MACOSX/1.jpg")
    dataset = scan(root)
    assert (list(dataset.splits), dataset.classes) == (["train"], ("b",))
    assert listing(dataset, "train") == [("train/b/1.jpg", 0)]


def test_hidden_names_within_a_class_count_as_torchvisions_do(plant: Plant, scan: Scan):
    root = plant("train/a/.1.jpg", "train/a/.more/2.jpg", "train/a/3.jpg")
    assert len(scan(root).splits["train"]) == 3
    assert_same(scan(root), root, "train")


def test_classes_are_the_union_over_splits(plant: Plant, scan: Scan):
    dataset = scan(plant("train/ant/1.jpg", "train/bee/1.jpg", "val/bee/2.jpg", "val/wasp/3.jpg"))
    assert dataset.classes == ("ant", "bee", "wasp")
    assert listing(dataset, "train") == [("train/ant/1.jpg", 0), ("train/bee/1.jpg", 1)]
    assert listing(dataset, "val") == [("val/bee/2.jpg", 1), ("val/wasp/3.jpg", 2)]
    assert dataset.class_counts(dataset.splits["val"]) == {"ant": 0, "bee": 1, "wasp": 1}


def test_an_empty_class_folder_is_a_class(plant: Plant, scan: Scan):
    root = plant("train/ant/1.jpg", "train/cicada/1.jpg")
    (root / "train" / "bee").mkdir()
    assert scan(root).classes == ("ant", "bee", "cicada")
    assert_same(scan(root), root, "train")


def test_a_folder_without_images_is_no_split_and_brings_no_classes(plant: Plant, scan: Scan):
    dataset = scan(plant("train/ant/1.jpg", "docs/aardvark/notes.txt", "logs/zebra/today.log"))
    assert (list(dataset.splits), dataset.classes) == (["train"], ("ant",))


def test_no_image_at_all(plant: Plant, scan: Scan):
    with pytest.raises(InvalidDataset, match=r"holds no image that can be served: expected split/class/file with one of \.jpg, ") as caught:
        scan(plant("train/ant/notes.txt"))
    assert "links" not in caught.value.detail


def test_the_working_folder(plant: Plant, scan: Scan, monkeypatch: pytest.MonkeyPatch):
    root = plant("pets/train/cat/1.jpg", "pets/train/dog/deep/2.jpg") / "pets"
    monkeypatch.chdir(root)
    wanted = [("train/cat/1.jpg", 0), ("train/dog/deep/2.jpg", 1)]
    for path in (Path(), Path("train/.."), Path("../pets"), root):
        assert listing(scan(path), "train") == wanted
        assert scan(path).name == "pets"
    monkeypatch.chdir(root / "train")
    assert scan(Path("..")).name == "pets"


@pytest.mark.parametrize("name", ["with space", "ünïcödé", "犬", "a[b]c", "50%", "#1?", "new\nline", "e\u0301", "-o", "1e5"])
def test_odd_names(name: str, plant: Plant, scan: Scan):
    root = plant(f"{name}/{name}/{name}.jpg", f"{name}/other/{name}/{name}.jpg")
    assert scan(root).classes == tuple(sorted((name, "other")))
    assert_same(scan(root), root, name)


def test_file_names_that_are_not_utf8(plant: Plant, scan: Scan, make_image: Callable[..., Path]):
    make_image(plant() / os.fsdecode(b"train/a/caf\xe9.png"), size=(5, 4))
    dataset = scan(plant(b"train/a/\xff/\xfe.jpg"))
    files = [dataset.splits["train"].file(index) for index in range(2)]
    assert [file.label for file in files] == ["train/a/caf\ufffd.png", "train/a/\ufffd/\ufffd.jpg"]
    assert [os.fsencode(file.path) for file in files] == [b"train/a/caf\xe9.png", b"train/a/\xff/\xfe.jpg"]
    assert dataset.reader.pixels(files[0]).shape == (4, 5, 3)
    assert_same(dataset, plant(), "train")


@pytest.mark.parametrize(("place", "shown"), [(b"caf\xe9/a/1.jpg", "caf\ufffd"), (b"train/\xff/1.jpg", "\ufffd"), (b"train/\xff/deep/1.jpg", "\ufffd")])
def test_split_and_class_names_that_are_not_utf8(place: bytes, shown: str, plant: Plant, scan: Scan):
    with pytest.raises(InvalidDataset, match=f"name '{shown}' is not UTF-8"):
        scan(plant(place, "val/a/1.jpg"))


def test_a_name_that_is_not_utf8_beside_the_splits_does_not_matter(plant: Plant, scan: Scan):
    assert scan(plant(b"\xff/\xff/notes.txt", "train/a/1.jpg")).classes == ("a",)


def test_dataset_name_that_is_not_utf8(plant: Plant, scan: Scan):
    root = plant(b"caf\xe9/train/a/1.jpg") / os.fsdecode(b"caf\xe9")
    with pytest.raises(InvalidDataset, match="is not UTF-8") as caught:
        scan(root)
    caught.value.detail.encode()


def test_a_folder_above_whose_name_is_not_utf8(plant: Plant, scan: Scan):
    dataset = scan(plant(b"caf\xe9/pets/train/a/1.jpg") / os.fsdecode(b"caf\xe9/pets"))
    assert dataset.root.endswith("/caf\ufffd/pets")
    assert listing(dataset, "train") == [("train/a/1.jpg", 0)]


def test_the_version_is_what_it_always_was(plant: Plant, scan: Scan):
    """Saved links carry versions: the same files must keep theirs. These numbers are the contract, not a calculation to be repeated."""
    places = [b"train/ant/1.jpg", b"train/ant/a b/2.PNG", b"train/ant/a/3.jpeg", b"train/bee/\xff.webp", "val/bee/ü.bmp".encode(), b"val/wasp/4.tif"]
    root = plant(*places)
    for number, place in enumerate(places):
        (root / os.fsdecode(place)).write_bytes(bytes(number))
        os.utime(root / os.fsdecode(place), ns=(0, 1700000000123456789 + number))
    (root / "val/ant").mkdir()
    (root / "train/bee/5.jpg").symlink_to("nowhere.jpg")
    dataset = scan(root)
    assert [place for place, _ in listing(dataset, "train")] == [
        "train/ant/1.jpg",
        "train/ant/a/3.jpeg",
        "train/ant/a b/2.PNG",
        "train/bee/5.jpg",
        os.fsdecode(b"train/bee/\xff.webp"),
    ]
    assert dataset.version == "ffc2d9171c8f8d37"


class TestLinks:
    def test_inside_the_root_are_followed(self, plant: Plant, scan: Scan):
        root = plant("train/a/1.jpg", "train/b/2.jpg", "pool/x/3.jpg")
        (root / "train/a/4.jpg").symlink_to(root / "train/b/2.jpg")
        (root / "train/b/more").symlink_to("../../pool/x")
        (root / "val").symlink_to("train")
        (root / "train/c").symlink_to("b", target_is_directory=True)
        dataset = scan(root)
        assert (list(dataset.splits), dataset.refused) == (["pool", "train", "val"], 0)
        assert ("train/b/more/3.jpg", dataset.label_of("b")) in listing(dataset, "train")
        assert [path for path, _ in listing(dataset, "train")] == [path for path, _ in listing_of_torchvision(root, "train")]
        assert [path for path, _ in listing(dataset, "val")] == [path for path, _ in listing_of_torchvision(root, "val")]

    def test_out_of_the_root_are_refused_and_counted(self, plant: Plant, scan: Scan):
        root = plant("in/train/a/1.jpg", "out/split/a/2.jpg", "out/split/zebra/3.jpg", "in-side/4.jpg") / "in"
        (root / "train/a/file.jpg").symlink_to("../../../out/split/a/2.jpg")
        (root / "train/a/deep").symlink_to(root.parent / "out")
        (root / "train/ant").symlink_to("../../out/split/a")
        (root / "val").symlink_to(root.parent / "out/split")
        (root / "train/a/sibling").symlink_to("../../../in-side")  # its path begins as the root's does
        (root / "train/a/notes.txt").symlink_to("/etc/hostname")  # no image, so nobody asks for it
        dataset = scan(root)
        assert (listing(dataset, "train"), dataset.refused) == ([("train/a/1.jpg", 0)], 5)
        assert (list(dataset.splits), dataset.classes) == (["train"], ("a",))

    def test_to_the_whole_machine_are_not_walked(self, plant: Plant, scan: Scan):
        root = plant("train/a/1.jpg")
        (root / "train/a/everything").symlink_to("/")
        assert scan(root).refused == 1

    def test_only_links_out_of_it(self, plant: Plant, scan: Scan):
        root = plant("in/notes.txt", "out/train/a/2.jpg") / "in"
        (root / "train").symlink_to("../out/train")
        with pytest.raises(InvalidDataset, match="1 of its links lead out of it and are refused: serve what they point to"):
            scan(root)

    @pytest.mark.parametrize("target", [".", "..", "../..", "../../.."])
    def test_back_to_a_folder_above_end(self, target: str, plant: Plant, scan: Scan):
        root = plant("pets/train/a/1.jpg", "pets/train/a/deep/2.jpg") / "pets"
        (root / "train/a/deep/loop").symlink_to(target)
        dataset = scan(root)
        assert [path for path, _ in listing(dataset, "train")] == ["train/a/1.jpg", "train/a/deep/2.jpg"]
        assert dataset.refused == 0

    def test_back_to_a_folder_above_among_splits_and_classes(self, plant: Plant, scan: Scan):
        root = plant("train/a/1.jpg")
        (root / "again").symlink_to(".")
        (root / "train/again").symlink_to("..")
        (root / "train/once-more").symlink_to(".")
        dataset = scan(root)
        assert (list(dataset.splits), dataset.classes) == (["train"], ("a",))

    def test_between_two_classes_end(self, plant: Plant, scan: Scan):
        root = plant("train/a/1.jpg", "train/b/2.jpg")
        (root / "train/a/to-b").symlink_to("../b")
        (root / "train/b/to-a").symlink_to("../a")
        assert [path for path, _ in listing(scan(root), "train")] == ["train/a/1.jpg", "train/a/to-b/2.jpg", "train/b/2.jpg", "train/b/to-a/1.jpg"]

    def test_that_dangle_stay_listed_and_say_what_is_wrong(self, plant: Plant, scan: Scan):
        root = plant("train/a/1.jpg")
        (root / "train/a/gone.jpg").symlink_to("nowhere.jpg")
        (root / "train/a/self.jpg").symlink_to("self.jpg")
        (root / "train/a/outside.jpg").symlink_to("/nowhere/1.jpg")
        (root / "train/gone").symlink_to("nowhere")
        dataset = scan(root)
        assert [path for path, _ in listing(dataset, "train")] == ["train/a/1.jpg", "train/a/gone.jpg", "train/a/self.jpg"]
        assert (dataset.classes, dataset.refused) == (("a",), 1)
        for index, reason in ((1, "No such file"), (2, "Too many levels of symbolic links")):
            with pytest.raises(UnreadableImage, match=reason):
                dataset.reader.pixels(dataset.splits["train"].file(index))

    def test_to_a_dataset_keep_their_own_name(self, plant: Plant, scan: Scan):
        root = plant("store/v7/train/a/1.jpg")
        (root / "pets").symlink_to("store/v7")
        dataset = scan(root / "pets")
        assert (dataset.name, dataset.refused, listing(dataset, "train")) == ("pets", 0, [("train/a/1.jpg", 0)])


class TestUnreadableFolders:
    def test_a_class_is_an_error_and_not_empty(self, public_folder: Path, plant: Plant, scan: Scan, as_nobody: AsNobody):
        (plant("train/a/1.jpg", "train/b/2.jpg", root=public_folder) / "train/b").chmod(0)
        with as_nobody(), pytest.raises(InvalidDataset, match="train/b cannot be listed: Permission denied"):
            scan(public_folder)

    def test_a_dataset_among_others_is_found_and_says_why_it_cannot_be_listed(self, public_folder: Path, plant: Plant, as_nobody: AsNobody, scan: Scan):
        (plant("locked/train/a/1.jpg", "pets/train/a/1.jpg", root=public_folder) / "locked").chmod(0)
        with as_nobody():
            locked, pets = ImageFolder.discover(public_folder).sources
            with pytest.raises(InvalidDataset, match="locked cannot be listed: Permission denied"):
                locked.scan(1, 1)
        assert (locked.name, pets.name) == ("locked", "pets")

    def test_the_named_one_is_an_error(self, public_folder: Path, plant: Plant, as_nobody: AsNobody):
        (plant("pets/train/a/1.jpg", root=public_folder) / "pets").chmod(0)
        with as_nobody(), pytest.raises(InvalidDataset, match="pets cannot be listed: Permission denied"):
            Catalogue([public_folder / "pets"], 1, 1)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(lambda name: name not in {".", ".."})
VISIBLE = NAMES.filter(lambda name: not name.startswith(".") and name not in {"lost+found", "__MACOSX"})
ODD = NAMES | st.binary(min_size=1, max_size=8).filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw not in {b".", b".."}).map(os.fsdecode)
FILES = st.tuples(st.lists(ODD, max_size=3), ODD, st.sampled_from([*EXTENSIONS, ".JPG", ".Png", ".gif", ".txt", ""])).map(
    lambda parts: (*parts[0], parts[1] + parts[2])
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(VISIBLE, st.lists(FILES, max_size=6), min_size=1, max_size=4))
def test_any_tree_is_listed_as_torchvision_lists_it(tree: dict[str, list[tuple[str, ...]]]):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "train" / "0").mkdir(parents=True)
        (root / "train" / "0" / "1.jpg").touch()
        for name, files in tree.items():
            (root / "train" / name).mkdir(exist_ok=True)
            for parts in files:
                path = (root / "train" / name).joinpath(*parts)
                with suppress(OSError):  # a name that a file or a folder has already
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
        assert_same(ImageFolder(root).scan(1, 1), root, "train")
        alone = ImageFolder(root / "train", layout="class/**").scan(1, 1)
        assert [(f"train/{path}", label) for path, label in listing(alone, "all")] == listing_of_torchvision(root, "train")
