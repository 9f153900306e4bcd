"""`/batches` and caches: equal addresses have equal tags, and whoever has the bytes already costs no rendering."""

from pathlib import Path

import pytest

from service.encoding.formats import FORMATS
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

PATH = f"{TRAIN}/batches/0/0.png"
SMALL = {"recipe": "RandomResizedCrop(24) | ToTensor()"}


def tag(client: Client, path: str = PATH, **query: object) -> str:
    answer = client.get(path, params=SMALL | query)
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


def test_defaults_may_be_said_or_left_out(client: Client) -> None:
    explicit = {
        "seed": 0,
        "batch_size": 4,
        "shuffle": True,
        "drop_last": False,
        "rank": 0,
        "world_size": 1,
        "dtype": "float32",
        "on_error": "fail",
        "version": client.json("/datasets/pets")["version"],
        "columns": 8,
        "labels": True,
    }
    assert tag(client) == tag(client, **explicit)
    assert tag(client) == tag(client, recipe="  RandomResizedCrop( 24,)|ToTensor() ", version="")
    assert client.get(PATH).headers["etag"] == client.get(PATH, params={"recipe": "train"}).headers["etag"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"recipe": "RandomResizedCrop(25) | ToTensor()"},
        {"batch_size": 3},
        {"shuffle": False},
        {"drop_last": True},
        {"world_size": 2},
        {"world_size": 2, "rank": 1},
        {"dtype": "uint8"},
        {"on_error": "mask"},
        {"columns": 2},
        {"tile": 32},
        {"labels": False},
    ],
)
def test_whatever_changes_the_address_or_the_picture_changes_the_tag(client: Client, change: dict[str, object]) -> None:
    assert tag(client) != tag(client, **change)


def test_places_and_formats_have_tags_of_their_own(client: Client) -> None:
    paths = [f"{TRAIN}/batches/{place}.{suffix}" for place in ("0/0", "0/1", "1/0") for suffix in FORMATS] + [f"{VAL}/batches/0/0.png"]
    assert len({tag(client, path) for path in paths}) == len(paths)


def test_a_layout_means_nothing_to_formats_that_are_no_picture(client: Client) -> None:
    for suffix in ("json", "safetensors", "npz"):
        assert tag(client, f"{TRAIN}/batches/0/0.{suffix}") == tag(client, f"{TRAIN}/batches/0/0.{suffix}", columns=3, labels=False)


def test_a_restart_changes_neither_tag_nor_bytes(open_client: OpenClient) -> None:
    first, second = (open_client().get(PATH, params=SMALL) for _ in range(2))
    assert (first.headers["etag"], first.content) == (second.headers["etag"], second.content)


def test_a_changed_file_changes_every_tag(open_client: OpenClient, dataset_folder: Path, make_image) -> None:
    before = tag(open_client())
    make_image(dataset_folder / "val" / "owl" / "owl-0.jpg", seed=99)
    assert tag(open_client()) != before


@pytest.mark.parametrize("suffix", [*(f".{name}" for name in FORMATS), ""])
def test_a_batch_that_the_client_has_is_not_rendered(client: Client, suffix: str) -> None:
    path = f"{TRAIN}/batches/0/0{suffix}"
    first = client.get(path, params=SMALL)
    counts = client.json("/loaders/pets/train")
    again = client.get(path, params=SMALL, headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert all(again.headers.get(name) == first.headers.get(name) for name in ("etag", "cache-control", "x-batchlens-version", "vary"))
    assert client.json("/loaders/pets/train") == counts, "not even looked for"


def test_a_tag_is_known_before_any_loader_is_open(open_client: OpenClient) -> None:
    known = tag(open_client(), f"{VAL}/batches/0/0.png")
    client = open_client()
    assert client.get(f"{VAL}/batches/0/0.png", params=SMALL, headers={"if-none-match": known}).status_code == 304
    assert "val" not in [each["split"] for each in client.json("/loaders")["loaders"]]


@pytest.mark.parametrize("known", ['"0123456789abcdef0123456789abcdef"', "", "x", "W/", ",,", '"' * 1000])
def test_any_other_tag_gets_the_batch(client: Client, known: str) -> None:
    assert client.get(PATH, params=SMALL, headers={"if-none-match": known}).status_code == 200


def test_tags_may_come_in_several_headers(client: Client) -> None:
    headers = [("if-none-match", '"other"'), ("if-none-match", tag(client))]
    assert client.get(PATH, params=SMALL, headers=headers).status_code == 304


def test_the_tag_in_the_body_is_the_one_in_the_header(client: Client) -> None:
    answer = client.get(f"{TRAIN}/batches/0/0.json", params=SMALL)
    assert answer.json()["etag"] == answer.headers["etag"]


def test_only_an_address_that_leaves_nothing_to_settings_lasts_for_ever(client: Client) -> None:
    version = client.json("/datasets/pets")["version"]
    whole = SMALL | {"version": version, "batch_size": 4, "shuffle": True}
    pinned = client.get(PATH, params=whole)
    assert pinned.headers["cache-control"] == "public, max-age=31536000, immutable"
    for loose in [whole | {"recipe": "train"}, *({name: whole[name] for name in whole if name != left_out} for left_out in whole)]:
        free = client.get(PATH, params=loose)
        assert free.headers["cache-control"] == "no-cache"
        assert free.headers["x-batchlens-version"] == pinned.headers["x-batchlens-version"] == version


def test_the_tag_of_a_masked_batch_depends_on_what_is_masked(open_client: OpenClient) -> None:
    strict, lax = open_client(max_image_pixels=40_000_000), open_client()
    assert tag(strict) == tag(lax)
    assert tag(strict, on_error="mask") != tag(lax, on_error="mask")
    # The memory for batches counts where the image decides how much of it a sample takes.
    small, large = open_client(slab_bytes=1 << 20), open_client(slab_bytes=2 << 20)
    assert tag(small, on_error="mask", recipe="Resize(32)") != tag(large, on_error="mask", recipe="Resize(32)")
    assert tag(small, on_error="mask", recipe="CenterCrop(32)") == tag(large, on_error="mask", recipe="CenterCrop(32)")
    assert tag(small, recipe="Resize(32)") == tag(large, recipe="Resize(32)")


@pytest.mark.parametrize("version", ["0000000000000000", "x", "\N{SNOWMAN}", "a" * 3000])
def test_a_version_that_is_not_served_is_refused_with_the_current_one(client: Client, version: str) -> None:
    problem = client.problem(PATH, 409, "version-gone", params={"version": version})
    assert problem["current"] == client.json("/datasets/pets")["version"]


def test_an_answer_tells_where_its_time_went(client: Client) -> None:
    first, second = (client.get(PATH, params=SMALL).headers["server-timing"].split(", ") for _ in range(2))
    assert [part.partition(";dur=")[0] for part in first] == ["plan", "wait", "render", "encode"]
    assert all(float(part.partition(";dur=")[2]) >= 0 for part in first)
    assert float(first[2].partition("=")[2]) > 0
    assert second[2] == "render;dur=0.00", "the second time it was there already"


def test_a_digest_comes_on_demand(client: Client) -> None:
    from base64 import b64encode
    from hashlib import sha256

    for suffix in ("png", "safetensors"):
        path = f"{TRAIN}/batches/0/0.{suffix}"
        answer = client.get(path, params=SMALL, headers={"want-repr-digest": "sha-256=10"})
        assert answer.headers["repr-digest"] == f"sha-256=:{b64encode(sha256(answer.content).digest()).decode()}:"
        assert "repr-digest" not in client.get(path, params=SMALL).headers


def test_a_random_batch_leads_to_one_that_stays(client: Client) -> None:
    seen = set()
    for suffix in ("png", "json"):
        for _ in range(8):
            answer = client.get(f"{VAL}/batches/random.{suffix}?batch_size=1&recipe=CenterCrop(8)&columns=3&labels=false&seed=2")
            assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
            address = answer.headers["location"]
            assert all(part in address for part in ("version=", "columns=3", "labels=false", "seed=2", "batch_size=1"))
            assert "immutable" in client.get(address).headers["cache-control"]
            seen.add(address)
    assert len(seen) > 8


def test_no_random_batch_of_an_epoch_without_steps(client: Client) -> None:
    assert client.problem(f"{VAL}/batches/random.png?drop_last=true&batch_size=6", 404, "unknown-step")["steps"] == 0
    assert "Explode" in client.problem(f"{VAL}/batches/random.png?recipe=Explode()", 422, "invalid-recipe")["detail"]


def test_many_clients_of_one_batch_cost_one_rendering(client: Client) -> None:
    answers = [client.start("GET", PATH, params=SMALL) for _ in range(20)]
    assert len({answer.result(60).content for answer in answers}) == 1
    report = client.json("/loaders/pets/train")
    assert (report["rendered"], report["served"], report["reused"]) == (1, 20, 19)
