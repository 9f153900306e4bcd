"""Batches as tensors: exact, read by other people's tools, and the same file every time."""

import hashlib
import io
import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from service.recipes.recipe import parse_recipe
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

BATCH = f"{TRAIN}/batches/2/0"
SMALL = "RandomResizedCrop(32) | RandomHorizontalFlip() | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


def load(client: Client, path: str, **query: object) -> dict[str, torch.Tensor]:
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    return safetensors.torch.load(response.content)


def metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def test_tensors_and_picture_show_the_same(client: Client) -> None:
    query = {"recipe": SMALL, "batch_size": 3}
    tensors = load(client, f"{BATCH}.safetensors", **query)
    assert {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()} == {
        "images": (torch.float32, (3, 3, 32, 32)),
        "labels": (torch.int64, (3,)),
        "indices": (torch.int64, (3,)),
    }
    rows = client.json(f"{BATCH}.json", params=query)["samples"]
    assert tensors["indices"].tolist() == [row["index"] for row in rows]
    assert tensors["labels"].tolist() == [row["label"] for row in rows]
    shown = client.pixels(f"{BATCH}.png", params={**query, "labels": "false", "columns": 3})
    mean, std = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    for position, image in enumerate(tensors["images"]):
        left = 2 + position * 34
        tile = shown[2:34, left : left + 32]
        assert np.array_equal(tile, (image * std + mean).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy())


def test_uint8_and_the_tail_give_the_float32_numbers(client: Client) -> None:
    raw = client.get(f"{BATCH}.safetensors", params={"recipe": SMALL, "dtype": "uint8"})
    tail = metadata(raw.content)["tail"]
    assert tail == "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
    pixels = safetensors.torch.load(raw.content)["images"]
    assert pixels.dtype == torch.uint8
    whole = client.get(f"{BATCH}.safetensors", params={"recipe": SMALL})
    assert metadata(whole.content)["tail"] == ""
    assert parse_recipe(tail).apply_tail(pixels).equal(safetensors.torch.load(whole.content)["images"])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16", "bfloat16"])
def test_every_dtype_is_the_float32_rounded(client: Client, dtype: str) -> None:
    images = load(client, f"{BATCH}.safetensors", recipe=SMALL, dtype=dtype)["images"]
    assert images.dtype == getattr(torch, dtype)
    if dtype != "uint8":
        assert images.equal(load(client, f"{BATCH}.safetensors", recipe=SMALL)["images"].to(images.dtype))


def test_npz_holds_the_same_arrays_and_needs_no_pickle(client: Client) -> None:
    for dtype in ("uint8", "float32", "float16"):
        query = {"recipe": SMALL, "dtype": dtype}
        body = client.get(f"{BATCH}.npz", params=query).content
        arrays = np.load(io.BytesIO(body), allow_pickle=False)
        tensors = load(client, f"{BATCH}.safetensors", **query)
        assert set(arrays) == {*tensors, "metadata"}
        for name, tensor in tensors.items():
            assert np.array_equal(arrays[name], tensor.numpy())
            assert arrays[name].dtype == tensor.numpy().dtype
        assert json.loads(str(arrays["metadata"]))["address"].startswith(BATCH)
    assert "bfloat16" in client.problem(f"{BATCH}.npz?dtype=bfloat16", 406, "not-acceptable")["detail"]


def test_metadata_tells_where_it_comes_from(client: Client) -> None:
    response = client.get(f"{BATCH}.safetensors")
    told = metadata(response.content)
    assert told["etag"] == response.headers["etag"]
    assert json.loads(told["classes"]) == ["cat", "dog", "owl"]
    again = client.get(told["address"].replace("/batches/2/0", "/batches/2/0.safetensors"))
    assert again.content == response.content


def test_head_digest_length_and_304(client: Client) -> None:
    response = client.get(f"{BATCH}.safetensors", headers={"Want-Repr-Digest": "sha-512=3, sha-256=10"})
    assert response.headers["repr-digest"] == f"sha-256=:{b64encode(hashlib.sha256(response.content).digest()).decode()}:"
    assert int(response.headers["content-length"]) == len(response.content)
    assert "repr-digest" not in client.get(f"{BATCH}.safetensors", headers={"Want-Repr-Digest": "sha-256=0"}).headers
    head = client.request("HEAD", f"{BATCH}.safetensors")
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers[name] for name in ("content-length", "etag", "content-type")] == [
        response.headers[name] for name in ("content-length", "etag", "content-type")
    ]
    assert client.get(f"{BATCH}.safetensors", headers={"If-None-Match": response.headers["etag"]}).status_code == 304


def test_programs_that_take_anything_get_tensors_and_browsers_exact_pictures(client: Client) -> None:
    kinds = {accept: client.get(BATCH, headers={"Accept": accept}).headers["content-type"] for accept in ("*/*", "image/*", "text/html,image/webp,*/*;q=0.8")}
    assert list(kinds.values()) == ["application/x-safetensors", "image/png", "image/png"]
    assert client.get(BATCH, headers={"Accept": "image/webp"}).headers["content-type"] == "image/webp"


def test_unequal_shapes_name_two_samples_and_suggest_a_crop(client: Client) -> None:
    problem = client.problem(f"{BATCH}.safetensors?recipe=Resize(24)|ToTensor()", 422, "unequal-shapes")
    assert "CenterCrop" in problem["detail"]
    first, second = problem["samples"]
    assert client.get(f"{BATCH}.png?recipe=Resize(24)|ToTensor()").status_code == 200
    shapes = {row["index"]: (row["width"], row["height"]) for row in client.json(f"{BATCH}.json?recipe=Resize(24)|ToTensor()")["samples"]}
    assert shapes[first] != shapes[second]


def test_a_broken_image_is_masked_on_request(client: Client, dataset_folder: Path) -> None:
    victim = dataset_folder / "val" / "dog" / "dog-0.jpg"
    victim.write_bytes(b"no image")
    assert client.request("POST", "/datasets/pets/refresh").status_code == 200
    path = f"{VAL}/batches/0/0.safetensors"
    problem = client.problem(f"{path}?batch_size=5", 422, "unreadable-image")
    assert problem["file"] == "val/dog/dog-0.jpg"
    tensors = load(client, path, batch_size=5, on_error="mask", recipe=SMALL)
    bad = tensors["indices"].tolist().index(problem["sample"])
    assert tensors["valid"].tolist() == [position != bad for position in range(5)]
    assert tensors["images"][bad].count_nonzero() == 0
    assert all(image.count_nonzero() for position, image in enumerate(tensors["images"]) if position != bad)


def test_an_empty_rank_is_an_empty_tensor(client: Client) -> None:
    tensors = load(client, f"{VAL}/batches/0/0.safetensors", batch_size=1, rank=0, world_size=7, recipe=SMALL)
    assert tuple(tensors["images"].shape) == (0, 3, 32, 32)
    assert tensors["labels"].dtype == torch.int64


def test_another_process_writes_the_same_file(client: Client, open_client: OpenClient) -> None:
    other = open_client(workers=1)
    for suffix in ("safetensors", "npz"):
        assert client.get(f"{BATCH}.{suffix}").content == other.get(f"{BATCH}.{suffix}").content
