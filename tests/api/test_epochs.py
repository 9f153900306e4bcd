"""`/epochs`: how long an epoch is, and addresses to begin with."""

import math

import pytest

from service.planning.permutation import permute
from tests.api.conftest import TRAIN, VAL, Client, read_pixels


def test_an_epoch_tells_its_steps_and_parameters(client: Client) -> None:
    epoch = client.json(f"{TRAIN}/epochs/3")
    assert {name: epoch[name] for name in ("epoch", "steps", "samples", "batch_size", "world_size", "shuffle", "drop_last")} == {
        "epoch": 3,
        "steps": 3,
        "samples": 9,
        "batch_size": 4,
        "world_size": 1,
        "shuffle": True,
        "drop_last": False,
    }
    assert len(epoch["first"]) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 10])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_the_steps_hold_the_samples(client: Client, batch_size: int, world_size: int, drop_last: bool) -> None:
    epoch = client.json(f"{TRAIN}/epochs/0?batch_size={batch_size}&world_size={world_size}&drop_last={drop_last}")
    blocks = 9 / (batch_size * world_size)
    assert epoch["steps"] == (math.floor(blocks) if drop_last else math.ceil(blocks))
    assert epoch["samples"] == (epoch["steps"] * batch_size * world_size if drop_last else 9)
    assert len(epoch["first"]) == min(8, epoch["steps"])


def test_each_address_works_bare_and_with_a_suffix_and_pins_the_version(client: Client) -> None:
    version = client.json("/datasets/pets")["version"]
    seen = []
    for step, address in enumerate(client.json(f"{VAL}/epochs/1?batch_size=2&seed=5&recipe=CenterCrop(16)")["first"]):
        path, _, query = address.partition("?")
        assert f"version={version}" in query
        told = client.json(f"{path}.json?{query}")
        assert (told["address"], told["epoch"], told["step"], told["seed"], told["recipe"]) == (address, 1, step, 5, "CenterCrop(16)")
        picture = client.get(f"{path}.png?{query}")
        assert "immutable" in picture.headers["cache-control"]
        assert client.get(address, headers={"accept": "image/png"}).content == picture.content
        assert read_pixels(picture.content).shape[2] == 3
        seen += [row["index"] for row in told["samples"]]
    assert seen == permute(range(5), 5, 5, 1).tolist()


def test_addresses_say_what_the_epoch_was_asked_for(client: Client) -> None:
    first = client.json(f"{TRAIN}/epochs/0?batch_size=2&world_size=2&rank=1&drop_last=true&shuffle=false&dtype=uint8&on_error=mask")["first"]
    assert len(first) == 2
    for part in ("batch_size=2", "world_size=2", "rank=1", "drop_last=true", "shuffle=false", "dtype=uint8", "on_error=mask"):
        assert all(part in address for address in first)


@pytest.mark.parametrize(
    ("query", "status", "code", "quoted"),
    [
        ("batch_size=0", 422, "invalid-parameter", "batch_size"),
        ("batch_size=5000", 422, "invalid-parameter", "5000 is above the 1024 allowed"),
        ("seed=-1", 422, "invalid-parameter", "seed"),
        ("seed=x", 422, "invalid-parameter", '"x"'),
        ("rank=1", 422, "invalid-parameter", "rank 1 is not below world_size 1"),
        ("recipe=Explode()", 422, "invalid-recipe", "Explode"),
        ("recipe=Resize(32)%26dtype=float32", 422, "invalid-recipe", "&"),
        ("recipe=Resize(32)&dtype=float32", 422, "invalid-parameter", "needs a recipe that yields floats"),
        ("recipe=ToTensor()|RandomErasing()&dtype=uint8", 422, "invalid-parameter", "turns to floats earlier"),
        ("dtype=int8", 422, "invalid-parameter", "uint8"),
        ("batchsize=4", 422, "invalid-parameter", "batchsize"),
        ("version=0000000000000000", 409, "version-gone", "0000000000000000"),
    ],
)
def test_what_does_not_fit_is_refused_and_quoted(client: Client, query: str, status: int, code: str, quoted: str) -> None:
    assert quoted in client.problem(f"{TRAIN}/epochs/0?{query}", status, code)["detail"]
    assert quoted in client.problem(f"{TRAIN}/batches/0/0.json?{query}", status, code)["detail"], "batches refuse the same"


@pytest.mark.parametrize("epoch", ["-1", "x", str(2**63), "9" * 5000])
def test_an_epoch_that_is_no_epoch_is_refused(client: Client, epoch: str) -> None:
    assert "path.epoch" in client.problem(f"{TRAIN}/epochs/{epoch}", 422, "invalid-parameter")["detail"]


def test_the_largest_numbers_are_numbers(client: Client) -> None:
    most = 2**63 - 1
    epoch = client.json(f"{TRAIN}/epochs/{most}?seed={most}&world_size={most}&rank={most - 1}")
    assert (epoch["epoch"], epoch["steps"]) == (most, 1)
    path, _, query = epoch["first"][0].partition("?")
    assert client.json(f"{path}.json?{query}")["seed"] == most
