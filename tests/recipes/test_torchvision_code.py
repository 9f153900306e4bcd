"""Recipes as code: what a reader pastes into a training script does what the service does."""

import warnings

import pytest
import torch
from torch import Tensor

from service.recipes.recipe import parse_recipe
from service.recipes.steps import STEPS
from service.recipes.torchvision_code import write_code

KEY = 20
IMAGE = torch.randint(0, 256, (3, 60, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
EXAMPLES = [each.example if "uint8" in each.accepts else f"ToTensor() | {each.example}" for each in STEPS.values()]
OTHERS = [
    'Resize([40, 50], interpolation="nearest-exact") | RandomCrop(32, padding=[1, 2])',
    'AutoAugment("svhn", interpolation="bilinear") | ToDtype("float16", scale=True)',
    'RandomApply([RandomChoice([RandomRotation(15, interpolation="bilinear"), Identity()], p=[0.3, 0.7])], p=1.0)',
]


def run(code: str) -> Tensor:
    names: dict[str, object] = {}
    exec(code, names)
    torch.manual_seed(KEY)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The image decoding and encoding capabilities", DeprecationWarning)  # torchvision's own JPEG
        return torch.as_tensor(names["transform"](IMAGE))


@pytest.mark.parametrize("text", EXAMPLES + OTHERS)
def test_the_code_gives_the_recipes_pixels(text: str) -> None:
    recipe = parse_recipe(f"Resize([50, 60]) | {text}")
    expected, _ = recipe.apply(IMAGE, KEY)
    found = run(write_code(recipe.text))
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert torch.allclose(found.float(), expected.float(), rtol=1e-5, atol=1e-6)


def test_imports_are_those_that_are_needed() -> None:
    assert write_code("CenterCrop(32)") == "from torchvision.transforms import v2\n\ntransform = v2.Compose([\n    v2.ToImage(),\n    v2.CenterCrop(32),\n])\n"
    code = write_code(parse_recipe('AutoAugment("cifar10", interpolation="bilinear") | ToTensor()').text)
    assert code.startswith("import torch\nfrom torchvision.transforms import AutoAugmentPolicy, InterpolationMode, v2\n")
    assert "v2.AutoAugment(policy=AutoAugmentPolicy.CIFAR10, interpolation=InterpolationMode.BILINEAR)" in code
