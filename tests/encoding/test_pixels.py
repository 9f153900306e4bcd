"""Tensors back into pixels: exact for what went in as uint8."""

import pytest
import torch
from torchvision.transforms import v2

from service.encoding.pixels import to_pixels
from service.errors import InvalidParameter

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
EVERY_VALUE = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16).repeat(3, 1, 1)


def normalised(pixels: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return v2.Normalize(*IMAGENET)(v2.functional.to_dtype(pixels, torch.float32, scale=True)).to(dtype)


def test_every_value_comes_back_from_float32():
    assert torch.equal(to_pixels(normalised(EVERY_VALUE), IMAGENET), EVERY_VALUE)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 0), (torch.float16, 1), (torch.bfloat16, 2)])
def test_every_value_comes_back_nearly_from_other_floats(dtype, tolerance):
    difference = to_pixels(normalised(EVERY_VALUE, dtype), IMAGENET).int() - EVERY_VALUE.int()
    assert difference.abs().max() <= tolerance


def test_it_is_the_formula_on_any_floats():
    image = torch.randn(5, 3, 33, 21, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    assert torch.equal(to_pixels(image, IMAGENET), (image * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8))


def test_without_a_normalization_it_scales_clips_and_rounds():
    image = torch.tensor([-3.0, 0.0, 0.1 / 255, 0.6 / 255, 254.4 / 255, 1.0, 7.0]).expand(3, 1, 7)
    assert to_pixels(image, None)[0, 0].tolist() == [0, 0, 0, 1, 254, 255, 255]


def test_uint8_stays_whatever_the_normalization():
    assert torch.equal(to_pixels(EVERY_VALUE, IMAGENET), EVERY_VALUE)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_grey_becomes_three_channels(dtype):
    grey = EVERY_VALUE[:1]
    image = grey if dtype == torch.uint8 else v2.Normalize([0.5], [0.25])(v2.functional.to_dtype(grey, dtype, scale=True))
    assert torch.equal(to_pixels(image, ((0.5,), (0.25,))), EVERY_VALUE)
    assert torch.equal(to_pixels(image[None], ((0.5,), (0.25,))), EVERY_VALUE[None])


def test_one_mean_serves_all_channels():
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_pixels(image, ((0.5,), (0.25,))), to_pixels(image, ((0.5,) * 3, (0.25,) * 3)))


@pytest.mark.parametrize("side", [1, 64, 300])
def test_a_block_gives_what_its_images_give(side):
    block = torch.rand(9, 3, side, side, generator=torch.Generator().manual_seed(1)) * 4 - 2
    assert torch.equal(to_pixels(block, IMAGENET), torch.stack([to_pixels(image, IMAGENET) for image in block]))


def test_memory_layout_does_not_matter_and_the_input_is_left_alone():
    block = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(2))
    before = block.clone()
    strided = block.to(memory_format=torch.channels_last)
    assert torch.equal(to_pixels(strided, IMAGENET), to_pixels(block, IMAGENET))
    assert torch.equal(to_pixels(block.flip(-1), IMAGENET), to_pixels(block, IMAGENET).flip(-1))
    assert torch.equal(block, before)


def test_an_empty_block_stays_empty():
    assert to_pixels(torch.empty(0, 3, 8, 8), IMAGENET).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(
    ("image", "normalization", "culprit"),
    [
        (torch.zeros(4, 8, 8), None, "4 channels"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), None, "torch.int64"),
        (torch.zeros(1, 8, 8), IMAGENET, "3 means and 3 standard deviations"),
    ],
)
def test_what_cannot_be_drawn_is_named(image, normalization, culprit):
    with pytest.raises(InvalidParameter, match=culprit):
        to_pixels(image, normalization)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_images_on_a_gpu_give_pixels_on_the_cpu(dtype):
    image = normalised(EVERY_VALUE) if dtype == torch.float32 else EVERY_VALUE
    pixels = to_pixels(image.expand(4, -1, -1, -1).cuda(), IMAGENET)
    assert pixels.device.type == "cpu"
    assert torch.equal(pixels, EVERY_VALUE.expand(4, -1, -1, -1))
