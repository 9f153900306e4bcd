"""Recipes: types, tails, the way back from Normalize, and the seeded apply."""

import contextlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as classic
from torchvision.transforms import v2

from service.errors import InvalidRecipe, StepFailed
from service.recipes.operation import fail
from service.recipes.recipe import parse_recipe

IMAGENET = "Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
TRAIN = f"RandomResizedCrop(224) | RandomHorizontalFlip() | ToTensor() | {IMAGENET}"


@pytest.mark.parametrize(
    ("text", "head", "tail"),
    [
        (TRAIN, "RandomResizedCrop(224) | RandomHorizontalFlip()", f"ToTensor() | {IMAGENET}"),
        ("Resize(8)", "Resize(8)", ""),
        ("ToTensor()", "", "ToTensor()"),
        ('Pad(1) | ToDtype("float16", scale=True)', "Pad(1)", 'ToDtype("float16", scale=True)'),
        (
            f'ToImage() | Pad(1) | ToImage() | PILToTensor() | ConvertImageDtype("float32") | {IMAGENET}',
            "ToImage() | Pad(1)",
            f"ToImage() | PILToTensor() | ConvertImageDtype() | {IMAGENET}",
        ),
        ("Pad(1) | ToImage()", "Pad(1) | ToImage()", ""),
        (f"Pad(1) | ToTensor() | RandomErasing() | {IMAGENET}", f"Pad(1) | ToTensor() | RandomErasing() | {IMAGENET}", ""),
        (f"Pad(1) | ToTensor() | {IMAGENET} | RandomErasing()", f"Pad(1) | ToTensor() | {IMAGENET} | RandomErasing()", ""),
        (f"Compose([Pad(1), ToTensor(), {IMAGENET}])", "Pad(1)", f"ToTensor() | {IMAGENET}"),
        ("Pad(1) | ToTensor() | ToTensor()", "Pad(1)", "ToTensor() | ToTensor()"),
    ],
)
def test_the_tail_is_the_longest_end_that_only_rescales(text: str, head: str, tail: str):
    recipe = parse_recipe(text)
    assert (recipe.head, recipe.tail) == (head, tail)
    assert recipe.text == " | ".join(part for part in (head, tail) if part)
    if head:
        assert parse_recipe(head).dtype == recipe.head_dtype
    assert recipe.head_dtype == ("uint8" if tail else recipe.dtype)


@pytest.mark.parametrize(
    ("text", "dtype", "shape"),
    [
        (TRAIN, "float32", (3, 224, 224)),
        ("Resize(256)", "uint8", (3, None, None)),
        ("CenterCrop([40, 80]) | Resize(20)", "uint8", (3, 20, 40)),
        ("CenterCrop([40, 80]) | Resize(20, max_size=30)", "uint8", (3, 15, 30)),
        ("CenterCrop([40, 80]) | Resize(None, max_size=100)", "uint8", (3, 50, 100)),
        ("CenterCrop(40) | Pad([1, 2, 3, 4])", "uint8", (3, 46, 44)),
        ("CenterCrop(40) | Pad([5, 10])", "uint8", (3, 60, 50)),
        ("CenterCrop(40) | RandomRotation(10)", "uint8", (3, 40, 40)),
        ("CenterCrop(40) | RandomRotation(10, expand=True)", "uint8", (3, None, None)),
        ("CenterCrop(40) | RandomZoomOut()", "uint8", (3, None, None)),
        ("CenterCrop(40) | Grayscale()", "uint8", (1, 40, 40)),
        ("Grayscale() | RGB()", "uint8", (3, None, None)),
        ('ToTensor() | ToDtype("bfloat16")', "bfloat16", (3, None, None)),
        ('ToDtype("float16") | ToTensor()', "float16", (3, None, None)),
        ("CenterCrop(40) | RandomApply([Resize(20)])", "uint8", (3, None, None)),
        ("CenterCrop(40) | RandomChoice([Resize([20, 30]), CenterCrop([20, 50])])", "uint8", (3, 20, None)),
        ("CenterCrop(40) | RandomOrder([RandomInvert(), GaussianBlur(3)])", "uint8", (3, 40, 40)),
        ("CenterCrop(40) | RandomOrder([Pad(1), Pad(2)])", "uint8", (3, None, None)),
        ("RandomApply([RandomChoice([Grayscale(3), Identity()])])", "uint8", (3, None, None)),
    ],
)
def test_types_are_told_from_the_text(text: str, dtype: str, shape: tuple[int, int | None, int | None], photo: Tensor):
    recipe = parse_recipe(text)
    assert (recipe.dtype, recipe.output_shape) == (dtype, shape)
    result, _ = recipe.apply(photo, 1)
    assert str(result.dtype) == f"torch.{dtype}"
    assert all(claimed in {None, actual} for claimed, actual in zip(shape, result.shape, strict=True))


@pytest.mark.parametrize(
    ("text", "culprit", "advice"),
    [
        (f"Pad(1) | {IMAGENET}", "Normalize(", "put ToTensor() before Normalize"),
        ("ToTensor() | JPEG(50)", "JPEG(50)", "put JPEG before ToTensor()"),
        (f"Grayscale() | ToTensor() | {IMAGENET}", "Normalize(", "one for each of the 1 channel(s), not 3"),
        (f"ToTensor() | {IMAGENET} | ColorJitter(0.1)", "ColorJitter(0.1)", "put it before Normalize"),
        ('ToDtype("float32") | RandAugment()', "RandAugment()", "give ToDtype scale=True"),
        (f"ToTensor() | {IMAGENET} | GaussianNoise()", "GaussianNoise()", "clip=False"),
        ("ToTensor() | RandomSolarize(128)", "RandomSolarize(128)", "from 0 to 1 on float"),
        ("RandomErasing(value='random')", "RandomErasing(value='random')", "put ToTensor() before RandomErasing"),
        ("RandomErasing(value=-1)", "RandomErasing(value=-1)", "from 0 to 255"),
        ("Pad(1, fill=-0.5)", "Pad(1, fill=-0.5)", "from 0 to 255"),
        ("Grayscale() | Pad(1, fill=[1, 2, 3])", "Pad(1, fill=[1, 2, 3])", "each of the 1 channel(s), not 3"),
        ("Pad(1, fill=[1, 2, 3], padding_mode='edge')", "Pad(1, fill=", "one number unless padding_mode"),
        ("Resize(None)", "Resize(None)", "or max_size with size=None"),
        ("Resize([8, 9], max_size=10)", "Resize([8, 9], max_size=10)", "a size of one integer"),
        ("Resize(10, max_size=10)", "Resize(10, max_size=10)", "lies above size"),
        ("RandomResize(10, 10)", "RandomResize(10, 10)", "min_size lies below max_size"),
        ("RandAugment(magnitude=31)", "RandAugment(magnitude=31)", "below num_magnitude_bins"),
        ("ElasticTransform(sigma=[0, 1])", "ElasticTransform(sigma=[0, 1])", "both above 0"),
        ("RandomChoice([Pad(1)], p=[0.5, 0.5])", "RandomChoice([Pad(1)], p=[0.5, 0.5])", "one weight for each of the 1 step"),
        ("RandomChoice([Pad(1)], p=[0])", "RandomChoice([Pad(1)], p=[0])", "not all of them 0"),
        ("RandomApply([ToTensor()])", "RandomApply([ToTensor()])", "by chance"),
        ("RandomApply([Grayscale()])", "RandomApply([Grayscale()])", "1 channel or uint8 with 3 channels, by chance"),
        (f"ToTensor() | RandomApply([{IMAGENET}])", "RandomApply([Normalize(", "rescaled"),
        ("RandomChoice([Pad(1), ToTensor()])", "RandomChoice([Pad(1), ToTensor()])", "by chance"),
        ("RandomOrder([Pad(1), Grayscale()])", "Grayscale()", "the order is drawn"),
        (f"RandomApply([Pad(1), {IMAGENET}])", "Normalize(", "put ToTensor() before Normalize"),
    ],
)
def test_steps_that_do_not_fit_are_refused_with_advice(text: str, culprit: str, advice: str):
    with pytest.raises(InvalidRecipe) as caught:
        parse_recipe(text)
    assert caught.value.facts["culprit"].startswith(culprit)
    assert text[caught.value.facts["position"] :].startswith(culprit)
    assert advice in caught.value.detail


TAILS = [
    "ToTensor()",
    f"ToTensor() | {IMAGENET}",
    f'ToDtype("float32", scale=True) | {IMAGENET}',
    'ToDtype("float32") | Normalize([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])',
    f"ConvertImageDtype() | {IMAGENET} | Normalize([0.1], [0.3, 2.0, 0.7])",
    f'ToTensor() | {IMAGENET} | ToDtype("float16")',
    f'ToImage() | ToDtype("bfloat16", scale=True) | {IMAGENET}',
]


@pytest.mark.parametrize("tail", TAILS)
def test_the_tail_of_a_batch_gives_the_numbers_of_the_whole_recipe(tail: str, make_photo: Callable[..., Tensor]):
    recipe = parse_recipe(f"RandomResizedCrop([33, 29]) | RandomHorizontalFlip() | {tail}")
    assert recipe.tail == tail
    images = [make_photo(50, 60, seed) for seed in range(5)]
    heads = [recipe.apply(image, key, with_tail=False) for key, image in enumerate(images)]
    wholes = [recipe.apply(image, key) for key, image in enumerate(images)]
    block = torch.stack([pixels for pixels, _ in heads])
    before = block.clone()
    for batch in (block, block.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(recipe.apply_tail(batch), torch.stack([pixels for pixels, _ in wholes]))
    assert torch.equal(block, before)
    for (pixels, told), (whole, whole_told) in zip(heads, wholes, strict=True):
        assert pixels.dtype == torch.uint8
        assert torch.equal(recipe.apply_tail(pixels), whole)
        assert told == whole_told[: len(told)]
        assert len(whole_told) - len(told) == len(tail.split(" | "))


def test_a_recipe_without_tail_has_nothing_to_apply(photo: Tensor):
    recipe = parse_recipe("Pad(1)")
    assert recipe.apply_tail(photo) is photo
    assert torch.equal(recipe.apply(photo, 0, with_tail=False)[0], recipe.apply(photo, 0)[0])


def test_to_tensor_is_the_classic_one_for_every_value():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    result, _ = parse_recipe("ToTensor()").apply(torch.from_numpy(pixels).permute(2, 0, 1), 0)
    wanted = classic.to_tensor(Image.fromarray(pixels))
    assert torch.equal(result, wanted)
    assert result.stride() == wanted.stride()
    by_multiplication = v2.functional.to_dtype(torch.from_numpy(pixels).permute(2, 0, 1), torch.float32, scale=True)
    assert not torch.equal(result, by_multiplication)


@pytest.mark.parametrize(
    ("tail", "mean", "std"),
    [
        ("ToTensor()", None, None),
        ("Identity()", None, None),
        (f"ToTensor() | {IMAGENET}", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("ToTensor() | Normalize([0.5], [0.25])", (0.5,) * 3, (0.25,) * 3),
        ("ToTensor() | Grayscale() | Normalize([0.5], [0.25])", (0.5,), (0.25,)),
        ("Grayscale() | ToTensor() | Normalize([0.5], [0.25]) | RGB()", (0.5,) * 3, (0.25,) * 3),
        ('ToDtype("float32")', (0.0,) * 3, (1 / 255,) * 3),
        ('ToDtype("float32") | ToDtype("float16", scale=True)', (0.0,) * 3, (1 / 255,) * 3),
        ('ToDtype("float32") | Normalize([51.0], [102.0])', (51 / 255,) * 3, (102 / 255,) * 3),
        ("ToTensor() | Normalize([0.5], [0.5]) | Normalize([0.1, 0.2, 0.3], [2.0])", (0.55, 0.6, 0.65), (1.0,) * 3),
        ("ToTensor() | Normalize([0.0], [1.0])", None, None),
        (f"ToTensor() | {IMAGENET} | RandomHorizontalFlip(1) | RandomErasing(0)", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_normalization_leads_back_to_the_pixels(tail: str, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, photo: Tensor):
    recipe = parse_recipe(f"CenterCrop(40) | {tail}")
    if mean is None or std is None:
        assert recipe.normalization is None
        return
    assert recipe.normalization is not None
    assert recipe.normalization[0] == pytest.approx(mean)
    assert recipe.normalization[1] == pytest.approx(std)
    if mean == (0.485, 0.456, 0.406):
        assert recipe.normalization == (mean, std)
    result, _ = recipe.apply(photo, 3)
    shift, scale = (torch.tensor(each).view(-1, 1, 1) for each in recipe.normalization)
    gray = "Grayscale() | " if "Grayscale" in tail else ""
    flip = " | RandomHorizontalFlip(1)" if "Flip" in tail else ""
    plain, _ = parse_recipe(f"CenterCrop(40) | {gray}ToTensor(){flip}").apply(photo, 3)
    # Rounding a gray value to uint8 before or after ToTensor makes 1/255.
    torch.testing.assert_close(
        (result.float() * scale + shift), plain.expand(result.shape), rtol=0, atol=1e-2 if gray or result.dtype != torch.float32 else 1e-6
    )


def test_the_same_key_gives_the_same_bytes_whatever_came_before(make_photo: Callable[..., Tensor]):
    recipe, other = parse_recipe(TRAIN), parse_recipe("RandAugment(5) | GaussianNoise()")
    images = [make_photo(50, 70, seed) for seed in range(4)]
    first = [recipe.apply(image, 1000 + index) for index, image in enumerate(images)]
    for index in (2, 0, 3, 1, 1):
        other.apply(images[index], index)
        torch.rand(index)
        pixels, told = recipe.apply(images[index], 1000 + index)
        assert torch.equal(pixels, first[index][0])
        assert told == first[index][1]


def test_another_key_gives_other_bytes(photo: Tensor):
    recipe = parse_recipe(TRAIN)
    assert len({recipe.apply(photo, key)[0].sum().item() for key in range(20)}) == 20
    assert recipe.is_random
    assert not parse_recipe("Resize(8) | ToTensor()").is_random
    assert parse_recipe("RandomOrder([Pad(1)])").is_random


@pytest.mark.parametrize("key", [0, 2**63, 2**64 - 1])
def test_keys_have_64_bits(key: int, photo: Tensor):
    assert torch.equal(parse_recipe(TRAIN).apply(photo, key)[0], parse_recipe(TRAIN).apply(photo, key)[0])


@pytest.mark.parametrize(
    ("text", "size", "reason"),
    [
        ("RandomCrop(64)", (61, 47), "larger than"),
        ('Pad(64, padding_mode="reflect")', (61, 47), "adding"),
        ("GaussianBlur(63)", (20, 20), "adding"),
        ("ElasticTransform()", (10, 10), "adding"),
        ("Resize(2048)", (1, 30_000), "125,829,120,000 pixels"),
        ("Resize(None, max_size=8)", (1, 30_000), "should be greater than 0"),
        ("CenterCrop(2048)", (1, 30_000), "61,440,000 pixels"),
        ("RandomCrop(2048, pad_if_needed=True)", (1, 30_000), "122,850,000 pixels"),
        ("RandomCrop(10, padding=2048)", (1, 30_000), "pixels"),
        ("Pad(2048)", (1, 30_000), "pixels"),
        ("RandomZoomOut(side_range=[16, 16], p=1)", (600, 600), "92,160,000 pixels"),
        ("RandomRotation([45, 45], expand=True)", (1, 30_000), "pixels"),
        ("RandomShortestSize(2048)", (1, 30_000), "pixels"),
        ("RandomResize(2047, 2048)", (1, 30_000), "pixels"),
        ("ScaleJitter([2048, 2048], scale_range=[10, 10])", (100, 100), "pixels"),
        ("RandomApply([RandomChoice([Pad(2048)])], p=1)", (1, 30_000), "pixels"),
    ],
)
def test_steps_that_cannot_be_applied_say_so(text: str, size: tuple[int, int], reason: str):
    height, width = size
    with pytest.raises(StepFailed, match=f"cannot be applied to a {width}x{height} image: ") as caught:
        parse_recipe(text).apply(torch.zeros(3, height, width, dtype=torch.uint8), 0)
    assert reason in caught.value.detail
    assert caught.value.facts["step"] in text
    assert parse_recipe(str(caught.value.facts["call"])).text in parse_recipe(text).text
    assert "\n" not in caught.value.detail


def test_what_is_told_of_a_sliver_is_json_too():
    recipe, outcomes = parse_recipe("RandomPerspective(1, p=1)"), set()
    for key in range(20):
        with contextlib.suppress(StepFailed):
            result, (told,) = recipe.apply(torch.full((3, 1, 1), 9, dtype=torch.uint8), key)
            outcomes.add(result.shape)
            json.dumps(told.params, allow_nan=False)
    assert outcomes <= {(3, 1, 1)}


def test_running_out_of_memory_is_not_blamed_on_the_recipe(photo: Tensor):
    (step,) = parse_recipe("Pad(1)")._steps
    with pytest.raises(torch.OutOfMemoryError):
        fail(step, photo, torch.OutOfMemoryError("CUDA out of memory"))


def test_recipes_describe_themselves():
    described = json.loads(json.dumps(parse_recipe(TRAIN).describe()))
    assert described["recipe"] == TRAIN
    assert described["tail"] == f"ToTensor() | {IMAGENET}"
    assert described["output_shape"] == [3, 224, 224]
    assert described["normalization"] == {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert described["steps"] == TRAIN.split(" | ")
    assert parse_recipe("Pad(1)").describe()["normalization"] is None


def test_threads_may_parse_and_with_a_lock_apply(photo: Tensor):
    parse_recipe.cache_clear()
    texts = [f"RandomResizedCrop({20 + index % 5}) | RandAugment({index % 3}) | ToTensor()" for index in range(60)]
    lock = threading.Lock()

    def work(index: int) -> Tensor:
        recipe = parse_recipe(texts[index])
        with lock:
            return recipe.apply(photo, index)[0]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(60)))
    for index, result in enumerate(results):
        assert torch.equal(result, parse_recipe(texts[index]).apply(photo, index)[0])
