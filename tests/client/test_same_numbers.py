"""Tensors from the loader are the server's own, and torchvision's, bit for bit, whatever travelled."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision.transforms import v2

from service.client import RemoteLoader
from service.errors import InvalidParameter, UnreadableImage
from tests.client.conftest import SMALL, URL, Network, OpenLoader

RECIPES = [
    SMALL,
    "Resize([20, 20]) | ToTensor()",
    "Resize([20, 20]) | ToDtype('float32', scale=True) | Normalize([0.5], [0.25])",
    "Resize([20, 20]) | ConvertImageDtype('float16') | Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])",
    "Resize([20, 20]) | ToDtype('bfloat16', scale=True) | Normalize([0.1], [0.3])",
    "Resize([20, 20]) | ToImage() | ToDtype('float32')",
    "RandomCrop(20) | Grayscale() | ToTensor() | Normalize([0.5], [0.5])",
    "RandomCrop(20) | ToTensor() | RandomErasing(1.0) | Normalize([0.5], [0.5])",
    "RandomCrop(20)",
]


def read_server(network: Network, recipe: str, **query: object) -> list[dict[str, torch.Tensor]]:
    """Every batch of an epoch as the server itself finishes it."""
    found = []
    for step in range(5):
        query = {"recipe": recipe, "batch_size": 2, "seed": 3, **query}
        response = network.request("GET", URL, f"/datasets/pets/splits/train/batches/0/{step}.safetensors", params=query)
        assert response.status_code == 200, response.text
        found.append(safetensors.torch.load(response.content))
    return found


def as_tensors(batch: tuple) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(each) if isinstance(each, np.ndarray) else each for each in batch)


def assert_equal(loader: RemoteLoader, expected: list[dict[str, torch.Tensor]], *names: str) -> None:
    batches = [as_tensors(batch) for batch in loader]
    assert len(batches) == len(expected) == len(loader)
    for batch, tensors in zip(batches, expected, strict=True):
        for tensor, name in zip(batch, names, strict=True):
            assert tensor.dtype == tensors[name].dtype
            assert tensor.shape == tensors[name].shape
            assert tensor.equal(tensors[name])


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("as_numpy", [False, True])
def test_a_recipes_own_numbers(open_loader: OpenLoader, network: Network, recipe: str, as_numpy: bool) -> None:
    if as_numpy and "bfloat16" in recipe:
        pytest.skip("NumPy has no bfloat16")
    loader = open_loader(recipe=recipe, seed=3, as_numpy=as_numpy, with_indices=True)
    assert_equal(loader, read_server(network, recipe), "images", "labels", "indices")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("recipe", RECIPES[:5])
def test_another_dtype(open_loader: OpenLoader, network: Network, recipe: str, dtype: str) -> None:
    assert_equal(open_loader(recipe=recipe, seed=3, dtype=dtype), read_server(network, recipe, dtype=dtype), "images", "labels")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("recipe", RECIPES[:5])
def test_on_a_device(open_loader: OpenLoader, network: Network, recipe: str, device: str) -> None:
    if str(device) == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    loader = open_loader(recipe=recipe, seed=3, device=device, pin_memory=True, with_indices=True)
    expected = [{name: tensor.to(device) for name, tensor in tensors.items()} for tensors in read_server(network, recipe)]
    assert_equal(loader, expected, "images", "labels", "indices")
    assert all(tensor.device.type == torch.device(device).type for tensor in next(iter(loader)))


def test_bytes_travel_where_the_recipe_allows_it(open_loader: OpenLoader, network: Network) -> None:
    def wire(**options: object) -> str:
        network.asked.clear()
        next(iter(open_loader(**options)))
        (dtype,) = {path.partition("&dtype=")[2].partition("&")[0] for _, path in network.asked if ".safetensors" in path}
        return dtype

    assert wire() == wire(dtype="float16") == wire(dtype="bfloat16") == wire(as_numpy=True) == "uint8"
    assert wire(recipe=RECIPES[7]) == "float32", "it turns to floats before its end"
    through_bfloat16 = "RandomCrop(20) | ToDtype('bfloat16', scale=True) | ToDtype('float32')"
    assert wire(recipe=through_bfloat16) == "uint8"
    assert wire(recipe=through_bfloat16, as_numpy=True) == "float32", "the server does what NumPy cannot"


def test_bfloat16_in_numpy_is_refused(open_loader: OpenLoader) -> None:
    with pytest.raises(InvalidParameter, match="NumPy has no bfloat16"):
        open_loader(dtype="bfloat16", as_numpy=True)


@pytest.mark.parametrize("options", [{"as_numpy": True}, {"device": "cpu"}, {}, {"dtype": "bfloat16"}, {"recipe": RECIPES[7]}, {"dtype": "uint8"}])
def test_unreadable_images_are_zeros_and_told(open_loader: OpenLoader, network: Network, dataset_folder: Path, options: dict) -> None:
    (dataset_folder / "train" / "dog" / "dog-1.png").write_bytes(b"no picture")
    query = {name: value for name, value in options.items() if name in {"recipe", "dtype"}}
    loader = open_loader(seed=3, on_error="mask", **options)
    expected = read_server(network, query.pop("recipe", SMALL), on_error="mask", **query)
    assert sum(int((~tensors["valid"]).sum()) for tensors in expected) == 1
    assert_equal(loader, expected, "images", "labels", "valid")
    with pytest.raises(UnreadableImage, match=r"dog-1\.png") as caught:
        list(open_loader(seed=3, **options))
    assert caught.value.facts["file"] == "train/dog/dog-1.png"


def test_plain_torchvision_gives_the_same(open_loader: OpenLoader, dataset_folder: Path) -> None:
    crop, flip = v2.RandomResizedCrop(24), v2.RandomHorizontalFlip()
    normalize = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    loader = open_loader(seed=11)
    read = [(batch, loader.explain(epoch, step)) for epoch in range(2) for step, batch in enumerate(loader)]
    for (inputs, labels), rows in read:  # Only now: the service draws from this process's generator, too.
        for row, image, label in zip(rows, inputs, labels, strict=True):
            with Image.open(dataset_folder / row.file) as file:
                pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
            torch.manual_seed(row.key)
            assert image.equal(normalize(flip(crop(pixels)).to(torch.float32).div(255)))
            assert (int(label), loader.classes[label]) == (row.label, row.class_name)
