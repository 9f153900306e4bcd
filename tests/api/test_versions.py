"""A dataset that changes: a new version, and nobody who pinned the old one gets a mix."""

from collections.abc import Callable
from pathlib import Path

from tests.api.conftest import TRAIN, Client, OpenClient


def test_a_refresh_gives_a_new_version_and_pinned_addresses_say_so(client: Client, dataset_folder: Path, make_image: Callable[..., Path]) -> None:
    before = client.json("/datasets/pets")
    batch = f"{TRAIN}/batches/0/0.png"
    pinned = {"version": before["version"]}
    assert client.get(batch, params=pinned).status_code == 200
    assert client.request("POST", "/datasets/pets/refresh").json()["version"] == before["version"], "nothing has changed"
    make_image(dataset_folder / "train" / "cat" / "new.png")
    assert client.json("/datasets/pets")["version"] == before["version"], "not yet listed"
    after = client.request("POST", "/datasets/pets/refresh").json()
    assert after["version"] != before["version"]
    assert after["splits"]["train"]["size"] == before["splits"]["train"]["size"] + 1
    problem = client.problem(batch, 409, "version-gone", params=pinned)
    assert problem["current"] == after["version"]
    assert client.get(batch).headers["x-batchlens-version"] == after["version"]


def test_a_file_that_changed_unnoticed_is_refused_until_the_refresh(client: Client, dataset_folder: Path, make_image: Callable[..., Path]) -> None:
    batch = f"{TRAIN}/batches/0/0.png?batch_size=9"
    etag = client.get(batch).headers["etag"]
    make_image(dataset_folder / "train" / "owl" / "owl-0.jpg", size=(33, 44), seed=99)
    assert client.get(batch).headers["etag"] == etag, "the old pixels, kept under the old tag"
    client.delete("/loaders/pets/train")
    assert client.problem(batch, 409, "sample-changed")["file"] == "train/owl/owl-0.jpg"
    client.request("POST", "/datasets/pets/refresh")
    assert client.get(batch).headers["etag"] != etag


def test_a_refresh_closes_the_loader_of_a_split_that_is_gone(client: Client, dataset_folder: Path) -> None:
    for split in ("train", "val"):
        assert client.get(f"/datasets/pets/splits/{split}/batches/0/0.json").status_code == 200
    (dataset_folder / "val").rename(dataset_folder.with_name("away"))
    client.request("POST", "/datasets/pets/refresh")
    assert [each["split"] for each in client.json("/loaders")["loaders"]] == ["train"]
    client.problem("/loaders/pets/val", 404, "unknown-split")


def test_a_refresh_that_fails_keeps_what_is_served(client: Client, dataset_folder: Path) -> None:
    away = dataset_folder.rename(dataset_folder.with_name("away"))
    response = client.request("POST", "/datasets/pets/refresh")
    assert (response.status_code, response.json()["code"]) == (409, "invalid-dataset")
    away.rename(dataset_folder)
    assert client.get(f"{TRAIN}/batches/0/0.png").status_code == 200


def test_a_refresh_is_a_write(open_client: OpenClient) -> None:
    guarded = open_client(token="a long secret")
    assert guarded.request("POST", "/datasets/pets/refresh").status_code == 401
    assert guarded.request("POST", "/datasets/pets/refresh", headers={"Authorization": "Bearer a long secret"}).status_code == 200
