"""Applies a recipe's tail with torch, on whatever device the images lie; imports torch only when it is called.

Bit for bit what torchvision gives on the CPU, on CUDA too: dividing by a number there is done as multiplying by its inverse, so numbers go in as tensors.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from service.client.tail import Convert, Normalize, Tail

if TYPE_CHECKING:
    import torch


def apply_tail(tail: Tail, images: torch.Tensor) -> torch.Tensor:
    """Applies a tail.

    Args:
        tail: to apply.
        images: uint8 [B, C, H, W]; not written to.

    Returns:
        the rescaled images on the same device; `images` itself where the tail is empty.
    """
    return reduce(_apply, tail, images)


def _apply(images: torch.Tensor, step: Convert | Normalize) -> torch.Tensor:
    import torch

    if isinstance(step, Normalize):
        mean, std = (torch.tensor(each, dtype=images.dtype, device=images.device).view(-1, 1, 1) for each in (step.mean, step.std))
        return images.sub(mean).div_(std)
    converted = images.to(getattr(torch, step.dtype))
    if step.scale == "divide":
        return converted.div_(torch.tensor(255, dtype=converted.dtype, device=converted.device))
    return converted.mul_(1 / 255) if step.scale == "multiply" else converted
