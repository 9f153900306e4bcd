"""On real photos, the engine gives what torchvision gives on tensors, bit for bit; and how far that is from its Pillow-backed transforms."""

from pathlib import Path

import pytest
import torch
from torchvision import datasets
from torchvision import transforms as v1
from torchvision.transforms import functional as classic
from torchvision.transforms import v2

from service.loading.accounts import LoaderLimits
from service.loading.arena import Budget
from service.loading.job import Delivery
from service.loading.loader import Loader
from service.loading.order import Order
from service.planning.address import Address
from service.planning.plan import make_plan
from service.recipes.presets import PRESETS
from service.recipes.recipe import parse_recipe
from service.sources.catalogue import Catalogue

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def catalogue(photos: Path) -> Catalogue:
    return Catalogue([photos], 50_000_000, 64 << 20)


def orders(catalogue: Catalogue, split: str, recipe: str, steps: int) -> list[Order]:
    dataset = catalogue.datasets[0]
    parsed = parse_recipe(recipe)
    listing = dataset.split(split)
    found = []
    for step in range(steps):
        address = Address(dataset.name, dataset.version, split, parsed.text, 3, 1, step, 16, True, False, 0, 1, parsed.dtype)
        found.append(Order(address.text, address, dataset, listing, parsed, make_plan(address, len(listing))))
    return found


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_tutorials_recipes_equal_torchvision_on_tensors(catalogue: Catalogue, photos: Path, split: str) -> None:
    pixels = {"train": [v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()], "val": [v2.Resize(256), v2.CenterCrop(224)]}[split]
    plain = v2.Compose(pixels)
    normalize = v2.Normalize(MEAN, STD)
    folder = datasets.ImageFolder(photos / split)
    loader = Loader("photos", catalogue.datasets[0].reader, LoaderLimits(2, 64 << 20, 16, 60.0, 256 << 20), Budget(256 << 20), "cpu", None)
    try:
        for wanted in orders(catalogue, split, PRESETS[split], steps=3):
            ticket = loader.submit(wanted)
            delivery: Delivery = ticket.future.result(60)
            for row, image in zip(delivery.batch.rows, delivery.batch.tensor(), strict=True):
                photo, label = folder[row.index]
                torch.manual_seed(row.key)
                expected = normalize(classic.to_tensor(plain(v2.functional.pil_to_tensor(photo)).permute(1, 2, 0).numpy()))
                assert image.equal(expected), row.file
                assert label == row.label
            loader.release(ticket)
    finally:
        loader.close()


def test_pillow_backed_transforms_differ_by_little(photos: Path) -> None:
    """The figure that the README states: nearly all values equal, none further off than 2 of 255."""
    val = datasets.ImageFolder(photos / "val")
    differing = values = largest = 0
    for index in range(0, len(val), 5):
        photo, _ = val[index]
        torch.manual_seed(index)
        box = v1.RandomResizedCrop.get_params(photo, [0.08, 1.0], [3 / 4, 4 / 3])
        pillow = [v1.CenterCrop(224)(v1.Resize(256)(photo)), classic.resized_crop(photo, *box, [224, 224])]
        image = v2.functional.pil_to_tensor(photo)
        tensor = [v2.CenterCrop(224)(v2.Resize(256)(image)), v2.functional.resized_crop(image, *box, [224, 224])]
        for ours, theirs in zip(tensor, pillow, strict=True):
            difference = (ours.int() - v2.functional.pil_to_tensor(theirs).int()).abs()
            differing, values, largest = differing + int(difference.count_nonzero()), values + difference.numel(), max(largest, int(difference.max()))
    assert 0 < largest <= 2
    assert differing / values < 0.03
