"""What is told is true: a sample rendered again from the told parameters, with torchvision's plain functions, comes out the same."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812  its usual name

from service.encoding.batch import Applied
from service.recipes.binding import bind_all
from service.recipes.grammar import parse_calls
from service.recipes.recipe import parse_recipe
from service.recipes.step import BoundStep

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision:DeprecationWarning")

KEYS = range(12)


def replay_op(image: Tensor, op: str, magnitude: float, arguments: dict[str, Any]) -> Tensor:
    """One operation of an auto-augmentation, as their papers and torchvision's documentation name them."""
    fill, interpolation = listed(arguments["fill"]), arguments["interpolation"]
    warp = {"scale": 1.0, "interpolation": interpolation, "fill": fill}
    if op.startswith("Shear"):
        degrees = math.degrees(math.atan(magnitude))
        return F.affine(image, angle=0.0, translate=[0, 0], shear=[degrees, 0.0] if op == "ShearX" else [0.0, degrees], center=[0, 0], **warp)
    if op.startswith("Translate"):
        shift = [int(magnitude), 0] if op == "TranslateX" else [0, int(magnitude)]
        return F.affine(image, angle=0.0, translate=shift, shear=[0.0, 0.0], **warp)
    one = {
        "Identity": lambda: image,
        "Rotate": lambda: F.rotate(image, magnitude, interpolation=interpolation, fill=fill),
        "Brightness": lambda: F.adjust_brightness(image, 1.0 + magnitude),
        "Color": lambda: F.adjust_saturation(image, 1.0 + magnitude),
        "Contrast": lambda: F.adjust_contrast(image, 1.0 + magnitude),
        "Sharpness": lambda: F.adjust_sharpness(image, 1.0 + magnitude),
        "Posterize": lambda: F.posterize(image, int(magnitude)),
        "Solarize": lambda: F.solarize(image, (1.0 if image.is_floating_point() else 255) * magnitude),
        "AutoContrast": lambda: F.autocontrast(image),
        "Equalize": lambda: F.equalize(image),
        "Invert": lambda: F.invert(image),
    }
    return one[op]()


def replay_ops(image: Tensor, params: dict[str, Any], arguments: dict[str, Any]) -> Tensor:
    for each in params["ops"]:
        image = replay_op(image, each["op"], each["magnitude"], arguments)
    return image


def replay_mix(image: Tensor, params: dict[str, Any], arguments: dict[str, Any]) -> Tensor:
    mixed = torch.tensor(params["original_weight"]).reshape(1, 1, 1) * image
    for chain in params["chains"]:
        mixed += torch.tensor(chain["weight"]).reshape(1, 1, 1) * replay_ops(image, chain, arguments)
    return mixed.to(image.dtype)


def replay_adjustments(image: Tensor, names: list[str], params: dict[str, Any]) -> Tensor:
    for name in names:
        if params.get(f"{name}_factor") is not None:
            image = getattr(F, f"adjust_{name}")(image, params[f"{name}_factor"])
    return image


def replay_distortion(image: Tensor, params: dict[str, Any], arguments: dict[str, Any]) -> Tensor:
    names = ["contrast", "saturation", "hue"] if params["contrast_before"] else ["saturation", "hue", "contrast"]
    image = replay_adjustments(image, ["brightness", *names], params)
    return image if params["channel_permutation"] is None else F.permute_channels(image, params["channel_permutation"])


def replay_crop(image: Tensor, params: dict[str, Any], arguments: dict[str, Any]) -> Tensor:
    if any(params["padding"]):
        image = F.pad(image, params["padding"], fill=listed(arguments["fill"]), padding_mode=arguments["padding_mode"])
    return F.crop(image, params["top"], params["left"], params["height"], params["width"])


def replay_hole(image: Tensor, params: dict[str, Any], arguments: dict[str, Any]) -> Tensor:
    return F.erase(image, params["top"], params["left"], params["height"], params["width"], torch.tensor(params["value"]))


def resize(image: Tensor, size: list[int], arguments: dict[str, Any]) -> Tensor:
    return F.resize(image, size, interpolation=arguments["interpolation"], antialias=arguments["antialias"])


def warp_arguments(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: listed(arguments[name]) for name in ("interpolation", "fill", *names)}


def listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


REPLAYS: dict[str, Callable[[Tensor, dict[str, Any], dict[str, Any]], Tensor]] = {
    "RandomResizedCrop": lambda image, params, a: F.resized_crop(
        image, **params, size=[a["size"]] * 2 if isinstance(a["size"], int) else list(a["size"]), interpolation=a["interpolation"], antialias=a["antialias"]
    ),
    "RandomCrop": replay_crop,
    "RandomResize": lambda image, params, a: resize(image, params["size"], a),
    "RandomShortestSize": lambda image, params, a: resize(image, params["size"], a),
    "ScaleJitter": lambda image, params, a: resize(image, params["size"], a),
    "RandomZoomOut": lambda image, params, a: F.pad(image, params["padding"], fill=listed(a["fill"])),
    "RandomHorizontalFlip": lambda image, params, a: F.horizontal_flip(image),
    "RandomVerticalFlip": lambda image, params, a: F.vertical_flip(image),
    "RandomRotation": lambda image, params, a: F.rotate(image, params["angle"], **warp_arguments(a, "expand", "center")),
    "RandomAffine": lambda image, params, a: F.affine(image, **params, **warp_arguments(a, "center")),
    "RandomPerspective": lambda image, params, a: F.perspective(image, None, None, coefficients=params["coefficients"], **warp_arguments(a)),
    "RandomGrayscale": lambda image, params, a: F.rgb_to_grayscale(image, num_output_channels=image.shape[0]),
    "ColorJitter": lambda image, params, a: replay_adjustments(image, params["order"], params),
    "RandomPhotometricDistort": replay_distortion,
    "RandomChannelPermutation": lambda image, params, a: F.permute_channels(image, params["permutation"]),
    "RandomInvert": lambda image, params, a: F.invert(image),
    "RandomPosterize": lambda image, params, a: F.posterize(image, a["bits"]),
    "RandomSolarize": lambda image, params, a: F.solarize(image, a["threshold"]),
    "RandomEqualize": lambda image, params, a: F.equalize(image),
    "RandomAutocontrast": lambda image, params, a: F.autocontrast(image),
    "RandomAdjustSharpness": lambda image, params, a: F.adjust_sharpness(image, a["sharpness_factor"]),
    "GaussianBlur": lambda image, params, a: F.gaussian_blur(
        image, [a["kernel_size"]] * 2 if isinstance(a["kernel_size"], int) else list(a["kernel_size"]), params["sigma"]
    ),
    "RandomErasing": replay_hole,
    "JPEG": lambda image, params, a: F.jpeg(image, params["quality"]),
    "AutoAugment": replay_ops,
    "RandAugment": replay_ops,
    "TrivialAugmentWide": replay_ops,
    "AugMix": replay_mix,
    "RandomApply": lambda image, params, a: image,
}


def replay(image: Tensor, steps: tuple[BoundStep, ...], told: list[dict[str, Any]]) -> Tensor:
    """Renders again what was told of a sample."""
    for step, each in zip(steps, told, strict=True):
        assert step.spec.name == each["step"]
        nested = each["params"].get("steps", [])
        if not each["applied"]:
            assert each["params"] == {}
        elif step.steps:
            order = each["params"].get("order", [each["params"]["index"]] if "index" in each["params"] else range(len(step.steps)))
            image = replay(image, tuple(step.steps[index] for index in order), nested)
        elif step.spec.is_random:
            image = REPLAYS[step.spec.name](image, each["params"], dict(step.arguments))
        else:
            image = step.transform().transform(image, {})
    return image


def as_json(told: tuple[Applied, ...]) -> list[dict[str, Any]]:
    """Sends what was told through JSON, which must not change it."""
    plain = [{"step": each.step, "applied": each.applied, "params": each.params} for each in told]
    sent = json.loads(json.dumps(plain, allow_nan=False))
    assert sent == plain
    return sent


RECIPES = [
    "RandomResizedCrop(32)",
    'RandomResizedCrop([24, 40], scale=[0.1, 0.3], interpolation="bicubic", antialias=False)',
    "RandomCrop(32)",
    'RandomCrop(50, padding=[4, 9], padding_mode="reflect")',
    "RandomCrop([90, 20], pad_if_needed=True, fill=[1, 2, 3])",
    "RandomResize(20, 60)",
    "RandomShortestSize([20, 30, 50], max_size=60)",
    "ScaleJitter([50, 60])",
    "RandomZoomOut(fill=[9, 8, 7])",
    "RandomHorizontalFlip()",
    "RandomVerticalFlip(p=0.3)",
    'RandomRotation(30, interpolation="bilinear", fill=9)',
    "RandomRotation([-180, 180], expand=True, center=[3, 4])",
    "RandomAffine(20, translate=[0.2, 0.1], scale=[0.5, 1.5], shear=[-9, 9, -5, 5], fill=[1, 2, 3])",
    "RandomPerspective(0.7, fill=3)",
    "RandomGrayscale(p=0.5)",
    "ColorJitter(0.4, 0.4, 0.4, 0.1)",
    "ColorJitter(saturation=0.7, hue=0.5)",
    "RandomPhotometricDistort()",
    "RandomChannelPermutation()",
    "RandomInvert()",
    "RandomPosterize(3)",
    "RandomSolarize(100)",
    "RandomEqualize()",
    "RandomAutocontrast()",
    "RandomAdjustSharpness(3)",
    "GaussianBlur([3, 9], sigma=[0.5, 4])",
    "RandomErasing(value=[1, 2, 3])",
    "RandomErasing(p=1, scale=[0.9, 1], ratio=[0.1, 10])",
    "JPEG([5, 95])",
    *(f'AutoAugment("{policy}")' for policy in ("imagenet", "cifar10", "svhn")),
    'RandAugment(6, interpolation="bilinear", fill=[1, 2, 3])',
    "TrivialAugmentWide()",
    "AugMix(severity=9, mixture_width=4)",
    "AugMix(chain_depth=2, all_ops=False)",
    "Grayscale() | AugMix(severity=9)",
    "RandomApply([ColorJitter(0.4, hue=0.2), RandomHorizontalFlip()], p=0.6)",
    "RandomChoice([RandomCrop(30), Compose([RandomRotation(20), CenterCrop(30)]), RandomResizedCrop(30)], p=[1, 2, 1])",
    "RandomOrder([RandomSolarize(100), ColorJitter(0.4), RandomHorizontalFlip()])",
    "RandomResizedCrop(40) | RandomHorizontalFlip() | ColorJitter(0.3, 0.3, 0.3) | ToTensor() | Normalize([0.5], [0.2]) | RandomErasing(0.7)",
]


@pytest.mark.parametrize("text", RECIPES)
def test_told_parameters_render_the_same_pixels(text: str, photo: Tensor):
    recipe, steps = parse_recipe(text), bind_all(parse_calls(text))
    changed = 0
    for key in KEYS:
        result, told = recipe.apply(photo, key)
        assert torch.equal(replay(photo, steps, as_json(told)), result)
        changed += result.shape != photo.shape or not torch.equal(result, photo)
    assert changed


@pytest.mark.gpu
def test_a_gpu_draws_the_same_parameters(photo: Tensor):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for text in (*RECIPES, "GaussianNoise()", "ToTensor() | RandomErasing(1, value='random')", "ElasticTransform(sigma=2)"):
        recipe = parse_recipe(text)
        for key in KEYS:
            (there, told_there), (here, told_here) = recipe.apply(photo.cuda(), key), recipe.apply(photo, key)
            assert told_there == told_here
            assert there.is_cuda
            assert (there.shape, there.dtype) == (here.shape, here.dtype)


@pytest.mark.parametrize("text", ["RandomHorizontalFlip()", "RandomGrayscale(p=0.5)", "RandomZoomOut()", "RandomApply([RandomInvert(p=1)])", "RandomErasing()"])
def test_steps_left_out_say_so_and_leave_the_image_alone(text: str, photo: Tensor):
    outcomes = set()
    for key in KEYS:
        result, (told,) = parse_recipe(text).apply(photo, key)
        assert told.applied != torch.equal(result, photo)
        outcomes.add(told.applied)
    assert outcomes == {True, False}


def test_erasing_that_finds_no_place_is_told_as_not_applied(make_photo: Callable[..., Tensor]):
    sliver = make_photo(1, 40)
    result, (told,) = parse_recipe("RandomErasing(p=1, scale=[0.9, 1.0])").apply(sliver, 0)
    assert torch.equal(result, sliver)
    assert told == Applied("RandomErasing", applied=False)


@pytest.mark.parametrize(("text", "field"), [("GaussianNoise()", "noise"), ("ToTensor() | RandomErasing(1, value='random')", "value")])
def test_large_fields_are_told_by_shape(text: str, field: str, photo: Tensor):
    told = parse_recipe(text).apply(photo, 5)[1][-1]
    shape = told.params[field]["shape"]
    assert shape == ([3, 61, 47] if field == "noise" else [3, told.params["height"], told.params["width"]])
    assert told.params[field]["drawn"] == "from the sample's key"


def test_the_displacement_of_an_elastic_transform_is_told_by_shape(photo: Tensor):
    told = parse_recipe("ElasticTransform(sigma=2)").apply(photo, 5)[1][0]
    assert told.params == {"displacement": {"shape": [1, 61, 47, 2], "drawn": "from the sample's key"}}


def test_steps_that_draw_nothing_tell_nothing(photo: Tensor):
    _, told = parse_recipe("Resize(30) | CenterCrop(20) | Identity() | ToTensor() | Normalize([0.5], [0.5])").apply(photo, 5)
    assert [each.params for each in told] == [{}] * 5
    assert all(each.applied for each in told)


def test_the_weights_of_augmix_add_up_to_one(photo: Tensor):
    params = parse_recipe("AugMix(mixture_width=5)").apply(photo, 5)[1][0].params
    assert len(params["chains"]) == 5
    assert params["original_weight"] + sum(chain["weight"] for chain in params["chains"]) == pytest.approx(1, abs=1e-5)
