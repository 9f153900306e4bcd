"""`/datasets`: what there is, told as ImageFolder means it."""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_problem

IMAGENET = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


def test_the_list_names_every_dataset_with_its_sizes(client: Client) -> None:
    answer = client.json("/datasets")
    assert (answer["unavailable"], answer["notes"]) == ([], [])
    (dataset,) = answer["datasets"]
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
    assert (detail["layout"], detail["notes"]) == ("split/class/**", [])
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
    (note,) = client.json("/datasets/pets")["notes"]
    assert note.startswith("1 link is refused, since it leads out of the dataset's folder. ")
    assert "/etc" not in note
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


class TestUnavailable:
    """A dataset that cannot be listed, beside one that can."""

    REASON = "birds: the name 'caf\ufffd' is not UTF-8, so no URL can carry it. Rename that folder."

    @pytest.fixture
    def bad(self, dataset_folder: Path, make_image: Callable[..., Path]) -> Path:
        return make_image(dataset_folder.parent / os.fsdecode(b"birds/train/caf\xe9/1.png"), (30, 20)).parents[2]

    @pytest.fixture
    def both(self, bad: Path, open_client: OpenClient) -> Client:
        return open_client(paths=(bad.parent,))

    def test_is_listed_with_its_reason(self, both: Client) -> None:
        answer = both.json("/datasets")
        assert [each["name"] for each in answer["datasets"]] == ["pets"]
        assert answer["unavailable"] == [{"name": "birds", "reason": self.REASON}]

    @pytest.mark.parametrize("path", ["", "/classes", "/sizes", "/splits/train", "/splits/train/batches/0/0.png", "/splits/train/samples/0/image"])
    def test_answers_with_its_reason(self, path: str, both: Client) -> None:
        response = both.get(f"/datasets/birds{path}")
        problem = read_problem(response, 503, "dataset-unavailable")
        assert self.REASON in problem["detail"]
        assert problem["reason"] == self.REASON
        assert int(response.headers["retry-after"]) >= 30, "it does not mend itself"

    def test_leaves_the_service_ready_and_the_other_served(self, both: Client) -> None:
        assert both.json("/health/ready") == {"status": "ready"}
        assert both.get(f"{TRAIN}/batches/0/0.png").status_code == 200
        assert 'batchlens_dataset_available{dataset="birds"} 0.0' in both.get("/metrics").text
        assert 'batchlens_dataset_available{dataset="pets"} 1.0' in both.get("/metrics").text

    def test_comes_in_with_a_refresh_once_it_is_mended(self, both: Client, bad: Path) -> None:
        problem = read_problem(both.request("POST", "/datasets/birds/refresh"), 409, "invalid-dataset")
        assert problem["detail"] == self.REASON
        (bad / os.fsdecode(b"train/caf\xe9")).rename(bad / "train/coffee")
        assert both.request("POST", "/datasets/birds/refresh").json()["classes"] == ["coffee"]
        assert both.json("/datasets")["unavailable"] == []
        assert both.json("/datasets/birds/sizes") == {"train": 1}
        assert both.get("/datasets/birds/splits/train/batches/0/0.png").status_code == 200
        assert 'batchlens_dataset_available{dataset="birds"} 1.0' in both.get("/metrics").text


def test_the_layout_of_the_settings_is_used(open_client: OpenClient) -> None:
    client = open_client(datasets={"pets": {"layout": "class/**"}})
    detail = client.json("/datasets/pets")
    assert (detail["layout"], detail["classes"], client.json("/datasets/pets/sizes")) == ("class/**", ["train", "val"], {"all": 14})
    assert client.get("/datasets/pets/splits/all/batches/0/0.png").status_code == 200


def test_links_to_allowed_folders_are_served_byte_for_byte(open_client: OpenClient, dataset_folder: Path, make_image: Callable[..., Path]) -> None:
    blob = make_image(dataset_folder.parent / "store/1.png").rename(dataset_folder.parent / "store/9a3f")
    (dataset_folder / "train/cat/a.png").symlink_to("../../../store/9a3f")
    client = open_client(allowed_roots=(blob.parent,))
    assert client.json("/datasets/pets/sizes")["train"] == 10
    original = client.get(f"{TRAIN}/samples/0/image")
    assert (original.content, original.headers["content-type"]) == (blob.read_bytes(), "image/png")


def test_what_is_left_out_is_told(open_client: OpenClient, dataset_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (dataset_folder / "test").mkdir()
    (dataset_folder / "test/1.jpg").touch()
    note = "test/ is left out: no class folder holds its 1 image."
    assert open_client().json("/datasets/pets")["notes"] == [note]
    assert f"Dataset 'pets': {note}" in caplog.text
