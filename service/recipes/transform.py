"""The few transforms that are not torchvision's own: parameters drawn on the CPU whatever the device, and auto-augmentation that reports what it did.

Each gives the same bytes as its model in torchvision does on the CPU; `tests/contracts/test_recipe_steps.py` holds them to it.
"""
# mypy: disable-error-code="misc, no-any-return"

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

if TYPE_CHECKING:
    from torch import Tensor


class ToTensor(v2.Transform):
    """The classic `torchvision.transforms.ToTensor`: uint8 becomes float32 in [0, 1], contiguous; floats stay as they are.

    It divides by 255. `v2.ToDtype(scale=True)` multiplies by 1 / 255, which differs in the last bit.
    """

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:  # noqa: ARG002  torchvision's signature
        """Converts an image or a batch of images."""
        if inpt.dtype != torch.uint8:
            return inpt
        return inpt.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


class GaussianNoise(v2.GaussianNoise):
    """torchvision's, with the noise drawn on the CPU."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draws the noise; in the memory order of the image, as torchvision does."""
        image = flat_inputs[0]
        return {"noise": torch.randn_like(image, dtype=image.dtype if image.is_floating_point() else torch.float32, device="cpu")}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Adds the noise, by the formulas of `torchvision.transforms.v2.functional.gaussian_noise_image`."""
        noise = params["noise"].to(inpt.device)
        if inpt.is_floating_point():
            result = inpt + (self.mean + noise * self.sigma)
            return torch.clamp(result, 0, 1) if self.clip else result
        result = inpt + (self.mean * 255 + noise * (self.sigma * 255)).to(torch.int16)
        return (torch.clamp(result, 0, 255) if self.clip else result).to(torch.uint8)


class RandomErasing(v2.RandomErasing):
    """torchvision's, for images on any device."""

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Erases the rectangle; the values, drawn on the CPU, go to the image's device."""
        if params["v"] is not None and inpt.device.type != "cpu":
            params = {**params, "v": params["v"].to(inpt.device)}
        return super().transform(inpt, params)


class JPEG(v2.JPEG):
    """torchvision's, through Pillow: torchvision 0.29 deprecates its own codecs, and both bundle the same libjpeg-turbo."""

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Compresses and decompresses one uint8 image [1 or 3, H, W] on the CPU; gives a contiguous one on the image's device."""
        pixels = inpt.cpu().permute(1, 2, 0).contiguous().numpy()
        raw = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(raw, format="JPEG", quality=params["quality"])
        with Image.open(raw) as decoded:
            result = torch.from_numpy(np.array(decoded)).reshape(pixels.shape)
        return result.permute(2, 0, 1).contiguous().to(inpt.device)


_Mixin: Any = object


class _Recording(_Mixin):
    """Notes every operation that an auto-augmentation applies; stands before torchvision's class among the bases."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401  the subclass's own arguments
        super().__init__(**arguments)
        self._ops: list[dict[str, Any]] = []

    def forward(self, *inputs: Any) -> Any:  # noqa: ANN401  torchvision's signature
        self._ops = []
        return super().forward(*inputs)

    def _apply_image_or_video_transform(self, image: Tensor, transform_id: str, magnitude: float, **arguments: Any) -> Tensor:  # noqa: ANN401
        self._ops.append({"op": transform_id, "magnitude": magnitude})
        return super()._apply_image_or_video_transform(image, transform_id, magnitude, **arguments)

    def witnessed(self) -> dict[str, Any]:
        """Tells the operations in order, each with its signed magnitude (0 where it has none)."""
        return {"ops": self._ops}


class AutoAugment(_Recording, v2.AutoAugment):
    """torchvision's, reporting."""


class RandAugment(_Recording, v2.RandAugment):
    """torchvision's, reporting."""


class TrivialAugmentWide(_Recording, v2.TrivialAugmentWide):
    """torchvision's, reporting."""


class AugMix(_Recording, v2.AugMix):
    """torchvision's, reporting, with the weights drawn on the CPU."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401
        super().__init__(**arguments)
        self._weights: list[Tensor] = []
        self._batch: Tensor | None = None
        self._chains: list[list[dict[str, Any]]] = []

    def forward(self, *inputs: Any) -> Any:  # noqa: ANN401
        """Draws and applies."""
        self._weights, self._batch, self._chains = [], None, []
        result = super().forward(*inputs)
        self._batch = None
        return result

    def _sample_dirichlet(self, params: Tensor) -> Tensor:
        weights = super()._sample_dirichlet(params.cpu())
        self._weights.append(weights)
        return weights.to(params.device)

    def _apply_image_or_video_transform(self, image: Tensor, transform_id: str, magnitude: float, **arguments: Any) -> Tensor:  # noqa: ANN401
        if self._batch is None:
            self._batch = image
        if image is self._batch:
            self._chains.append([])
        result = super()._apply_image_or_video_transform(image, transform_id, magnitude, **arguments)
        self._chains[-1].append(self._ops[-1])
        return result.view_as(result) if result is image else result  # Each chain starts from the very object of the first; no later image may be it.

    def witnessed(self) -> dict[str, Any]:
        """Tells the weight of the original, and of each chain its weight and operations; the weights add up to 1."""
        blend, mixture = self._weights
        weights = (mixture * blend[:, 1:]).flatten().tolist()
        chains = [{"weight": weight, "ops": ops} for weight, ops in zip(weights, self._chains, strict=True)]
        return {"original_weight": blend[0, 0].item(), "chains": chains}
