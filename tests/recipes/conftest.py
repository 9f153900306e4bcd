"""Pictures for the tests of recipes."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(scope="session")
def make_photo() -> Callable[..., Tensor]:
    """Makes uint8 [3, H, W] with gradients, an edge, texture and noise; a channels-last view, like `pil_to_tensor`'s."""

    def make(height: int = 61, width: int = 47, seed: int = 3) -> Tensor:
        y, x = np.mgrid[0:height, 0:width]
        channels = [x * 255 / width, y * 255 / height, 127 + 100 * np.sin(x / 5) * np.cos(y / 9)]
        pixels = np.stack(channels, axis=-1) + np.random.default_rng(seed).normal(0, 12, (height, width, 3))
        pixels[height // 3 : height // 2, width // 4 : width // 2] = (240, 30, 60)
        return torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)

    return make


@pytest.fixture
def photo(make_photo: Callable[..., Tensor]) -> Tensor:
    """One such picture of 61 x 47."""
    return make_photo()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Renders as the workers do; small images gain nothing from more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
