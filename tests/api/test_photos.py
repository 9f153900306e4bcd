"""The service over real photos: the tutorial's numbers, and its pipeline bit for bit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from tests.api.conftest import Client, OpenClient
from tests.api.test_batch_pictures import grid

ROOT = "/datasets/hymenoptera_data"
IMAGENET = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
PIPELINES = {"train": [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()], "val": [v2.Resize(256), v2.CenterCrop(224)]}


@pytest.fixture
def photo_client(open_client: OpenClient, photos: Path) -> Client:
    return open_client(paths=(photos,))


def test_the_listing_is_image_folders(photo_client: Client, photos: Path) -> None:
    assert photo_client.json(f"{ROOT}/sizes") == {"train": 244, "val": 153}
    assert photo_client.json(f"{ROOT}/classes") == {"classes": ["ants", "bees"], "class_to_idx": {"ants": 0, "bees": 1}}
    counts = {name: each["class_counts"] for name, each in photo_client.json(ROOT)["splits"].items()}
    assert counts == {"train": {"ants": 123, "bees": 121}, "val": {"ants": 70, "bees": 83}}
    for split, size in (("train", 244), ("val", 153)):
        listed = photo_client.json(f"{ROOT}/splits/{split}/samples?limit=1000")["samples"]
        assert len(listed) == size
        assert not [each for each in listed if each["problem"]]
        folder = ImageFolder(str(photos / split))
        assert [(str(photos / each["file"]), each["label"]) for each in listed] == folder.samples
    assert photo_client.json(f"{ROOT}/splits/val/samples?class=bees&limit=1")["total"] == 83


def test_an_original_is_the_photo(photo_client: Client, photos: Path) -> None:
    sample = photo_client.json(f"{ROOT}/splits/train/samples/17")
    assert photo_client.get(f"{ROOT}/splits/train/samples/17/image").content == (photos / sample["file"]).read_bytes()


def test_epochs_of_the_tutorial(photo_client: Client) -> None:
    assert photo_client.json(f"{ROOT}/splits/train/epochs/0")["steps"] == 61
    assert photo_client.json(f"{ROOT}/splits/val/epochs/0")["steps"] == 39


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_batch_is_what_torchvision_renders(photo_client: Client, photos: Path, split: str) -> None:
    path = f"{ROOT}/splits/{split}/batches/0/0"
    told = photo_client.json(f"{path}.json")
    images = []
    for row in told["samples"]:
        with Image.open(photos / row["file"]) as photo:
            pixels = v2.functional.pil_to_tensor(photo.convert("RGB"))
        torch.manual_seed(int(row["key"], 16))
        images.append(v2.Compose(PIPELINES[split])(pixels))
    assert np.array_equal(photo_client.pixels(f"{path}.png?labels=false"), grid(images))
    floats = torch.stack([IMAGENET(image.permute(1, 2, 0).numpy()) for image in images])
    content = photo_client.get(f"{path}.safetensors").content
    start = 8 + int.from_bytes(content[:8], "little")
    served = torch.frombuffer(bytearray(content[start : start + floats.numel() * 4]), dtype=torch.float32).reshape(floats.shape)
    assert torch.equal(served, floats)


def test_views_of_a_photo_show_its_rows(photo_client: Client) -> None:
    views = photo_client.pixels(f"{ROOT}/splits/train/samples/42/views.png?epochs=2&labels=false")
    for epoch in range(2):
        steps = (photo_client.json(f"{ROOT}/splits/train/batches/{epoch}/{step}.json?batch_size=61") for step in range(4))
        place = next((told["step"], row["position"]) for told in steps for row in told["samples"] if row["index"] == 42)
        batch = photo_client.pixels(f"{ROOT}/splits/train/batches/{epoch}/{place[0]}.png?batch_size=61&labels=false&columns=61")
        left, there = 2 + (epoch + 1) * 226, 2 + place[1] * 226
        assert np.array_equal(views[2:226, left : left + 224], batch[2:226, there : there + 224])
