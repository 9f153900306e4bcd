"""What every step of the table promises: torchvision's own bytes, for torchvision's own draws, and the types and sizes that the table claims."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import AutoAugmentPolicy, v2
from torchvision.transforms import functional as classic

from service.errors import InvalidRecipe
from service.recipes.binding import bind_all
from service.recipes.grammar import parse_calls
from service.recipes.image_type import ALL_DTYPES, ImageType
from service.recipes.recipe import parse_recipe
from service.recipes.step import REQUIRED
from service.recipes.steps import STEPS, describe_steps

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")

KEYS = (0, 1, 0x1_0000_0007, 2**64 - 1)
SIZES = ((61, 47), (40, 96), (64, 64))


class ClassicToTensor(torch.nn.Module):
    """`torchvision.transforms.functional.to_tensor`, which takes images, on their tensors."""

    def forward(self, image: Tensor) -> Tensor:
        return classic.to_tensor(np.ascontiguousarray(image.permute(1, 2, 0).numpy())) if image.dtype == torch.uint8 else image


CASES: dict[str, list[tuple[str, Callable[[], Any]]]] = {
    "Resize": [
        ("Resize(32)", lambda: v2.Resize(32)),
        ("Resize([20, 70])", lambda: v2.Resize([20, 70])),
        ("Resize(30, max_size=40, antialias=False)", lambda: v2.Resize(30, max_size=40, antialias=False)),
        ("Resize(None, max_size=50)", lambda: v2.Resize(None, max_size=50)),
        *((f'Resize(33, interpolation="{mode}")', lambda mode=mode: v2.Resize(33, mode)) for mode in ("nearest", "nearest-exact", "bilinear", "bicubic")),
    ],
    "CenterCrop": [
        ("CenterCrop(32)", lambda: v2.CenterCrop(32)),
        ("CenterCrop([80, 30])", lambda: v2.CenterCrop((80, 30))),
        ("CenterCrop(120)", lambda: v2.CenterCrop(120)),
    ],
    "RandomCrop": [
        ("RandomCrop(32)", lambda: v2.RandomCrop(32)),
        ("RandomCrop(32, padding=4)", lambda: v2.RandomCrop(32, padding=4)),
        ('RandomCrop([36, 28], padding=[3, 5], padding_mode="reflect")', lambda: v2.RandomCrop((36, 28), padding=[3, 5], padding_mode="reflect")),
        ('RandomCrop(40, padding=[1, 2, 3, 4], padding_mode="symmetric")', lambda: v2.RandomCrop(40, padding=[1, 2, 3, 4], padding_mode="symmetric")),
        ('RandomCrop(40, padding=3, padding_mode="edge")', lambda: v2.RandomCrop(40, padding=3, padding_mode="edge")),
        ("RandomCrop(90, pad_if_needed=True, fill=[1, 0.5, 0])", lambda: v2.RandomCrop(90, pad_if_needed=True, fill=[1, 0.5, 0])),
    ],
    "RandomResizedCrop": [
        ("RandomResizedCrop(32)", lambda: v2.RandomResizedCrop(32)),
        ("RandomResizedCrop([24, 40], scale=(0.5, 1), ratio=(1, 1))", lambda: v2.RandomResizedCrop((24, 40), scale=(0.5, 1), ratio=(1, 1))),
        ('RandomResizedCrop(70, interpolation="bicubic")', lambda: v2.RandomResizedCrop(70, interpolation="bicubic")),
        ("RandomResizedCrop(32, scale=[1.5, 2.0], antialias=False)", lambda: v2.RandomResizedCrop(32, scale=[1.5, 2.0], antialias=False)),
    ],
    "RandomResize": [
        ("RandomResize(20, 60)", lambda: v2.RandomResize(20, 60)),
        ('RandomResize(20, 60, interpolation="nearest")', lambda: v2.RandomResize(20, 60, "nearest")),
    ],
    "RandomShortestSize": [
        ("RandomShortestSize(32)", lambda: v2.RandomShortestSize(32)),
        ("RandomShortestSize([20, 30, 50], max_size=60)", lambda: v2.RandomShortestSize([20, 30, 50], max_size=60)),
    ],
    "ScaleJitter": [
        ("ScaleJitter([50, 60])", lambda: v2.ScaleJitter((50, 60))),
        ("ScaleJitter([50, 50], scale_range=[0.9, 1.1])", lambda: v2.ScaleJitter((50, 50), scale_range=(0.9, 1.1))),
    ],
    "RandomZoomOut": [
        ("RandomZoomOut()", v2.RandomZoomOut),
        ("RandomZoomOut(fill=[1.0, 0.5, 0.25], side_range=[1, 2], p=1)", lambda: v2.RandomZoomOut(fill=[1.0, 0.5, 0.25], side_range=(1, 2), p=1)),
    ],
    "Pad": [
        ("Pad(4)", lambda: v2.Pad(4)),
        ("Pad([1, 2], fill=1)", lambda: v2.Pad([1, 2], fill=1)),
        ("Pad([1, 2, 3, 4], fill=[0.5, 0.25, 1])", lambda: v2.Pad([1, 2, 3, 4], fill=[0.5, 0.25, 1])),
        *((f'Pad(7, padding_mode="{mode}")', lambda mode=mode: v2.Pad(7, padding_mode=mode)) for mode in ("edge", "reflect", "symmetric")),
    ],
    "RandomHorizontalFlip": [
        ("RandomHorizontalFlip()", v2.RandomHorizontalFlip),
        ("RandomHorizontalFlip(1)", lambda: v2.RandomHorizontalFlip(1)),
        ("RandomHorizontalFlip(p=0)", lambda: v2.RandomHorizontalFlip(0)),
    ],
    "RandomVerticalFlip": [("RandomVerticalFlip()", v2.RandomVerticalFlip), ("RandomVerticalFlip(p=0.9)", lambda: v2.RandomVerticalFlip(0.9))],
    "RandomRotation": [
        ("RandomRotation(30)", lambda: v2.RandomRotation(30)),
        (
            'RandomRotation([-90, 200], interpolation="bilinear", expand=True)',
            lambda: v2.RandomRotation((-90, 200), interpolation="bilinear", expand=True),
        ),
        ("RandomRotation([90, 90], expand=True)", lambda: v2.RandomRotation((90, 90), expand=True)),
        ("RandomRotation(45, center=[0, 10], fill=[0.5, 1, 0])", lambda: v2.RandomRotation(45, center=[0, 10], fill=[0.5, 1, 0])),
        ("RandomRotation(45, fill=None)", lambda: v2.RandomRotation(45, fill=None)),
    ],
    "RandomAffine": [
        ("RandomAffine(10)", lambda: v2.RandomAffine(10)),
        (
            'RandomAffine([-5, 20], translate=[0.1, 0.3], scale=[0.5, 1.5], shear=[-5, 5, -9, 9], interpolation="bilinear", fill=1, center=[3, 4])',
            lambda: v2.RandomAffine((-5, 20), translate=(0.1, 0.3), scale=(0.5, 1.5), shear=(-5, 5, -9, 9), interpolation="bilinear", fill=1, center=[3, 4]),
        ),
        ("RandomAffine(0, shear=20)", lambda: v2.RandomAffine(0, shear=20)),
        ("RandomAffine(0, shear=[1, 20])", lambda: v2.RandomAffine(0, shear=[1, 20])),
    ],
    "RandomPerspective": [
        ("RandomPerspective()", v2.RandomPerspective),
        ('RandomPerspective(0.9, p=1, interpolation="nearest", fill=[1, 0, 0.5])', lambda: v2.RandomPerspective(0.9, 1, "nearest", [1, 0, 0.5])),
    ],
    "ElasticTransform": [
        ("ElasticTransform(sigma=2)", lambda: v2.ElasticTransform(sigma=2)),
        (
            'ElasticTransform([10, 90], sigma=[1, 3], interpolation="nearest", fill=1)',
            lambda: v2.ElasticTransform([10, 90], sigma=[1, 3], interpolation="nearest", fill=1),
        ),
        ("ElasticTransform(sigma=0)", lambda: v2.ElasticTransform(sigma=0)),
    ],
    "RGB": [("RGB()", v2.RGB), ("Grayscale() | RGB()", lambda: v2.Compose([v2.Grayscale(), v2.RGB()]))],
    "Grayscale": [("Grayscale()", v2.Grayscale), ("Grayscale(3)", lambda: v2.Grayscale(3))],
    "RandomGrayscale": [
        ("RandomGrayscale()", v2.RandomGrayscale),
        ("RandomGrayscale(0.7)", lambda: v2.RandomGrayscale(0.7)),
        ("Grayscale() | RandomGrayscale(1)", lambda: v2.Compose([v2.Grayscale(), v2.RandomGrayscale(1)])),
    ],
    "ColorJitter": [
        ("ColorJitter()", v2.ColorJitter),
        ("ColorJitter(0.4, 0.3, 0.2, 0.1)", lambda: v2.ColorJitter(0.4, 0.3, 0.2, 0.1)),
        ("ColorJitter(brightness=[0.5, 2], hue=[-0.5, 0.1])", lambda: v2.ColorJitter(brightness=[0.5, 2], hue=[-0.5, 0.1])),
        ("Grayscale() | ColorJitter(0.4, 0.4, 0.4, 0.1)", lambda: v2.Compose([v2.Grayscale(), v2.ColorJitter(0.4, 0.4, 0.4, 0.1)])),
    ],
    "RandomPhotometricDistort": [
        ("RandomPhotometricDistort()", v2.RandomPhotometricDistort),
        (
            "RandomPhotometricDistort([0.5, 2], [0.1, 3], [0, 4], [-0.2, 0.2], 1)",
            lambda: v2.RandomPhotometricDistort((0.5, 2), (0.1, 3), (0, 4), (-0.2, 0.2), 1),
        ),
    ],
    "RandomChannelPermutation": [("RandomChannelPermutation()", v2.RandomChannelPermutation)],
    "RandomInvert": [("RandomInvert()", v2.RandomInvert), ("RandomInvert(1.0)", lambda: v2.RandomInvert(1.0))],
    "RandomPosterize": [("RandomPosterize(3)", lambda: v2.RandomPosterize(3)), ("RandomPosterize(0, p=1)", lambda: v2.RandomPosterize(0, p=1))],
    "RandomSolarize": [("RandomSolarize(0.5)", lambda: v2.RandomSolarize(0.5)), ("RandomSolarize(1, p=0.9)", lambda: v2.RandomSolarize(1, p=0.9))],
    "RandomEqualize": [("RandomEqualize()", v2.RandomEqualize), ("RandomEqualize(1)", lambda: v2.RandomEqualize(1))],
    "RandomAutocontrast": [("RandomAutocontrast()", v2.RandomAutocontrast), ("RandomAutocontrast(1)", lambda: v2.RandomAutocontrast(1))],
    "RandomAdjustSharpness": [
        ("RandomAdjustSharpness(2)", lambda: v2.RandomAdjustSharpness(2)),
        ("RandomAdjustSharpness(0.1, p=1)", lambda: v2.RandomAdjustSharpness(0.1, p=1)),
    ],
    "GaussianBlur": [
        ("GaussianBlur(5)", lambda: v2.GaussianBlur(5)),
        ("GaussianBlur([3, 9], sigma=1.5)", lambda: v2.GaussianBlur([3, 9], sigma=1.5)),
        ("GaussianBlur(35, sigma=[8, 12])", lambda: v2.GaussianBlur(35, sigma=[8, 12])),
    ],
    "GaussianNoise": [
        ("GaussianNoise()", v2.GaussianNoise),
        ("GaussianNoise(mean=-0.1, sigma=0.3, clip=False)", lambda: v2.GaussianNoise(-0.1, 0.3, clip=False)),
        ("RandomRotation([90, 90], expand=True) | GaussianNoise()", lambda: v2.Compose([v2.RandomRotation((90, 90), expand=True), v2.GaussianNoise()])),
    ],
    "RandomErasing": [
        ("RandomErasing()", v2.RandomErasing),
        ("RandomErasing(1, scale=[0.5, 1], ratio=[0.1, 10])", lambda: v2.RandomErasing(1, scale=(0.5, 1), ratio=(0.1, 10))),
        ("RandomErasing(p=1, value=[1, 0.5, 0])", lambda: v2.RandomErasing(1, value=[1, 0.5, 0])),
    ],
    "JPEG": [
        ("JPEG(30)", lambda: v2.JPEG(30)),
        ("JPEG([1, 100])", lambda: v2.JPEG([1, 100])),
        ("Grayscale() | JPEG(50)", lambda: v2.Compose([v2.Grayscale(), v2.JPEG(50)])),
        ("JPEG(50) | GaussianNoise()", lambda: v2.Compose([v2.JPEG(50), v2.GaussianNoise()])),
    ],
    "AutoAugment": [
        ("AutoAugment()", v2.AutoAugment),
        (
            'AutoAugment("cifar10", interpolation="bilinear", fill=1)',
            lambda: v2.AutoAugment(AutoAugmentPolicy.CIFAR10, interpolation="bilinear", fill=1),
        ),
        ('AutoAugment(policy="svhn", fill=[0.5, 1, 0])', lambda: v2.AutoAugment(AutoAugmentPolicy.SVHN, fill=[0.5, 1, 0])),
    ],
    "RandAugment": [
        ("RandAugment()", v2.RandAugment),
        (
            'RandAugment(14, magnitude=5, num_magnitude_bins=10, interpolation="bilinear", fill=0.5)',
            lambda: v2.RandAugment(14, 5, 10, "bilinear", 0.5),
        ),
        ("RandAugment(0)", lambda: v2.RandAugment(0)),
    ],
    "TrivialAugmentWide": [
        ("TrivialAugmentWide()", v2.TrivialAugmentWide),
        ("TrivialAugmentWide(7, fill=[1, 0, 0.5])", lambda: v2.TrivialAugmentWide(7, fill=[1, 0, 0.5])),
    ],
    "AugMix": [
        ("AugMix()", v2.AugMix),
        ("AugMix(10, 4, 3, 0.5, False)", lambda: v2.AugMix(10, 4, 3, 0.5, False)),
        (
            'AugMix(mixture_width=1, chain_depth=1, interpolation="nearest", fill=1)',
            lambda: v2.AugMix(mixture_width=1, chain_depth=1, interpolation="nearest", fill=1),
        ),
        ("Grayscale() | AugMix(severity=9)", lambda: v2.Compose([v2.Grayscale(), v2.AugMix(severity=9)])),
    ],
    "Compose": [
        ("Compose([RandomCrop(32), RandomInvert()])", lambda: v2.Compose([v2.RandomCrop(32), v2.RandomInvert()])),
        (
            "RandomOrder([Compose([RandomInvert(), GaussianNoise()]), RandomHorizontalFlip()])",
            lambda: v2.RandomOrder([v2.Compose([v2.RandomInvert(), v2.GaussianNoise()]), v2.RandomHorizontalFlip()]),
        ),
    ],
    "RandomApply": [
        ("RandomApply([ColorJitter(0.4), GaussianBlur(3)])", lambda: v2.RandomApply([v2.ColorJitter(0.4), v2.GaussianBlur(3)])),
        (
            "RandomApply([RandomApply([RandomCrop(30)], p=0.9), GaussianNoise()], p=0.9)",
            lambda: v2.RandomApply([v2.RandomApply([v2.RandomCrop(30)], p=0.9), v2.GaussianNoise()], p=0.9),
        ),
    ],
    "RandomChoice": [
        (
            "RandomChoice([RandomInvert(1), GaussianBlur(3), Identity()])",
            lambda: v2.RandomChoice([v2.RandomInvert(1), v2.GaussianBlur(3), v2.Identity()]),
        ),
        ("RandomChoice([RandomCrop(30), Resize([30, 30])], p=[1, 3])", lambda: v2.RandomChoice([v2.RandomCrop(30), v2.Resize([30, 30])], p=[1, 3])),
        ("RandomChoice([RandomCrop(30), CenterCrop(20)])", lambda: v2.RandomChoice([v2.RandomCrop(30), v2.CenterCrop(20)])),
    ],
    "RandomOrder": [
        (
            "RandomOrder([ColorJitter(0.4), RandomVerticalFlip(), GaussianNoise()])",
            lambda: v2.RandomOrder([v2.ColorJitter(0.4), v2.RandomVerticalFlip(), v2.GaussianNoise()]),
        ),
        (
            "RandomOrder([CenterCrop(32), RandomCrop(20, pad_if_needed=True)])",
            lambda: v2.RandomOrder([v2.CenterCrop(32), v2.RandomCrop(20, pad_if_needed=True)]),
        ),
    ],
    "Identity": [("Identity()", v2.Identity)],
    "ToImage": [("ToImage()", v2.ToImage), ("ToImage() | GaussianNoise()", lambda: v2.Compose([v2.ToImage(), v2.GaussianNoise()]))],
    "PILToTensor": [("PILToTensor()", v2.PILToTensor)],
    "ToTensor": [("ToTensor()", ClassicToTensor), ("ToTensor() | GaussianNoise()", lambda: v2.Compose([ClassicToTensor(), v2.GaussianNoise()]))],
    "ToDtype": [
        (f'ToDtype("{dtype}", scale={scale})', lambda dtype=dtype, scale=scale: v2.ToDtype(getattr(torch, dtype), scale=scale))
        for dtype in ("float32", "float16", "bfloat16")
        for scale in (True, False)
    ],
    "ConvertImageDtype": [
        ("ConvertImageDtype()", v2.ConvertImageDtype),
        ('ConvertImageDtype("bfloat16")', lambda: v2.ConvertImageDtype(torch.bfloat16)),
    ],
    "Normalize": [
        (
            "Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])",
            lambda: v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ),
        ("Normalize([0.5], [0.25])", lambda: v2.Normalize([0.5], [0.25])),
    ],
}
ALL_CASES = [pytest.param(name, text, make, id=text) for name, cases in CASES.items() for text, make in cases]
EVERY_CASE = pytest.mark.parametrize(("name", "text", "make"), ALL_CASES)


def make_photo(height: int, width: int, seed: int = 7) -> Image.Image:
    """A picture with gradients, an edge, some texture and some noise."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, 127 + 100 * np.sin(x / 5) * np.cos(y / 9)]
    pixels = np.stack(channels, axis=-1) + np.random.default_rng(seed).normal(0, 12, (height, width, 3))
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (240, 30, 60)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


PHOTOS = [v2.functional.pil_to_tensor(make_photo(*size)) for size in SIZES]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Renders as the workers do; small images gain nothing from more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def convert(image: Tensor, dtype: str) -> Tensor:
    return image if dtype == "uint8" else v2.functional.to_dtype(image, getattr(torch, dtype), scale=True)


def prefix(dtype: str) -> str:
    return "" if dtype == "uint8" else f'ToDtype("{dtype}", scale=True) | '


def expected(make: Callable[[], Any], image: Tensor, key: int) -> Tensor:
    transform = make()
    torch.manual_seed(key)
    return transform(image)


def infer(text: str, before: ImageType) -> ImageType:
    for step in bind_all(parse_calls(text)):
        before = step.infer(before)
    return before


def test_every_step_has_cases():
    assert set(CASES) == set(STEPS)


@EVERY_CASE
@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_same_bytes_as_torchvision(name: str, text: str, make: Callable[[], Any], dtype: str):
    try:
        recipe = parse_recipe(prefix(dtype) + text)
    except InvalidRecipe:
        assert dtype not in STEPS[name].accepts  # Refused for its dtype, which the next test justifies.
        return
    for photo in PHOTOS if dtype in {"uint8", "float32"} else PHOTOS[:1]:
        for key in KEYS:
            result, told = recipe.apply(photo, key)
            wanted = expected(make, convert(photo, dtype), key)
            assert result.dtype == wanted.dtype == getattr(torch, recipe.dtype)
            assert torch.equal(result, wanted)
            assert len(told) == len(recipe.describe()["steps"])


@pytest.mark.parametrize("name", [name for name, spec in STEPS.items() if spec.accepts != ALL_DTYPES])
def test_refused_dtypes_are_refused_by_torchvision_too(name: str):
    refused = set(ALL_DTYPES) - set(STEPS[name].accepts)
    for dtype in refused:
        with pytest.raises((TypeError, RuntimeError)):
            expected(CASES[name][0][1], convert(PHOTOS[0], dtype), 0)


@EVERY_CASE
def test_same_bytes_in_the_middle_of_a_recipe(name: str, text: str, make: Callable[[], Any]):
    before = "ToTensor() | " if "float32" in STEPS[name].accepts else ""
    recipe = parse_recipe(f"RandomCrop(36) | {before}RandomHorizontalFlip() | {text} | RandomVerticalFlip() | GaussianNoise(clip=False)")
    parts = [
        v2.RandomCrop(36),
        *([ClassicToTensor()] if before else []),
        v2.RandomHorizontalFlip(),
        make(),
        v2.RandomVerticalFlip(),
        v2.GaussianNoise(clip=False),
    ]
    for key in range(6):
        assert torch.equal(recipe.apply(PHOTOS[0], key)[0], expected(lambda: v2.Compose(parts), PHOTOS[0], key))


@EVERY_CASE
def test_type_claims_hold(name: str, text: str, make: Callable[[], Any]):
    for dtype in STEPS[name].accepts:
        for photo in PHOTOS:
            image = convert(photo, dtype)
            claims = [infer(text, ImageType(dtype)), infer(text, ImageType(dtype).sized(*image.shape[-2:]))]
            for key in KEYS[:2]:
                result = expected(make, image, key)
                for claimed in claims:
                    assert result.dtype == getattr(torch, claimed.dtype)
                    assert result.shape[0] == claimed.channels
                    assert claimed.height in {None, result.shape[1]}
                    assert claimed.width in {None, result.shape[2]}


SIZED = ("CenterCrop", "Pad", "RandomCrop", "RandomResizedCrop", "Resize", "ColorJitter", "RandomApply", "RandomChoice", "RandomOrder")


@pytest.mark.parametrize("name", SIZED)
def test_size_claims_say_something(name: str):
    claimed = infer(CASES[name][0][0], ImageType().sized(61, 47))
    assert claimed.height is not None
    assert claimed.width is not None


@EVERY_CASE
def test_area_rules_never_underestimate(name: str, text: str, make: Callable[[], Any]):
    steps = bind_all(parse_calls(text))
    spec = steps[-1].spec
    if spec.area is None or len(steps) > 1:
        assert spec.name not in {"Resize", "Pad", "RandomZoomOut", "RandomShortestSize", "RandomResize", "ScaleJitter", "CenterCrop", "RandomCrop"}
        return
    for photo in PHOTOS:
        for key in KEYS:
            torch.manual_seed(key)
            transform = steps[-1].transform()
            params = transform.make_params([photo])
            result = transform.transform(photo, params)
            assert spec.area(steps[-1].arguments, params, *photo.shape[-2:]) >= result.shape[-1] * result.shape[-2]


@EVERY_CASE
def test_the_input_is_never_written_to(name: str, text: str, make: Callable[[], Any]):
    recipe = parse_recipe(text if "uint8" in STEPS[name].accepts else f"ToTensor() | {text}")
    image = PHOTOS[0].clone(memory_format=torch.preserve_format)
    for key in KEYS:
        recipe.apply(image, key)
        assert torch.equal(image, PHOTOS[0])


@EVERY_CASE
def test_random_steps_are_those_whose_results_depend_on_the_key(name: str, text: str, make: Callable[[], Any]):
    recipe = parse_recipe(text if "uint8" in STEPS[name].accepts else f"ToTensor() | {text}")
    results = [recipe.apply(PHOTOS[0], key)[0] for key in range(8)]
    differs = any(each.shape != results[0].shape or not torch.equal(each, results[0]) for each in results)
    assert recipe.is_random or not differs


@pytest.mark.parametrize("name", [name for name, spec in STEPS.items() if spec.is_random])
def test_the_first_case_of_a_random_step_is_random(name: str):
    recipe = parse_recipe(STEPS[name].example)
    results = [recipe.apply(v2.functional.resize(PHOTOS[0], [300, 310]), key)[0] for key in range(12)]
    assert any(each.shape != results[0].shape or not torch.equal(each, results[0]) for each in results)


@pytest.mark.parametrize("name", [name for name in STEPS if name not in {"ToTensor", "ToImage", "PILToTensor"}])
def test_signatures_are_torchvisions(name: str):
    signature = inspect.signature(getattr(v2, name).__init__)
    theirs = {each.name: each.default for each in list(signature.parameters.values())[1:] if each.name not in {"inplace", "args", "kwargs"}}
    spec = STEPS[name]
    assert [each.name for each in spec.parameters] == list(theirs)
    for parameter in spec.parameters:
        default = theirs[parameter.name]
        if default is inspect.Parameter.empty:
            assert parameter.default is REQUIRED
        else:
            plain = str(getattr(default, "value", default)).removeprefix("torch.") if isinstance(default, AutoAugmentPolicy | torch.dtype) else default
            assert parameter.default == plain


def test_required_parameters_come_first():
    for spec in STEPS.values():
        required = [each.default is REQUIRED for each in spec.parameters]
        assert required == sorted(required, reverse=True)


@pytest.mark.parametrize("described", describe_steps(), ids=lambda described: described["name"])
def test_examples_and_defaults_parse(described: dict[str, Any]):
    before = "" if "uint8" in described["accepts"] else "ToTensor() | "
    assert described["name"] in parse_recipe(before + described["example"]).text
    for parameter in STEPS[described["name"]].parameters:
        if parameter.default is not REQUIRED:
            assert parameter.kind.accept(parameter.default) == parameter.default
