"""`max_resolution`: part of the address where it is set, and nowhere else."""

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from service.settings import MAX_RESOLUTION
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

QUERY = {"recipe": "CenterCrop(24)", "batch_size": 9, "shuffle": False}
SET = {"pets": {"max_resolution": 30}}


@pytest.fixture
def reducing(open_client: OpenClient) -> Client:
    """A service whose dataset is set to 30."""
    return open_client(datasets=SET)


def etag(client: Client, path: str = f"{TRAIN}/batches/0/0.json", **query: object) -> str:
    response = client.get(path, params=QUERY | query)
    assert response.status_code == 200, response.text
    return response.headers["etag"]


def reduced(path: Path, most: int) -> np.ndarray:
    with Image.open(path) as image:
        shorter = min(image.size)
        if shorter <= most:
            return np.asarray(image.convert("RGB"))
        return np.asarray(image.convert("RGB").resize((image.width * most // shorter, image.height * most // shorter), Image.Resampling.BILINEAR))


def test_without_it_addresses_are_what_they_were(client: Client, reducing: Client) -> None:
    told = client.json(f"{TRAIN}/batches/0/0.json", params=QUERY)
    assert "max_resolution" not in told["address"]
    assert told["max_resolution"] is None
    assert etag(client) == etag(client, max_resolution=0) == etag(reducing, max_resolution=0)
    assert client.json("/datasets/pets")["max_resolution"] is None
    assert client.json(f"{TRAIN}/epochs/0")["max_resolution"] is None


def test_a_request_may_ask_for_it(client: Client, dataset_folder: Path) -> None:
    told = client.json(f"{TRAIN}/batches/0/0.json", params=QUERY | {"max_resolution": 30})
    assert told["max_resolution"] == 30
    assert "&max_resolution=30&" in told["address"]
    originals = {each["file"]: (each["width"], each["height"]) for each in client.json(f"{TRAIN}/samples")["samples"]}
    for row in told["samples"]:
        height, width, _ = reduced(dataset_folder / row["file"], 30).shape
        assert (row["width"], row["height"]) == (width, height)
    assert any((row["width"], row["height"]) != originals[row["file"]] for row in told["samples"])
    assert len({etag(client), etag(client, max_resolution=30), etag(client, max_resolution=31)}) == 3


def test_batches_are_cut_from_the_reduced_photos(client: Client, dataset_folder: Path) -> None:
    path = sorted((dataset_folder / "val/cat").iterdir())[1]
    assert path.suffix == ".png"
    query = {"recipe": "Identity()", "batch_size": 1, "shuffle": False, "labels": False, "max_resolution": 20}
    assert np.array_equal(client.pixels(f"{VAL}/batches/0/1.png", params=query), reduced(path, 20))


def test_it_may_be_set_for_a_dataset(reducing: Client, client: Client) -> None:
    assert reducing.json("/datasets/pets")["max_resolution"] == 30
    assert etag(reducing) == etag(client, max_resolution=30)
    assert etag(reducing, max_resolution=20) == etag(client, max_resolution=20)
    epoch = reducing.json(f"{TRAIN}/epochs/0")
    assert epoch["max_resolution"] == 30
    assert all("&max_resolution=30&" in address for address in epoch["first"])


def test_an_address_means_the_same_whatever_is_set(reducing: Client, client: Client) -> None:
    """Links that were saved before it was set, or on another replica, show what they showed."""
    for asked in ({}, {"max_resolution": 0}, {"max_resolution": 25}):
        address = client.json(f"{TRAIN}/batches/0/0.json", params=QUERY | asked)["address"]
        told = [each.json(address, headers={"accept": "application/json"}) for each in (client, reducing)]
        assert told[0] == told[1]
        assert told[0]["address"] == address
        address = reducing.json(f"{TRAIN}/batches/0/0.json", params=QUERY | asked)["address"]
        assert client.json(address, headers={"accept": "application/json"}) == reducing.json(address, headers={"accept": "application/json"})


def test_a_random_batch_leads_to_an_address_that_names_it(reducing: Client) -> None:
    for asked, named in ((None, ["30"]), (20, ["20"]), (0, None)):
        response = reducing.get(f"{TRAIN}/batches/random.png", params={} if asked is None else {"max_resolution": asked})
        assert parse_qs(urlsplit(response.headers["location"]).query).get("max_resolution") == named


def test_samples_tell_both_sizes(reducing: Client, client: Client) -> None:
    plain = client.json(f"{TRAIN}/samples")["samples"]
    for before, after in zip(plain, reducing.json(f"{TRAIN}/samples")["samples"], strict=True):
        width, height = before["width"], before["height"]
        shorter = min(width, height)
        expected = (width * 30 // shorter, height * 30 // shorter) if shorter > 30 else (None, None)
        assert (after["reduced_width"], after["reduced_height"]) == expected
        assert after | {"reduced_width": None, "reduced_height": None} == before


def test_views_show_the_reduced_photo(reducing: Client, client: Client) -> None:
    query = {"epochs": 2, "recipe": "CenterCrop(24)"}
    views = [each.get(f"{TRAIN}/samples/0/views.png", params=query | asked) for each, asked in ((reducing, {}), (client, {"max_resolution": 30}), (client, {}))]
    assert views[0].content == views[1].content != views[2].content
    assert views[0].headers["etag"] == views[1].headers["etag"] != views[2].headers["etag"]
    pinned = query | {"version": client.json("/datasets/pets")["version"]}
    assert reducing.get(f"{TRAIN}/samples/0/views.png", params=pinned).content == views[2].content, "nothing is left to settings"


@pytest.mark.parametrize("value", ["-1", "x", "1.5", str(MAX_RESOLUTION + 1)])
def test_what_is_out_of_bounds_is_refused(client: Client, value: str) -> None:
    for path in (f"{TRAIN}/batches/0/0.png", f"{TRAIN}/epochs/0", f"{TRAIN}/samples/0/views.png", f"{TRAIN}/batches/random.png"):
        assert "max_resolution" in client.problem(path, 422, "invalid-parameter", params={"max_resolution": value})["detail"]


def test_names_in_the_settings_that_are_not_served_are_told(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    open_client(datasets={"pets": {"train": {"batch_size": 2}, "vall": {"batch_size": 3}}, "petz": {"max_resolution": 30}})
    assert [each.getMessage() for each in caplog.records] == [
        "There are settings for a split 'vall' of 'pets', which it does not have. It has: train, val. Did you mean 'val'?",
        "There are settings for a dataset 'petz', which is not served. Served: pets. Did you mean 'pets'?",
    ]


def test_names_that_are_served_are_not_told(reducing: Client, caplog: pytest.LogCaptureFixture) -> None:
    assert caplog.text == ""


def test_cold_and_warm_workers_agree(open_client: OpenClient, make_image: Callable[..., Path], dataset_folder: Path) -> None:
    make_image(dataset_folder / "train/cat/large.jpg", (800, 600))
    client, other = open_client(datasets=SET), open_client(datasets=SET, workers=1)
    query = {"recipe": "RandomResizedCrop(24)", "batch_size": 10}
    for epoch in range(3):
        assert other.get(f"{TRAIN}/batches/{epoch}/0.npz", params=query).content == client.get(f"{TRAIN}/batches/{epoch}/0.npz", params=query).content
