"""What was done to a batch, as objects and as a picture."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from service.client import Applied, MalformedAnswer, Picture, Provenance, Row
from service.client.provenance import read_provenance
from service.errors import UnknownStep
from tests.client.conftest import SMALL, URL, Network, OpenLoader


def test_rows_tell_what_the_service_tells(open_loader: OpenLoader, network: Network) -> None:
    loader = open_loader(seed=4)
    found = loader.explain(2, 1)
    path = found.address.replace("/1?", "/1.json?")
    document = network.request("GET", URL, path).json()
    assert isinstance(found, Provenance)
    assert (found.version, found.recipe, found.dtype, found.shape) == (loader.version, loader.recipe, "uint8", (2, 3, 24, 24))
    assert (found.etag, found.tail) == (document["etag"], document["tail"])
    assert len(found) == 2
    for row, told in zip(found, document["samples"], strict=True):
        assert isinstance(row, Row)
        assert (row.index, row.label, row.class_name, row.file) == (told["index"], told["label"], told["class"], told["file"])
        assert (row.key, row.width, row.height, row.problem) == (int(told["key"], 16), told["width"], told["height"], None)
        assert row.applied == tuple(Applied(each["step"], each["applied"], each["params"]) for each in told["applied"])
        assert set(row.applied[0].params) == {"top", "left", "height", "width"}
    assert found[0] is found.rows[0]
    assert found[-1:] == found.rows[1:]


def test_rows_are_those_of_the_batch(open_loader: OpenLoader) -> None:
    loader = open_loader(with_indices=True, rank=1, world_size=2, uneven="share", batch_size=2)
    for step, (_, labels, indices) in enumerate(loader):
        rows = loader.explain(0, step)
        assert indices.tolist() == [row.index for row in rows]
        assert labels.tolist() == [row.label for row in rows]


def test_an_unreadable_image_says_why(open_loader: OpenLoader, dataset_folder: Path) -> None:
    (dataset_folder / "train" / "cat" / "cat-0.jpg").write_bytes(b"no picture")
    rows = open_loader(batch_size=9, on_error="mask").explain(0, 0)
    assert [row.file for row in rows if row.problem] == ["train/cat/cat-0.jpg"]


def test_the_picture(open_loader: OpenLoader, network: Network, tmp_path: Path) -> None:
    loader = open_loader()
    picture = loader.show(1, 2)
    assert isinstance(picture, Picture)
    assert picture.title == loader.explain(1, 2).address
    assert picture._repr_png_() == picture.data == network.request("GET", URL, picture.title.replace("/2?", "/2.png?")).content
    picture.save(tmp_path / "batch.png")
    with Image.open(io.BytesIO((tmp_path / "batch.png").read_bytes())) as image:
        assert image.format == "PNG"
    assert "PNG" not in repr(picture)


def test_a_step_past_the_end(open_loader: OpenLoader) -> None:
    loader = open_loader(recipe=SMALL)
    for ask in (loader.explain, loader.show):
        with pytest.raises(UnknownStep, match="Step 5 lies past the end") as caught:
            ask(0, 5)
        assert caught.value.facts["steps"] == 5


@pytest.mark.parametrize("document", [[], {}, {"samples": 3}, None, json.loads('{"address": "", "samples": [{}]}')])
def test_what_is_no_provenance(document: object) -> None:
    with pytest.raises(MalformedAnswer, match="no provenance"):
        read_provenance(document)
