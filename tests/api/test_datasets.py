"""`/datasets`: what there is, told as ImageFolder means it."""

import re
from pathlib import Path

import pytest

from tests.api.conftest import TRAIN, VAL, Client, OpenClient

IMAGENET = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


def test_the_list_names_every_dataset_with_its_sizes(client: Client) -> None:
    (dataset,) = client.json("/datasets")["datasets"]
    assert re.fullmatch("[0-9a-f]{16}", dataset.pop("version"))
    assert dataset == {"name": "pets", "source": "image_folder", "splits": {"train": 9, "val": 5}}


def test_several_datasets_are_listed_by_name(open_client: OpenClient, dataset_folder: Path) -> None:
    other = dataset_folder.with_name("more pets & co")
    other.symlink_to(dataset_folder)
    client = open_client(paths=(dataset_folder, other))
    assert [each["name"] for each in client.json("/datasets")["datasets"]] == ["pets", "more pets & co"]
    assert client.json("/datasets/more%20pets%20%26%20co/sizes") == {"train": 9, "val": 5}
    address = client.json("/datasets/more%20pets%20%26%20co/splits/val/epochs/0")["first"][1]
    assert client.json(address, headers={"accept": "application/json"})["dataset"] == "more pets & co"


def test_metadata(client: Client) -> None:
    detail = client.json("/datasets/pets")
    assert detail["classes"] == ["cat", "dog", "owl"]
    assert (detail["name"], detail["source"], detail["root"], detail["refused"]) == ("pets", "image_folder", "pets", 0)
    assert detail["version"] == client.json("/datasets")["datasets"][0]["version"]
    assert detail["splits"]["train"] == {
        "name": "train",
        "size": 9,
        "class_counts": {"cat": 4, "dog": 3, "owl": 2},
        "recipe": f"RandomResizedCrop(224) | RandomHorizontalFlip() | {IMAGENET}",
        "batch_size": 4,
        "max_batch_size": 1024,
        "shuffle": True,
    }
    assert detail["splits"]["val"]["recipe"] == f"Resize(256) | CenterCrop(224) | {IMAGENET}"


def test_the_root_says_nothing_of_the_machine(client: Client, monkeypatch: pytest.MonkeyPatch, dataset_folder: Path) -> None:
    assert str(dataset_folder.parent) not in client.get("/datasets/pets").text
    monkeypatch.chdir(dataset_folder.parents[1])
    assert client.json("/datasets/pets")["root"] == f"{dataset_folder.parent.name}/pets"


def test_links_out_of_the_folder_are_counted(open_client: OpenClient, dataset_folder: Path) -> None:
    (dataset_folder / "train" / "cat" / "zz.jpg").symlink_to("/etc/hostname")
    client = open_client()
    assert client.json("/datasets/pets")["refused"] == 1
    assert client.json("/datasets/pets/sizes")["train"] == 9


def test_classes(client: Client) -> None:
    assert client.json("/datasets/pets/classes") == {"classes": ["cat", "dog", "owl"], "class_to_idx": {"cat": 0, "dog": 1, "owl": 2}}


def test_sizes(client: Client) -> None:
    assert client.json("/datasets/pets/sizes") == {"train": 9, "val": 5}


def test_defaults_come_from_the_settings(open_client: OpenClient) -> None:
    client = open_client(
        batch_size=2, shuffle=False, recipes={"tiny": "Resize(32)"}, datasets={"pets": {"train": {"recipe": "tiny", "batch_size": 3, "shuffle": True}}}
    )
    splits = client.json("/datasets/pets")["splits"]
    assert (splits["train"]["recipe"], splits["train"]["batch_size"], splits["train"]["shuffle"]) == ("Resize(32)", 3, True)
    assert (splits["val"]["batch_size"], splits["val"]["shuffle"]) == (2, False)


def test_a_split_has_no_loader_until_it_is_used(client: Client) -> None:
    assert client.json(VAL)["loader"] is None
    assert client.json(f"{VAL}/epochs/0")["steps"] == 2
    assert client.json(f"{VAL}/samples")["total"] == 5
    assert client.json(VAL)["loader"] is None, "a look at the listing opens no loader"
    client.json(f"{VAL}/batches/0/0.json")
    loader = client.json(VAL)["loader"]
    assert loader == client.json("/loaders/pets/val")
    assert (loader["state"], loader["served"], loader["rendered"], loader["images"]) == ("ready", 1, 1, 4)


def test_a_split_tells_what_the_dataset_tells_of_it(client: Client) -> None:
    split = client.json(TRAIN)
    split.pop("loader")
    assert split == client.json("/datasets/pets")["splits"]["train"]


@pytest.mark.parametrize(
    "path", ["", "/classes", "/sizes", "/splits/train", "/splits/train/samples", "/splits/train/epochs/0", "/splits/train/batches/0/0.png"]
)
def test_an_unknown_dataset_is_told_with_the_known_ones(client: Client, path: str) -> None:
    problem = client.problem(f"/datasets/pest{path}", 404, "unknown-dataset")
    assert problem["known"] == ["pets"]
    assert "'pest'" in problem["detail"]


@pytest.mark.parametrize("path", ["", "/samples", "/samples/0", "/samples/0/image", "/samples/0/views.png", "/epochs/0", "/batches/0/0", "/batches/random.png"])
def test_an_unknown_split_is_told_with_the_known_ones(client: Client, path: str) -> None:
    assert client.problem(f"/datasets/pets/splits/test{path}", 404, "unknown-split")["known"] == ["train", "val"]
