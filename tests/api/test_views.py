"""`/views`: a sample beside what each epoch makes of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_pixels

RECIPE = "RandomResizedCrop(40) | RandomHorizontalFlip() | ToTensor() | Normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.2])"
PADDING = 2


def tile(picture: np.ndarray, position: int, size: int = 40, columns: int = 64) -> np.ndarray:
    """Cuts a tile out of a grid of square tiles without labels."""
    row, column = divmod(position, columns)
    top, left = (PADDING + each * (size + PADDING) for each in (row, column))
    return picture[top : top + size, left : left + size]


def test_the_original_stands_first_and_each_epoch_shows_its_row_of_the_batch(client: Client) -> None:
    for index in (0, 3):
        views = client.pixels(f"{VAL}/samples/{index}/views.png", params={"recipe": RECIPE, "epochs": 4, "epoch": 2, "seed": 7, "labels": False})
        assert views.shape == (40 + 2 * PADDING, 5 * (40 + PADDING) + PADDING, 3)
        seen = set()
        for position, epoch in enumerate(range(2, 6), start=1):
            query = {"recipe": RECIPE, "seed": 7, "batch_size": 5}
            rows = client.json(f"{VAL}/batches/{epoch}/0.json", params=query)["samples"]
            place = next(row["position"] for row in rows if row["index"] == index)
            batch = client.pixels(f"{VAL}/batches/{epoch}/0.png", params=query | {"labels": False, "columns": 64})
            assert np.array_equal(tile(views, position), tile(batch, place))
            seen.add(tile(views, position).tobytes())
        assert len(seen) == 4, "every epoch shows it differently"


def test_the_original_is_the_file(client: Client, dataset_folder: Path) -> None:
    size = client.json(f"{VAL}/samples/0")
    recipe = f"Resize([{size['height']}, {size['width']}])"
    views = client.pixels(f"{VAL}/samples/0/views.png", params={"recipe": recipe, "epochs": 1, "labels": False})
    with Image.open(dataset_folder / "val/cat/cat-0.jpg") as image:
        assert np.array_equal(views[PADDING : PADDING + image.height, PADDING : PADDING + image.width], np.array(image))


def test_defaults_are_said_explicitly_or_not(client: Client) -> None:
    path, recipe = f"{TRAIN}/samples/0/views.png", client.json(TRAIN)["recipe"]
    plain = client.get(path)
    explicit = client.get(path, params={"epochs": 8, "epoch": 0, "seed": 0, "recipe": recipe, "columns": 9, "labels": True})
    named = client.get(path, params={"recipe": "train"})
    assert plain.headers["etag"] == explicit.headers["etag"] == named.headers["etag"]
    assert plain.content == explicit.content == named.content


@pytest.mark.parametrize("change", ["epochs=3", "epoch=1", "seed=1", "recipe=val", "columns=2", "tile=32", "labels=false", "original=false"])
def test_whatever_changes_the_picture_changes_its_tag(client: Client, change: str) -> None:
    path = f"{TRAIN}/samples/0/views.png"
    first = client.get(path, params={"epochs": 2})
    other = client.get(f"{path}?{change}" if "epochs" in change else f"{path}?epochs=2&{change}")
    assert other.status_code == 200
    assert first.headers["etag"] != other.headers["etag"]
    assert first.content != other.content
    assert client.get(f"{TRAIN}/samples/1/views.png?epochs=2").headers["etag"] != first.headers["etag"]


def test_views_that_the_client_has_are_not_rendered_again(client: Client) -> None:
    path = f"{TRAIN}/samples/0/views.png?epochs=2"
    first = client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    rendered = client.json("/loaders/pets/train")["rendered"]
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.json("/loaders/pets/train")["rendered"] == rendered == 1


def test_a_pinned_version_lasts_for_ever_and_a_wrong_one_is_refused(client: Client) -> None:
    version = client.json("/datasets/pets")["version"]
    pinned = f"{TRAIN}/samples/0/views.png?epochs=1&version={version}"
    assert "immutable" in client.get(f"{pinned}&recipe=CenterCrop(20)").headers["cache-control"]
    assert client.get(pinned).headers["cache-control"] == "no-cache", "the settings may change the recipe"
    assert client.problem(f"{TRAIN}/samples/0/views.png?version=old", 409, "version-gone")["current"] == version


def test_a_view_alone_has_the_pixels_of_the_batch(client: Client) -> None:
    query = {"recipe": RECIPE, "seed": 7, "batch_size": 1, "shuffle": False, "labels": False}
    for index in (0, 3):
        batch = client.pixels(f"{VAL}/batches/5/{index}.png", params=query)
        view = client.pixels(
            f"{VAL}/samples/{index}/views.png", params={"recipe": RECIPE, "seed": 7, "epoch": 5, "epochs": 1, "labels": False, "original": False}
        )
        assert view.shape == (40, 40, 3)
        assert np.array_equal(view, batch)


def test_views_tell_what_each_epoch_does(client: Client) -> None:
    query = {"recipe": RECIPE, "seed": 7}
    told = client.json(f"{VAL}/samples/3/views.json", params=query | {"epoch": 2, "epochs": 3})
    sample = client.json(f"{VAL}/samples/3")
    assert {name: told[name] for name in ("index", "label", "class", "file", "width", "height", "exif_orientation")} == {
        name: sample[name] for name in told if name in sample
    }
    assert (told["dataset"], told["split"], told["seed"], told["dtype"]) == ("pets", "val", 7, "float32")
    assert [view["epoch"] for view in told["views"]] == [2, 3, 4]
    assert told["tail"] == RECIPE.partition("Flip() | ")[2]
    for view in told["views"]:
        row = client.json(f"{VAL}/batches/{view['epoch']}/3.json", params=query | {"batch_size": 1, "shuffle": False, "dtype": "uint8"})["samples"][0]
        assert (row["index"], row["key"], row["applied"]) == (3, view["key"], view["applied"])
        assert view["shape"] == [3, 40, 40]
    assert len({view["key"] for view in told["views"]}) == 3
    assert client.json(f"{VAL}/samples/3/views.json", params={"recipe": "Grayscale()|CenterCrop([8,9])"})["views"][0]["shape"] == [1, 8, 9]


@pytest.mark.parametrize("suffix", ["webp", "jpg"])
def test_views_come_in_lighter_formats(client: Client, suffix: str) -> None:
    exact = client.get(f"{TRAIN}/samples/0/views.png?epochs=2")
    answer = client.get(f"{TRAIN}/samples/0/views.{suffix}?epochs=2")
    assert answer.headers["content-type"] == {"webp": "image/webp", "jpg": "image/jpeg"}[suffix]
    assert answer.headers["etag"] != exact.headers["etag"]
    drawn = read_pixels(answer.content).astype(int)
    assert abs(drawn - read_pixels(exact.content)).mean() < 20


def test_a_format_that_views_lack_is_refused(client: Client) -> None:
    assert "npz" in client.problem(f"{TRAIN}/samples/0/views.npz", 422, "invalid-parameter")["detail"]


def test_views_tell_where_the_time_went(client: Client) -> None:
    timing = client.get(f"{TRAIN}/samples/0/views.png?epochs=1").headers["server-timing"]
    assert [part.partition(";")[0] for part in timing.split(", ")] == ["plan", "wait", "render", "encode"]


@pytest.mark.parametrize("query", ["epochs=0", "epochs=65", "epoch=-1", "seed=-1", f"epoch={2**63 - 1}", "columns=0", "tile=1", "labels=2", "batch_size=4"])
def test_views_that_cannot_be_are_refused(client: Client, query: str) -> None:
    assert query.partition("=")[0] in client.problem(f"{TRAIN}/samples/0/views.png?{query}", 422, "invalid-parameter")["detail"]


def test_a_bad_recipe_is_refused(client: Client) -> None:
    assert client.problem(f"{TRAIN}/samples/0/views.png?recipe=Zoom(3)", 422, "invalid-recipe")["culprit"] == "Zoom(3)"


def test_unequal_views_are_drawn_in_one_grid(client: Client) -> None:
    views = client.pixels(f"{TRAIN}/samples/0/views.png", params={"recipe": "RandomZoomOut(p=1)", "epochs": 3, "labels": False})
    assert views.shape[1] > 4 * 40


def test_a_picture_of_too_many_pixels_is_refused(client: Client) -> None:
    problem = client.problem(f"{TRAIN}/samples/0/views.png?epochs=64&tile=1024", 422, "invalid-parameter")
    assert "megapixels" in problem["detail"]


def test_views_share_a_loader_with_batches(open_client: OpenClient) -> None:
    client = open_client(max_batch_size=4)
    assert client.get(f"{TRAIN}/samples/0/views.png?epochs=6&recipe=CenterCrop(16)").status_code == 200
    assert [each["split"] for each in client.json("/loaders")["loaders"]] == ["train"]
