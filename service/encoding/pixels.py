"""Turns what a model sees back into what a person sees: tensors into uint8 RGB pixels."""

import torch
from torch import Tensor

from service.errors import InvalidParameter

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel (or one of each for all channels), as `Normalize` takes them."""

_CHUNK_ELEMENTS = 1 << 18
"""Elements un-normalised at a time on the CPU: 1 MB of float32, so that the passes over it stay in its cache."""


def to_pixels(image: Tensor, normalization: Normalization | None) -> Tensor:
    """Un-normalises an image, or a whole block of them, as the tutorial's `imshow` does.

    Floats become `round(255 * clip(x * std + mean, 0, 1))`, worked out in float32; uint8 stays. So pixels that went through `ToTensor` and
    `Normalize` in float32 come back exactly. Thread-safe; the input is never written to.

    Args:
        image: [C, H, W] or [B, C, H, W] of 1 or 3 channels, uint8 or floating point, on any device, of any memory layout.
        normalization: the `Normalize` that the image went through, or None. It means nothing for uint8.

    Returns:
        uint8 [3, H, W] or [B, 3, H, W] on the CPU. It shares memory with `image` where nothing had to change.

    Raises:
        InvalidParameter: the image has neither 1 nor 3 channels, holds integers other than uint8, or `normalization` has another number of channels.
    """
    channels = image.shape[-3]
    if channels not in {1, 3}:
        raise InvalidParameter(f"An image of {channels} channels cannot be drawn: pictures are made of 1 channel (grey) or 3 (red, green, blue).")
    if image.dtype != torch.uint8:
        image = _quantised(image, normalization)
    return image.expand(*image.shape[:-3], 3, *image.shape[-2:]).cpu()


def _quantised(image: Tensor, normalization: Normalization | None) -> Tensor:
    if not image.is_floating_point():
        raise InvalidParameter(f"Images of {image.dtype} cannot be drawn: pictures are made of uint8 or floating point.")
    scale = None if normalization is None else _by_channel(normalization, image)
    block = image if image.dim() == 4 else image[None]
    pixels = torch.empty_like(block, dtype=torch.uint8, memory_format=torch.contiguous_format)
    step = max(1, len(block) if block.is_cuda else _CHUNK_ELEMENTS // max(1, image.shape[-3:].numel()))
    buffer = torch.empty_like(block[:step], dtype=torch.float32)
    for start in range(0, len(block), step):
        source = block[start : start + step]
        work = buffer[: len(source)].copy_(source)
        if scale is not None:
            work.mul_(scale[1]).add_(scale[0])
        pixels[start : start + step] = work.clamp_(0, 1).mul_(255).round_()
    return pixels.view(image.shape)


def _by_channel(normalization: Normalization, image: Tensor) -> Tensor:
    """Mean and std as float32 [2, C or 1, 1, 1] beside the image."""
    channels = image.shape[-3]
    if any(len(values) not in {1, channels} for values in normalization):
        mean, std = (len(values) for values in normalization)
        raise InvalidParameter(f"A normalization of {mean} means and {std} standard deviations does not fit an image of {channels} channels.")
    return torch.stack([torch.tensor(values, dtype=torch.float32).expand(channels).reshape(-1, 1, 1) for values in normalization]).to(image.device)
