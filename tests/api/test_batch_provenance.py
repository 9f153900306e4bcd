"""`/batches` as JSON: where a batch comes from, told truthfully enough to render it again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812  its usual name

from service.planning.permutation import permute
from service.planning.seeds import sample_keys
from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_pixels
from tests.api.test_batch_pictures import decode, grid

RECIPE = "RandomResizedCrop(40) | RandomHorizontalFlip() | RandomRotation(45) | ColorJitter(brightness=0.5) | ToTensor()"


def test_provenance_tells_the_whole_address(client: Client) -> None:
    query = {
        "recipe": "CenterCrop(24)|ToTensor()",
        "seed": 3,
        "batch_size": 2,
        "shuffle": False,
        "drop_last": True,
        "rank": 1,
        "world_size": 2,
        "dtype": "uint8",
    }
    answer = client.get(f"{TRAIN}/batches/7/1.json", params=query)
    told = answer.json()
    samples = told.pop("samples")
    version = client.json("/datasets/pets")["version"]
    assert told == {
        "address": f"{TRAIN}/batches/7/1?batch_size=2&drop_last=true&dtype=uint8&on_error=fail&rank=1&recipe=CenterCrop%2824%29%20%7C%20ToTensor%28%29"
        f"&seed=3&shuffle=false&version={version}&world_size=2",
        "etag": answer.headers["etag"],
        "dataset": "pets",
        "version": version,
        "split": "train",
        "recipe": "CenterCrop(24) | ToTensor()",
        "tail": "ToTensor()",
        "seed": 3,
        "epoch": 7,
        "step": 1,
        "batch_size": 2,
        "shuffle": False,
        "drop_last": True,
        "rank": 1,
        "world_size": 2,
        "on_error": "fail",
        "max_resolution": None,
        "shape": [2, 3, 24, 24],
        "dtype": "uint8",
    }
    assert [(row["position"], row["index"]) for row in samples] == [(0, 6), (1, 7)]


def test_rows_tell_what_the_listing_tells(client: Client) -> None:
    listing = client.json(f"{TRAIN}/samples")["samples"]
    rows = client.json(f"{TRAIN}/batches/1/0.json?batch_size=9&seed=4&recipe=CenterCrop(8)")["samples"]
    order = permute(range(9), 9, 4, 1)
    assert [row["index"] for row in rows] == order.tolist()
    assert [int(row["key"], 16) for row in rows] == sample_keys(4, 1, order).tolist()
    for row in rows:
        for name in ("index", "class", "label", "file", "width", "height", "exif_orientation", "problem"):
            assert row[name] == listing[row["index"]][name]


def test_orientation_that_is_ignored_is_told(open_client: OpenClient, make_image, dataset_folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    make_image(dataset_folder / "val/owl/turned.jpg", (40, 30), exif=exif)
    (dataset_folder / "val/owl/void.jpg").touch()
    client = open_client()
    query = {"batch_size": 7, "shuffle": False, "recipe": "CenterCrop(8)", "on_error": "mask"}
    rows = client.json(f"{VAL}/batches/0/0.json", params=query)["samples"]
    assert [row["exif_orientation"] for row in rows] == [None] * 5 + [6, None]
    assert (rows[5]["width"], rows[5]["height"]) == (40, 30)
    assert client.json(f"{VAL}/samples/5")["exif_orientation"] == 6
    assert client.json(f"{VAL}/samples/5/views.json")["exif_orientation"] == 6
    assert client.json(f"{VAL}/samples/0/views.json")["exif_orientation"] is None


def test_orientation_is_not_guessed_where_the_file_is_gone(client: Client, dataset_folder: Path) -> None:
    """The batch is there still; null in place of what the file says would stay under its entity tag."""
    query = {"batch_size": 5, "shuffle": False, "recipe": "CenterCrop(8)"}
    client.get(f"{VAL}/batches/0/0.png", params=query)
    (dataset_folder / "val/cat/cat-0.jpg").rename(dataset_folder / "elsewhere.jpg")
    problem = client.problem(f"{VAL}/batches/0/0.json", 409, "sample-changed", params=query)
    assert (problem["sample"], problem["file"]) == (0, "val/cat/cat-0.jpg")
    (dataset_folder / "elsewhere.jpg").rename(dataset_folder / "val/cat/cat-0.jpg")
    assert client.get(f"{VAL}/batches/0/0.json", params=query).status_code == 200


def replay(row: dict[str, Any], root: Path) -> Tensor:
    """Renders a sample of RECIPE from what was told of it, with plain torchvision calls and no randomness."""
    image = decode(root / row["file"])
    crop, flip, rotation, jitter, *_ = row["applied"]
    image = F.resized_crop(image, **crop["params"], size=[40, 40])
    image = F.horizontal_flip(image) if flip["applied"] else image
    image = F.rotate(image, rotation["params"]["angle"])
    return F.adjust_brightness(image, jitter["params"]["brightness_factor"])


def test_what_is_told_of_each_row_is_what_was_done_to_it(client: Client, dataset_folder: Path) -> None:
    flips = set()
    for step in range(3):
        query = {"recipe": RECIPE, "batch_size": 3}
        rows = client.json(f"{TRAIN}/batches/0/{step}.json", params=query)["samples"]
        assert all([each["step"] for each in row["applied"]] == [part.partition("(")[0] for part in RECIPE.split(" | ")] for row in rows)
        picture = client.pixels(f"{TRAIN}/batches/0/{step}.png", params=query | {"labels": False})
        assert np.array_equal(picture, grid([replay(row, dataset_folder) for row in rows]))
        flips |= {row["applied"][1]["applied"] for row in rows}
    assert flips == {True, False}


def test_ranks_share_the_epoch(client: Client) -> None:
    whole = client.json(f"{TRAIN}/epochs/2?batch_size=4")["steps"]
    for world_size, batch_size in ((1, 4), (2, 2), (4, 1)):
        for step in range(whole):
            shares = [
                client.json(f"{TRAIN}/batches/2/{step}.json?recipe=CenterCrop(8)&batch_size={batch_size}&world_size={world_size}&rank={rank}")["samples"]
                for rank in range(world_size)
            ]
            joined = [(row["index"], row["key"]) for share in shares for row in share]
            alone = client.json(f"{TRAIN}/batches/2/{step}.json?recipe=CenterCrop(8)&batch_size=4")["samples"]
            assert joined == [(row["index"], row["key"]) for row in alone]
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_rank_may_get_nothing_of_the_last_block(client: Client) -> None:
    told = client.json(f"{TRAIN}/batches/0/2.json?batch_size=1&world_size=4&rank=0&recipe=CenterCrop(8)")
    assert (told["samples"], told["shape"]) == ([], [0, 3, 8, 8])


def test_the_last_incomplete_block_is_dropped_on_demand(client: Client) -> None:
    assert len(client.json(f"{TRAIN}/batches/0/2.json?recipe=CenterCrop(8)")["samples"]) == 1
    problem = client.problem(f"{TRAIN}/batches/0/2.json?drop_last=true", 404, "unknown-step")
    assert problem["steps"] == 2
    assert "without the incomplete last one" in problem["detail"]


@pytest.mark.parametrize("step", [3, 2**63 - 1])
@pytest.mark.parametrize("suffix", ["", ".png", ".json", ".safetensors"])
def test_a_step_past_the_end_is_told_with_the_number_of_steps(client: Client, step: int, suffix: str) -> None:
    assert client.problem(f"{TRAIN}/batches/0/{step}{suffix}", 404, "unknown-step")["steps"] == 3


@pytest.mark.parametrize(
    "place", ["-1/0.png", "0/-1.png", "x/0.png", "0/x.png", f"{2**63}/0.png", f"0/{2**63}", "0/0.gif", "0/0.", "0/0.png.json", "0/%00.png"]
)
def test_an_address_that_is_none_is_refused(client: Client, place: str) -> None:
    assert "path." in client.problem(f"{TRAIN}/batches/{place}", 422, "invalid-parameter")["detail"]


def test_a_step_that_cannot_be_applied_names_the_sample(client: Client) -> None:
    problem = client.problem(f"{VAL}/batches/0/0.png?recipe=RandomCrop(500)", 422, "step-failed")
    assert problem["file"] == client.json(f"{VAL}/samples/{problem['sample']}")["file"]


def test_a_batch_that_no_memory_holds_is_refused(open_client: OpenClient) -> None:
    problem = open_client(slab_bytes=1 << 20).problem(f"{TRAIN}/batches/0/0.png?recipe=Resize([1000,1000])", 422, "batch-too-large")
    assert (problem["needed_bytes"], problem["available_bytes"]) == (4 * 3 * 1000 * 1000, 1 << 20)


def test_tensors_and_provenance_agree(client: Client) -> None:
    query = {"recipe": "RandomResizedCrop(16) | ToTensor()", "dtype": "uint8"}
    answer = client.get(f"{TRAIN}/batches/0/0.safetensors", params=query)
    length = int.from_bytes(answer.content[:8], "little")
    pixels = torch.frombuffer(bytearray(answer.content[8 + length :][: 4 * 3 * 16 * 16]), dtype=torch.uint8).reshape(4, 3, 16, 16)
    picture = read_pixels(client.get(f"{TRAIN}/batches/0/0.png", params=query | {"labels": False}).content)
    assert np.array_equal(picture, grid(list(pixels)))
