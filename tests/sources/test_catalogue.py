"""What is found at the paths an operator names, and what is said where nothing is."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import DatasetUnavailable, InvalidDataset, NoDatasetFound, UnknownDataset
from service.sources.catalogue import Catalogue
from service.sources.image_folder import ImageFolder
from service.sources.index_cache import IndexCache
from tests.sources.conftest import AsNobody, Plant


def find(*paths: Path) -> list[str]:
    return [dataset.name for dataset in Catalogue(paths, 10**8, 10**9).datasets]


def test_a_dataset_folder(plant: Plant):
    assert find(plant("pets/train/cat/1.jpg") / "pets") == ["pets"]


def test_a_folder_of_datasets_in_order_of_their_names(plant: Plant):
    assert find(plant("pets/train/cat/1.jpg", "Cars/val/bus/1.png", "birds/x/owl/1.bmp", root=plant())) == ["Cars", "birds", "pets"]


def test_several_paths_in_the_order_they_were_named(plant: Plant):
    root = plant("b/pets/train/cat/1.jpg", "a/cars/train/bus/1.jpg", "a/birds/train/owl/1.jpg")
    assert find(root / "b/pets", root / "a") == ["pets", "birds", "cars"]


def test_what_is_no_dataset_beside_datasets_is_passed_over(plant: Plant):
    root = plant("pets/train/cat/1.jpg", "notes/2024/may/todo.txt", "flat/1.jpg", "README.md", ".hidden/train/cat/1.jpg", "zip/train.zip")
    (root / "empty").mkdir()
    (root / "dangling").symlink_to("nowhere")
    assert find(root) == ["pets"]


def test_folders_without_splits_beside_datasets_are_datasets(plant: Plant):
    root = plant("pets/train/cat/1.jpg", "flowers/rose/1.jpg", "flowers/tulip/1.jpg")
    flowers, pets = Catalogue([root], 10**8, 10**9).datasets
    assert (list(flowers.splits), flowers.classes) == (["all"], ("rose", "tulip"))
    assert (list(pets.splits), pets.classes, pets.notes) == (["train"], ("cat",), ())


def test_what_is_left_out_beside_datasets_is_noted(plant: Plant):
    catalogue = Catalogue([plant("pets/train/cat/1.jpg", "flat/1.jpg")], 10**8, 10**9)
    assert catalogue.notes == ("flat/ is left out: its images lie in no class folder.",)


def test_a_dataset_with_pictures_deeper_down_is_one_dataset(plant: Plant):
    assert find(plant("pets/Val/cat/1.jpg", "pets/outputs/2024/may/1.jpg") / "pets") == ["pets"]
    assert find(plant("pets/even/cat/1.jpg", "pets/odd/cat/deep/1.jpg", "pets/odd/cat/1.jpg") / "pets") == ["pets"]


def test_links_to_datasets_keep_their_own_names(plant: Plant):
    root = plant("served/pets/train/cat/1.jpg", "store/v7/train/owl/1.jpg")
    (root / "served/birds").symlink_to("../store/v7")
    (root / "latest").symlink_to("served")
    assert find(root / "served") == find(root / "latest") == ["birds", "pets"]
    assert find(root / "served/birds") == ["birds"]


def test_a_folder_of_datasets_that_links_to_itself(plant: Plant):
    root = plant("pets/train/cat/1.jpg")
    (root / "self").symlink_to(".")
    (root / "pets/up").symlink_to("..")
    assert find(root) == ["pets"]


def test_the_repositorys_own_data():
    assert find(Path(__file__).parents[2] / "data") == ["shapes"]


def test_one_name_twice(plant: Plant):
    root = plant("a/pets/train/cat/1.jpg", "b/pets/train/dog/1.jpg")
    with pytest.raises(InvalidDataset, match=r"Two datasets are called 'pets': .*/a/pets and one below .*/b\. Rename one folder"):
        find(root / "a", root / "b")
    with pytest.raises(InvalidDataset, match="Two datasets are called 'pets'"):
        find(root / "a", root / "a")


@pytest.mark.parametrize(
    "place", ["notes.txt", "1.jpg", "train/1.jpg", "train/cat/notes.txt", "a/b/c/d/1.jpg", "a/b/c/d/e/train/cat/1.jpg", "train/cat/1.jpg/"]
)
def test_folders_without_a_dataset(place: str, plant: Plant):
    root = plant("empty-file") if place.endswith("/") else plant(place)
    (root / place).mkdir(parents=True, exist_ok=True) if place.endswith("/") else None
    with pytest.raises(NoDatasetFound, match=r"holds no dataset: expected images at split/class/file or class/file below it or below one") as caught:
        find(root)
    assert str(root) in caught.value.detail


@pytest.mark.parametrize("place", ["nowhere", "notes.txt", "notes.txt/deeper", "self", "nul\0"])
def test_paths_that_are_no_folders(place: str, plant: Plant):
    root = plant("notes.txt")
    (root / "self").symlink_to("self")
    with pytest.raises(NoDatasetFound, match=r"is no folder\. Name a dataset \(split/class/file or class/file\) or a folder of datasets\.") as caught:
        find(root / place)
    assert place in caught.value.detail


def test_a_path_below_a_locked_folder(public_folder: Path, plant: Plant, as_nobody: AsNobody):
    path = plant("locked/pets/train/cat/1.jpg", root=public_folder) / "locked/pets"
    (public_folder / "locked").chmod(0)
    with as_nobody(), pytest.raises(NoDatasetFound, match=r"locked/pets is no folder"):
        find(path)


def spoil(root: Path) -> str:
    """Gives a dataset a class whose only image is a link out of it, and no other image; tells the reason that is expected."""
    (root / "train/cat").mkdir(parents=True)
    (root / "train/cat/1.jpg").symlink_to("/etc/hostname")
    return f"{root.name} holds no image that can be served: expected split/class/file with one of "


class TestBadDatasets:
    @pytest.fixture
    def root(self, plant: Plant) -> Path:
        return plant("cars/train/bus/1.jpg", "pets/train/cat/1.jpg")

    def test_leave_the_others_served(self, root: Path):
        reason = spoil(root / "birds")
        (root / os.fsdecode(b"fish/train/caf\xe9")).mkdir(parents=True)
        (root / os.fsdecode(b"fish/train/caf\xe9/1.jpg")).touch()
        catalogue = Catalogue([root], 10**8, 10**9)
        assert [each.name for each in catalogue.datasets] == ["cars", "pets"]
        assert list(catalogue.unavailable) == ["birds", "fish"]
        assert catalogue.unavailable["birds"].startswith(reason)
        assert "1 of its links lead out of it and are refused: serve what they point to, or name" in catalogue.unavailable["birds"]
        assert catalogue.unavailable["fish"] == "fish: the name 'caf\ufffd' is not UTF-8, so no URL can carry it. Rename that folder."
        assert catalogue.availability() == {"birds": False, "cars": True, "fish": False, "pets": True}

    def test_say_why_when_they_are_asked_for(self, root: Path):
        spoil(root / "birds")
        with pytest.raises(DatasetUnavailable, match=r"The dataset 'birds' is not served: birds holds no image") as caught:
            Catalogue([root], 10**8, 10**9).dataset("birds")
        assert str(root) not in caught.value.detail

    @pytest.mark.parametrize("place", ["birds", "birds/train", "birds/train/owl", "birds/train/owl/deep"])
    def test_are_those_with_a_folder_that_cannot_be_listed(self, place: str, public_folder: Path, plant: Plant, as_nobody: AsNobody):
        (plant("birds/train/owl/deep/1.jpg", "pets/train/cat/1.jpg", root=public_folder) / place).chmod(0)
        with as_nobody():
            catalogue = Catalogue([public_folder], 10**8, 10**9)
        assert [each.name for each in catalogue.datasets] == ["pets"]
        assert catalogue.unavailable == {"birds": f"{place} cannot be listed: Permission denied."}

    def test_alone_are_an_error(self, plant: Plant, tmp_path: Path):
        root = plant("notes.txt", root=tmp_path / "bad")
        reasons = [spoil(root / "birds"), spoil(root / "fish")]
        with pytest.raises(InvalidDataset) as caught:
            find(root)
        assert all(reason in caught.value.detail for reason in reasons)

    def test_come_in_with_a_refresh_once_they_are_mended(self, root: Path, plant: Plant):
        spoil(root / "birds")
        catalogue = Catalogue([root], 10**8, 10**9)
        with pytest.raises(InvalidDataset, match="holds no image"):
            catalogue.refresh("birds")
        assert list(catalogue.unavailable) == ["birds"]
        plant("birds/train/owl/1.jpg")
        assert catalogue.refresh("birds") is catalogue.dataset("birds") is catalogue.datasets[0]
        assert catalogue.unavailable == {}

    def test_give_their_latest_reason(self, root: Path):
        spoil(root / "birds")
        catalogue = Catalogue([root], 10**8, 10**9)
        shutil.rmtree(root / "birds")
        with pytest.raises(InvalidDataset, match="cannot be listed"):
            catalogue.refresh("birds")
        assert catalogue.unavailable == {"birds": "birds cannot be listed: No such file or directory."}

    def test_with_the_name_of_another_are_still_an_error(self, root: Path, plant: Plant):
        spoil(root / "birds")
        with pytest.raises(InvalidDataset, match="Two datasets are called 'birds'"):
            find(root, plant("more/birds/train/owl/1.jpg") / "more")


def test_names_that_look_the_same_since_they_are_not_utf8_leave_the_others_served(plant: Plant):
    root = plant(b"served/caf\xe8/train/a/1.jpg", b"served/caf\xe9/train/a/1.jpg", "served/pets/train/cat/1.jpg") / "served"
    catalogue = Catalogue([root], 10**8, 10**9)
    assert [each.name for each in catalogue.datasets] == ["pets"]
    assert list(catalogue.unavailable) == ["caf\ufffd"]
    assert any(note.startswith("caf\ufffd/ is left out: its name is not UTF-8") for note in catalogue.notes)


def test_unknown_names_list_the_known(plant: Plant):
    catalogue = Catalogue([plant("pets/train/cat/1.jpg", "cars/train/bus/1.jpg")], 10**8, 10**9)
    assert catalogue.dataset("pets") is catalogue.datasets[1]
    with pytest.raises(UnknownDataset, match=r"There is no dataset 'dogs'\. Known: cars, pets\."):
        catalogue.dataset("dogs")


class TestRefresh:
    def test_lists_one_dataset_anew(self, plant: Plant):
        root = plant("pets/train/cat/1.jpg", "cars/train/bus/1.jpg")
        catalogue = Catalogue([root], 10**8, 10**9)
        cars, before = catalogue.datasets
        plant("pets/train/ant/1.jpg", "cars/train/bus/2.jpg")
        after = catalogue.refresh("pets")
        assert catalogue.dataset("pets") is after
        assert (before.classes, after.classes) == (("cat",), ("ant", "cat"))
        assert after.version != before.version
        assert catalogue.datasets == (cars, after)

    def test_keeps_a_listing_that_has_not_changed_and_what_was_made_of_it(self, plant: Plant):
        catalogue = Catalogue([plant("pets/train/cat/1.jpg")], 10**8, 10**9)
        assert catalogue.refresh("pets") is catalogue.datasets[0] is catalogue.dataset("pets")
        before = catalogue.dataset("pets")
        assert catalogue.refresh("pets") is before

    def test_tells_what_is_left_out_now(self, plant: Plant):
        root = plant("pets/train/cat/1.jpg")
        catalogue = Catalogue([root], 10**8, 10**9)
        before = catalogue.dataset("pets")
        plant("pets/val/1.jpg")
        after = catalogue.refresh("pets")
        assert (before.notes, after.notes) == ((), ("val/ is left out: no class folder holds its 1 image.",))
        assert (after.version, after.splits) == (before.version, before.splits)
        assert catalogue.refresh("pets") is after

    def test_keeps_the_listing_where_there_is_none_to_take_its_place(self, plant: Plant):
        root = plant("pets/train/cat/1.jpg")
        catalogue = Catalogue([root], 10**8, 10**9)
        (before,) = catalogue.datasets
        (root / "pets/train/cat/1.jpg").unlink()
        with pytest.raises(InvalidDataset, match=r"^pets holds no image that can be served"):
            catalogue.refresh("pets")
        shutil.rmtree(root / "pets")
        with pytest.raises(InvalidDataset, match=r"^pets cannot be listed: No such file or directory"):  # a client reads this: no path of this machine
            catalogue.refresh("pets")
        assert catalogue.dataset("pets") is before

    def test_a_folder_that_comes_back_is_served_again(self, plant: Plant):
        root = plant("pets/train/cat/1.jpg")
        catalogue = Catalogue([root], 10**8, 10**9)
        before = catalogue.dataset("pets")
        (root / "pets").rename(root / "away")
        with pytest.raises(InvalidDataset, match="cannot be listed"):
            catalogue.refresh("pets")
        (root / "away").rename(root / "pets")
        assert catalogue.refresh("pets").version == before.version
        plant("pets/train/cat/2.jpg")
        assert catalogue.refresh("pets").version != before.version

    def test_the_last_of_several_at_once_sees_what_is_there(self, plant: Plant, monkeypatch: pytest.MonkeyPatch):
        root = plant("pets/train/cat/1.jpg")
        catalogue = Catalogue([root], 10**8, 10**9)
        scan, is_slow, began = ImageFolder.scan, threading.Event(), threading.Event()

        def scan_slowly(*arguments: object, **options: object) -> object:
            dataset = scan(*arguments, **options)
            if not began.is_set():  # The first one is still on its way back when the second begins.
                began.set()
                is_slow.wait(0.3)
            return dataset

        monkeypatch.setattr(ImageFolder, "scan", scan_slowly)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(catalogue.refresh, "pets")
            began.wait(10)
            plant("pets/train/cat/2.jpg")
            second = pool.submit(catalogue.refresh, "pets")
            assert (len(first.result().splits["train"]), len(second.result().splits["train"])) == (1, 2)
        assert catalogue.dataset("pets") is second.result()

    def test_looks_at_every_file_and_keeps_the_new_index(self, plant: Plant, tmp_path: Path):
        root = plant("served/pets/train/cat/1.jpg") / "served"
        cache = IndexCache(tmp_path / "cache", worthwhile_files=0, settled_seconds=0)
        looks: list[tuple[str, int, int, int]] = []
        before = Catalogue([root], 10**8, 10**9, cache, lambda *look: looks.append(look)).dataset("pets")
        assert looks == [("pets", 1, 2, 0), ("pets", 2, 3, 0), ("pets", 3, 3, 1)]
        (root / "pets/train/cat/1.jpg").write_bytes(b"rewritten in place")
        catalogue = Catalogue([root], 10**8, 10**9, cache, lambda *look: looks.append(look))
        assert (catalogue.dataset("pets").version, len(looks)) == (before.version, 3)
        after = catalogue.refresh("pets")
        assert after.version != before.version
        assert Catalogue([root], 10**8, 10**9, cache).dataset("pets").version == after.version

    def test_of_an_unknown_name(self, plant: Plant):
        with pytest.raises(UnknownDataset, match=r"There is no dataset 'cats'\. Known: pets\."):
            Catalogue([plant("pets/train/cat/1.jpg")], 10**8, 10**9).refresh("cats")
