"""`/batches` as pictures: what torchvision makes of the same keys, laid out as `make_grid` does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.utils import make_grid

from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_pixels

NORMALIZE = "Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
RECIPES = {
    "RandomResizedCrop(48) | RandomHorizontalFlip()": [v2.RandomResizedCrop(48), v2.RandomHorizontalFlip()],
    "Resize(64) | CenterCrop(48)": [v2.Resize(64), v2.CenterCrop(48)],
    "RandomRotation(30) | ColorJitter(0.4, 0.4, 0.4, 0.2) | RandomCrop(20)": [v2.RandomRotation(30), v2.ColorJitter(0.4, 0.4, 0.4, 0.2), v2.RandomCrop(20)],
}


def decode(path: Path) -> Tensor:
    """As ImageFolder's default loader does, then to uint8 [3, H, W]."""
    with Image.open(path) as image:
        return v2.functional.pil_to_tensor(image.convert("RGB"))


def grid(images: list[Tensor], columns: int = 8) -> np.ndarray:
    """As the tutorial shows a batch."""
    return make_grid(torch.stack(images), nrow=columns).permute(1, 2, 0).numpy()


def rendered_plainly(told: dict[str, Any], root: Path, steps: list[v2.Transform]) -> list[Tensor]:
    """Renders a batch again with nothing but torchvision and the keys that were told."""
    images = []
    for row in told["samples"]:
        pixels = decode(root / row["file"])
        torch.manual_seed(int(row["key"], 16))
        images.append(v2.Compose(steps)(pixels))
    return images


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("tail", ["", " | ToTensor()", f" | ToTensor() | {NORMALIZE}"])
def test_a_picture_is_make_grid_of_what_torchvision_renders(client: Client, dataset_folder: Path, recipe: str, tail: str) -> None:
    query = {"recipe": recipe + tail, "seed": 11, "batch_size": 5}
    for step in (0, 1):
        told = client.json(f"{TRAIN}/batches/2/{step}.json", params=query)
        assert len(told["samples"]) == (5, 4)[step]
        picture = client.pixels(f"{TRAIN}/batches/2/{step}.png", params=query | {"labels": False, "columns": 3})
        assert np.array_equal(picture, grid(rendered_plainly(told, dataset_folder, RECIPES[recipe]), 3))


def test_every_element_type_gives_the_same_picture(client: Client) -> None:
    query = {"recipe": f"RandomResizedCrop(32) | ToTensor() | {NORMALIZE}"}
    pictures = [client.get(f"{TRAIN}/batches/0/0.png", params=query | {"dtype": dtype}) for dtype in ("uint8", "float32")]
    assert pictures[0].content == pictures[1].content
    assert pictures[0].headers["etag"] != pictures[1].headers["etag"], "the addresses differ"
    half = read_pixels(client.get(f"{TRAIN}/batches/0/0.png", params=query | {"dtype": "float16"}).content)
    assert np.abs(half.astype(int) - read_pixels(pictures[0].content)).max() <= 1


def test_titles_stand_above_the_tiles_and_leave_them_alone(client: Client) -> None:
    query = {"recipe": "CenterCrop(40)", "batch_size": 3, "shuffle": False, "columns": 3}
    plain, titled = (client.pixels(f"{VAL}/batches/0/0.png", params=query | {"labels": labels}) for labels in (False, True))
    band = titled.shape[0] - plain.shape[0]
    assert band > 8
    assert titled.shape[1] == plain.shape[1]
    assert np.array_equal(titled[-42:-2], plain[-42:-2])
    bands = [titled[2 : 2 + band, left : left + 40] for left in (2, 44, 86)]
    assert np.array_equal(bands[0], bands[1]), "two cats"
    assert not np.array_equal(bands[1], bands[2]), "a cat and a dog"


@pytest.mark.parametrize(("columns", "shape"), [(1, (212, 44)), (2, (128, 86)), (5, (44, 212)), (64, (44, 212))])
def test_columns(client: Client, columns: int, shape: tuple[int, int]) -> None:
    picture = client.pixels(f"{VAL}/batches/0/0.png", params={"recipe": "CenterCrop(40)", "batch_size": 5, "columns": columns, "labels": False})
    assert picture.shape[:2] == shape


@pytest.mark.parametrize("tile", [16, 100])
def test_tiles_have_the_size_asked_for(client: Client, tile: int) -> None:
    picture = client.pixels(f"{VAL}/batches/0/0.png", params={"recipe": "CenterCrop(40)", "batch_size": 3, "tile": tile, "labels": False})
    assert picture.shape[:2] == (tile + 4, 3 * (tile + 2) + 2)


@pytest.mark.parametrize(("suffix", "kind", "is_exact"), [("png", "PNG", True), ("webp", "WEBP", False), ("jpg", "JPEG", False)])
def test_every_picture_format_shows_the_same(client: Client, suffix: str, kind: str, is_exact: bool) -> None:
    query = {"recipe": "Resize([64, 64]) | GaussianBlur(9, sigma=4)", "labels": False}
    exact = client.pixels(f"{VAL}/batches/0/0.png", params=query).astype(int)
    answer = client.get(f"{VAL}/batches/0/0.{suffix}", params=query)
    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    difference = np.abs(read_pixels(answer.content) - exact)
    assert difference.any() != is_exact
    assert difference.mean() < 6
    assert answer.content == client.get(f"{VAL}/batches/0/0.{suffix}", params=query).content


def test_samples_of_unequal_shape_are_drawn_and_are_no_tensor(client: Client) -> None:
    picture = client.pixels(f"{VAL}/batches/0/0.png", params={"recipe": "Identity()", "labels": False})
    told = client.json(f"{VAL}/batches/0/0.json", params={"recipe": "Identity()"})
    assert told["shape"] is None
    assert picture.shape[:2] == (max(row["height"] for row in told["samples"]) + 4, 4 * (max(row["width"] for row in told["samples"]) + 2) + 2)
    for suffix in ("safetensors", "npz"):
        assert len(client.problem(f"{VAL}/batches/0/0.{suffix}?recipe=Identity()", 422, "unequal-shapes")["samples"]) == 2


def test_one_sample_is_drawn_whole(client: Client, dataset_folder: Path) -> None:
    query = {"recipe": "CenterCrop(24)", "batch_size": 1}
    told = client.json(f"{VAL}/batches/0/3.json", params=query)
    assert np.array_equal(
        client.pixels(f"{VAL}/batches/0/3.png", params=query | {"labels": False}), grid(rendered_plainly(told, dataset_folder, [v2.CenterCrop(24)]))
    )


def test_a_rank_without_samples_gets_a_picture_that_says_so(client: Client) -> None:
    query = {"batch_size": 1, "world_size": 8, "rank": 0}
    assert client.json(f"{VAL}/batches/0/0.json", params=query)["samples"] == []
    assert client.pixels(f"{VAL}/batches/0/0.png", params=query).size


def test_an_unreadable_image_fails_the_batch_or_is_masked(open_client: OpenClient, dataset_folder: Path) -> None:
    (dataset_folder / "val" / "dog" / "dog-0.jpg").write_bytes(b"no picture")
    client = open_client()
    query = {"recipe": "CenterCrop(32)", "batch_size": 5, "shuffle": False}
    for suffix in ("png", "json", "safetensors"):
        problem = client.problem(f"{VAL}/batches/0/0.{suffix}", 422, "unreadable-image", params=query)
        assert (problem["sample"], problem["file"]) == (2, "val/dog/dog-0.jpg")
    masked = query | {"on_error": "mask", "columns": 5, "labels": False}
    picture = client.pixels(f"{VAL}/batches/0/0.png", params=masked)
    rows = client.json(f"{VAL}/batches/0/0.json", params=masked)["samples"]
    assert [row["problem"] is None for row in rows] == [True, True, False, True, True]
    assert "cannot be decoded" in rows[2]["problem"]
    readable = [position for position in range(5) if position != 2]
    steps = [v2.CenterCrop(32)]
    for position in readable:
        (expected,) = rendered_plainly({"samples": [rows[position]]}, dataset_folder, steps)
        left = 2 + position * 34
        assert np.array_equal(picture[2:34, left : left + 32], expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("query", ["columns=0", "columns=65", "tile=15", "tile=1025", "labels=maybe", "colums=3"])
def test_a_layout_that_cannot_be_is_refused(client: Client, query: str) -> None:
    assert query.partition("=")[0] in client.problem(f"{VAL}/batches/0/0.png?{query}", 422, "invalid-parameter")["detail"]
