"""`/samples`: the listing, and original files."""

import os
from pathlib import Path

import pytest

from service.sources.image_formats import HEAD_BYTES, media_type_of
from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_problem

MOST = 2**63 - 1


def files(page: dict) -> list[str]:
    return [each["file"] for each in page["samples"]]


def test_a_page_lists_samples_in_order(client: Client) -> None:
    page = client.json(f"{VAL}/samples")
    assert (page["total"], page["offset"], page["limit"]) == (5, 0, 100)
    assert files(page) == [f"val/{name}" for name in ("cat/cat-0.jpg", "cat/cat-1.png", "dog/dog-0.jpg", "dog/dog-1.png", "owl/owl-0.jpg")]
    assert [(each["index"], each["class"], each["label"]) for each in page["samples"]] == [
        (0, "cat", 0),
        (1, "cat", 0),
        (2, "dog", 1),
        (3, "dog", 1),
        (4, "owl", 2),
    ]


def test_a_sample_tells_what_its_file_is(client: Client, dataset_folder: Path) -> None:
    sample = client.json(f"{TRAIN}/samples/5")
    assert sample == {
        "index": 5,
        "class": "dog",
        "label": 1,
        "file": "train/dog/dog-1.png",
        "width": 40 + 5 * 5,
        "height": 64 - 3 * 5,
        "reduced_width": None,
        "reduced_height": None,
        "exif_orientation": None,
        "bytes": (dataset_folder / "train/dog/dog-1.png").stat().st_size,
        "problem": None,
    }
    assert client.json(f"{TRAIN}/samples")["samples"][5] == sample


def test_pages_join_to_the_whole(client: Client) -> None:
    whole = files(client.json(f"{TRAIN}/samples"))
    assert len(whole) == 9
    assert [name for offset in range(0, 12, 2) for name in files(client.json(f"{TRAIN}/samples?offset={offset}&limit=2"))] == whole
    assert files(client.json(f"{TRAIN}/samples?offset={MOST}&limit=1000")) == []


def test_a_class_has_pages_of_its_own(client: Client) -> None:
    page = client.json(f"{TRAIN}/samples?class=dog&offset=1&limit=1")
    assert (page["total"], files(page)) == (3, ["train/dog/dog-1.png"])
    assert client.json(f"{TRAIN}/samples?class=")["total"] == 9, "an empty choice is none"


def test_an_unknown_class_is_told_with_the_known_ones(client: Client) -> None:
    assert client.problem(f"{TRAIN}/samples?class=cow", 404, "unknown-class")["known"] == ["cat", "dog", "owl"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", f"offset={MOST + 1}", "offset=x", "limit=", "klass=dog"])
def test_a_bad_page_is_refused(client: Client, query: str) -> None:
    assert query.partition("=")[0] in client.problem(f"{TRAIN}/samples?{query}", 422, "invalid-parameter")["detail"]


@pytest.mark.parametrize("path", ["", "/image", "/views.png"])
@pytest.mark.parametrize("index", [9, MOST])
def test_a_sample_past_the_end_is_told_with_the_size(client: Client, path: str, index: int) -> None:
    assert client.problem(f"{TRAIN}/samples/{index}{path}", 404, "unknown-sample")["size"] == 9


@pytest.mark.parametrize("path", ["", "/image", "/views.png"])
@pytest.mark.parametrize("index", ["-1", "x", "1.5", str(MOST + 1), "%00"])
def test_an_index_that_is_none_is_refused(client: Client, path: str, index: str) -> None:
    assert "path.index" in client.problem(f"{TRAIN}/samples/{index}{path}", 422, "invalid-parameter")["detail"]


def test_an_original_comes_byte_for_byte(client: Client, dataset_folder: Path) -> None:
    for index, name in enumerate(files(client.json(f"{VAL}/samples"))):
        image = client.get(f"{VAL}/samples/{index}/image")
        assert image.content == (dataset_folder / name).read_bytes()
        assert image.headers["content-type"] == ("image/jpeg" if name.endswith("jpg") else "image/png")
        assert image.headers["content-length"] == str(len(image.content))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"])
def test_every_kind_of_file_has_its_media_type(open_client: OpenClient, dataset_folder: Path, make_image, suffix: str) -> None:
    path = make_image(dataset_folder / "val" / "owl" / f"zz{suffix}", mode="L" if suffix == ".pgm" else "RGB")
    image = open_client().get(f"{VAL}/samples/5/image")
    assert image.content == path.read_bytes()
    assert image.headers["content-type"] == media_type_of(path.name, path.read_bytes()[:HEAD_BYTES])
    assert image.headers["content-type"].startswith("image/")


def test_an_original_that_the_client_has_is_not_sent_again(client: Client) -> None:
    first, other = client.get(f"{VAL}/samples/0/image"), client.get(f"{VAL}/samples/1/image")
    assert first.headers["etag"] != other.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
        again = client.get(f"{VAL}/samples/0/image", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get(f"{VAL}/samples/0/image", headers={"if-none-match": other.headers["etag"]}).content == first.content


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=100-", slice(100, None)), ("Bytes = 0-".replace(" ", ""), slice(0, None)), ("bytes=-7", slice(-7, None))],
)
def test_part_of_an_original(client: Client, asked: str, part: slice) -> None:
    whole = client.get(f"{VAL}/samples/0/image")
    answer = client.get(f"{VAL}/samples/0/image", headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, whole.content[part])
    first, last, _ = part.indices(len(whole.content))
    assert answer.headers["content-range"] == f"bytes {first}-{last - 1}/{len(whole.content)}"
    assert answer.headers["etag"] == whole.headers["etag"]


def test_several_parts_of_an_original(client: Client) -> None:
    whole = client.get(f"{VAL}/samples/0/image").content
    answer = client.get(f"{VAL}/samples/0/image", headers={"range": "bytes=0-1, 5-9"})
    assert answer.status_code == 206
    assert answer.headers["content-type"].startswith("multipart/byteranges")
    assert all(part in answer.content for part in (whole[0:2], whole[5:10]))


@pytest.mark.parametrize(
    "asked", ["lines=0-1", "bytes=a-b", "bytes=", "bytes=-", "bytes=9-1", "bytes=0-1,x", "0-1", f"bytes=0-{'9' * 5000}", "bytes=" + "0-," * 500]
)
def test_a_range_that_is_none_is_ignored(client: Client, asked: str) -> None:
    answer = client.get(f"{VAL}/samples/0/image", headers={"range": asked})
    assert (answer.status_code, answer.content) == (200, client.get(f"{VAL}/samples/0/image").content)


def test_a_range_holds_only_for_the_version_that_it_was_meant_for(client: Client) -> None:
    path = f"{VAL}/samples/0/image"
    whole = client.get(path)
    assert client.get(path, headers={"range": "bytes=0-1", "if-range": whole.headers["etag"]}).content == whole.content[:2]
    assert client.get(path, headers={"range": "bytes=0-1", "if-range": '"of old"'}).content == whole.content


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=-0", "bytes=0-1,999999-"])
def test_a_range_past_the_end_is_refused_with_the_length(client: Client, asked: str) -> None:
    answer = client.get(f"{VAL}/samples/0/image", headers={"range": asked})
    problem = read_problem(answer, 416, "range-not-satisfiable")
    assert problem["size"] == client.json(f"{VAL}/samples/0")["bytes"]
    assert answer.headers["content-range"] == f"bytes */{problem['size']}"


def test_a_broken_file_is_told_and_still_there(open_client: OpenClient, dataset_folder: Path) -> None:
    broken = dataset_folder / "val" / "cat" / "cat-0.jpg"
    broken.write_bytes(b"this is no picture")
    client = open_client()
    sample = client.json(f"{VAL}/samples/0")
    assert (sample["width"], sample["height"], sample["bytes"]) == (None, None, 18)
    assert "header" in sample["problem"]
    assert str(dataset_folder) not in sample["problem"]
    assert client.json(f"{VAL}/samples")["samples"][0] == sample
    assert client.get(f"{VAL}/samples/0/image").content == b"this is no picture", "the file is what was asked for"
    problem = client.problem(f"{VAL}/samples/0/views.png", 422, "unreadable-image")
    assert (problem["sample"], problem["file"]) == (0, "val/cat/cat-0.jpg")


def test_an_image_over_the_limit_is_told(open_client: OpenClient) -> None:
    client = open_client(max_image_pixels=1000)
    assert "pixels" in client.json(f"{VAL}/samples/0")["problem"]
    assert client.problem(f"{VAL}/samples/0/views.png", 422, "image-too-large")["sample"] == 0


@pytest.mark.parametrize("path", ["/image", "/views.png?epochs=1&recipe=CenterCrop(8)"])
def test_a_file_that_has_changed_is_no_longer_the_version(client: Client, dataset_folder: Path, path: str) -> None:
    (dataset_folder / "val" / "cat" / "cat-0.jpg").write_bytes(b"new")
    problem = client.problem(f"{VAL}/samples/0{path}", 409, "sample-changed")
    assert (problem["sample"], problem["file"]) == (0, "val/cat/cat-0.jpg")
    assert problem["detail"].startswith("Sample 0 (val/cat/cat-0.jpg): has changed")
    assert "changed" in client.json(f"{VAL}/samples/0")["problem"]


def test_a_file_that_has_gone_is_told(client: Client, dataset_folder: Path) -> None:
    (dataset_folder / "val" / "cat" / "cat-0.jpg").unlink()
    problem = client.problem(f"{VAL}/samples/0/image", 409, "sample-changed")
    assert problem["file"] == "val/cat/cat-0.jpg"
    assert str(dataset_folder) not in problem["detail"]


def test_a_name_that_is_not_utf8_is_shown_and_served(open_client: OpenClient, dataset_folder: Path) -> None:
    strange = os.fsencode(dataset_folder / "val" / "owl") + b"/z\xff.png"
    Path(os.fsdecode(strange)).write_bytes((dataset_folder / "val/cat/cat-1.png").read_bytes())
    client = open_client()
    assert client.json(f"{VAL}/samples/5")["file"] == "val/owl/z\N{REPLACEMENT CHARACTER}.png"
    assert client.get(f"{VAL}/samples/5/image").content == (dataset_folder / "val/cat/cat-1.png").read_bytes()
    assert client.json(f"{VAL}/batches/0/0.json?shuffle=false&batch_size=9")["samples"][5]["class"] == "owl"
