"""Metadata: the index and the version, entity tags, 304, gzip."""

from importlib.metadata import version

import pytest

from service.api.negotiation import accepts_coding, names_tag
from tests.api.conftest import TRAIN, VAL, Client

METADATA = [
    "/datasets",
    "/datasets/pets",
    "/datasets/pets/classes",
    "/datasets/pets/sizes",
    "/datasets/pets/splits",
    TRAIN,
    f"{TRAIN}/epochs/0",
    f"{TRAIN}/samples",
    f"{TRAIN}/samples/0",
    "/recipes",
    "/recipes/parse?recipe=train",
    "/version",
    "/openapi.json",
    "/",
    "/docs",
]
BINARY = [f"{VAL}/batches/0/0.{suffix}?recipe=Resize([64,64])" for suffix in ("safetensors", "npz", "png", "json")] + [
    f"{VAL}/samples/0/image",
    "/assets/app/main.js",
]


@pytest.mark.parametrize("path", METADATA)
def test_metadata_that_a_client_has_is_not_sent_again(client: Client, path: str) -> None:
    first = client.get(path)
    assert first.headers["etag"].startswith('W/"'), "weak: it stands for the content in any coding"
    for known in (first.headers["etag"], first.headers["etag"].removeprefix("W/"), f'"other", {first.headers["etag"]}', "*"):
        again = client.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert all(again.headers.get(name) == first.headers.get(name) for name in ("etag", "cache-control", "vary", "link"))
        assert "content-length" not in again.headers
    assert client.get(path, headers={"if-none-match": 'W/"other"'}).content == first.content
    head = client.request("HEAD", path)
    assert (head.headers["etag"], head.headers["content-length"]) == (first.headers["etag"], first.headers["content-length"])


def test_a_tag_changes_with_the_content(client: Client) -> None:
    assert client.get("/datasets/pets").headers["etag"] != client.get("/datasets").headers["etag"]
    before = client.get(TRAIN).headers["etag"]
    client.get(f"{TRAIN}/batches/0/0.png?recipe=CenterCrop(8)")
    client.get(f"{VAL}/batches/0/0.png?recipe=CenterCrop(8)")
    after = client.get(TRAIN)
    assert after.headers["etag"] != before, "its loader has worked"


@pytest.mark.parametrize("path", [*METADATA, "/metrics"])
def test_metadata_of_some_size_is_compressed_for_who_asks(client: Client, path: str) -> None:
    plain = client.get(path, headers={"accept-encoding": "identity"})
    packed = client.get(path, headers={"accept-encoding": "br;q=1, gzip;q=0.5"})
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert plain.headers["vary"] == packed.headers["vary"]
    assert ("content-encoding" in packed.headers) == (len(plain.content) >= 1000)
    if path != "/metrics":
        assert packed.content == plain.content
        assert packed.headers["etag"] == plain.headers["etag"]
    if "content-encoding" in packed.headers:
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content)


def test_the_description_shrinks_much(client: Client) -> None:
    packed = client.get("/openapi.json", headers={"accept-encoding": "gzip"})
    assert int(packed.headers["content-length"]) * 5 < len(packed.content)


@pytest.mark.parametrize("path", BINARY)
def test_what_has_a_strong_tag_is_sent_as_it_is(client: Client, path: str) -> None:
    plain, asked = (client.get(path, headers={"accept-encoding": coding}) for coding in ("identity", "gzip"))
    assert plain.headers["etag"].startswith('"')
    assert plain.headers["etag"] == asked.headers["etag"]
    assert plain.content == asked.content
    assert "content-encoding" not in asked.headers


def test_refusals_have_no_tag(client: Client) -> None:
    answer = client.get("/datasets/nothing", headers={"if-none-match": "*", "accept-encoding": "gzip"})
    assert answer.status_code == 404
    assert "etag" not in answer.headers


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("*", True),
        ("deflate, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("br", False),
        ("", False),
    ],
)
def test_codings(header: str, expected: bool) -> None:
    assert accepts_coding([header], "gzip") == expected


def test_tags_are_compared_weakly() -> None:
    for known, tag in (('"a"', '"a"'), ('W/"a"', '"a"'), ('"a"', 'W/"a"'), ('W/"a"', 'W/"a"'), ('"b", "a"', '"a"'), ("*", '"a"')):
        assert names_tag([known], tag)
    for known in ("", '"b"', "a", 'w/"a"'):
        assert not names_tag([known], '"a"')


def test_programs_get_an_index_at_the_root(client: Client) -> None:
    answer = client.get("/", headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert "Accept" in answer.headers["vary"].split(", ")
    index = answer.json()
    assert (index["name"], index["version"]) == ("Batchlens", version("batchlens"))
    assert {"datasets", "recipes", "loaders", "devices", "version", "description", "documentation"} <= index["links"].keys()
    for path in index["links"].values():
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "", "application/json;q=0.5, text/html", "image/png"])
def test_browsers_get_the_page(client: Client, accept: str) -> None:
    answer = client.get("/", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/html")
    assert "Accept" in answer.headers["vary"].split(", ")


def test_the_version_has_an_address(client: Client) -> None:
    assert client.json("/version") == {"name": "Batchlens", "version": version("batchlens")}


def test_splits_are_listed(client: Client) -> None:
    splits = client.json("/datasets/pets/splits")["splits"]
    assert {each["name"]: each for each in splits} == client.json("/datasets/pets")["splits"]
    assert "/datasets/pets/splits" not in client.problem("/datasets/pest/splits", 404, "unknown-dataset")["known"]


def test_gzip_is_the_same_each_time(client: Client) -> None:
    lengths = {client.get("/recipes", headers={"accept-encoding": "gzip"}).headers["content-length"] for _ in range(3)}
    assert len(lengths) == 1
