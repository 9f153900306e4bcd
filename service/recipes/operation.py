"""Running steps: torchvision's `forward` taken apart into draw, check, apply and tell, with the same draws in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

import torch

from service.encoding.batch import Applied
from service.errors import StepFailed
from service.recipes.grammar import shorten

if TYPE_CHECKING:
    from torch import Tensor

    from service.recipes.step import BoundStep, Operation

MAX_PIXELS = 50_000_000
"""Largest image that a step may make, height times width: whatever follows may need several float32 copies of it."""

MAX_CUT_PIXELS = 200_000_000
"""Largest uint8 image that a step may make where the next to compute anything cuts it down: as many bytes as `MAX_PIXELS` in float32.

So `Resize(256) | CenterCrop(224)` takes a picture of 4000 x 2, as torchvision does, and needs no more memory than others.
"""

_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, ArithmeticError, OSError)  # What torch, torchvision and Pillow raise on unfit images.
_DEVICE_LIBRARIES = ("CUDA", "CUDNN", "CUBLAS", "NVRTC")
_MAX_MESSAGE = 200


class Drawn:
    """An ordinary transform: draws its parameters, then applies them."""

    __slots__ = ("_probability", "_spec", "_step", "_transform")

    def __init__(self, step: BoundStep) -> None:
        self._step = step
        self._spec = step.spec
        self._transform = step.transform()
        self._probability = step.arguments["p"] if step.spec.is_chance else None

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the step to one image."""
        try:
            if self._probability is not None and torch.rand(1) >= self._probability:
                return image, Applied(self._spec.name, applied=False)
            params = self._transform.make_params([image])
            if self._spec.area is not None:
                self._check_area(params, image)
            told = self._spec.tell(params)
            return self._transform.transform(image, params), Applied(self._spec.name, told is not None, told or {})
        except _FAILURES as exc:
            fail(self._step, image, exc)

    def _check_area(self, params: dict[str, Any], image: Tensor) -> None:
        if self._spec.area is not None:
            pixels = self._spec.area(self._step.arguments, params, *image.shape[-2:])
            most = max_pixels(self._step, image.dtype)
            if pixels > most:
                raise ValueError(f"it would make an image of {pixels:,} pixels; at most {most:,} are allowed")


class Witness(Protocol):
    """A transform that remembers what its last `forward` did."""

    def forward(self, image: Tensor) -> Tensor:
        """Draws and applies."""

    def witnessed(self) -> dict[str, Any]:
        """Tells what `forward` did last; JSON-ready."""


class Observed:
    """A transform whose own `forward` mixes drawing and applying: it runs as it is and reports afterwards.

    Not for two threads at once: the report lies in the transform.
    """

    __slots__ = ("_step", "_transform")

    def __init__(self, step: BoundStep) -> None:
        self._step = step
        self._transform = cast("Witness", step.transform())

    def __call__(self, image: Tensor) -> tuple[Tensor, Applied]:
        """Applies the step to one image."""
        try:
            result = self._transform.forward(image)
        except _FAILURES as exc:
            fail(self._step, image, exc)
        return result, Applied(self._step.spec.name, params=self._transform.witnessed())


def run_all(operations: tuple[Operation, ...], image: Tensor) -> tuple[Tensor, list[Applied]]:
    """Applies operations in order.

    Args:
        operations: to run.
        image: [C, H, W].

    Returns:
        the last result, and what each operation did.
    """
    told = []
    for operation in operations:
        image, applied = operation(image)
        told.append(applied)
    return image, told


def max_pixels(step: BoundStep, dtype: torch.dtype) -> int:
    """Return the size of the largest image that a step may make, height times width."""
    return MAX_CUT_PIXELS if step.is_cut and dtype == torch.uint8 else MAX_PIXELS


def is_out_of_memory(exc: Exception) -> bool:
    """Whether an error means that this process could not get memory; torch's allocator for the CPU raises a RuntimeError."""
    return isinstance(exc, MemoryError) or (isinstance(exc, RuntimeError) and "DefaultCPUAllocator" in str(exc))


def _is_machines_fault(image: Tensor, exc: Exception) -> bool:
    """Whether an error may be gone tomorrow, so that it says nothing about the image: a device in trouble, the operating system."""
    if isinstance(exc, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    if isinstance(exc, OSError):  # Pillow's own have no number.
        return exc.errno is not None
    return image.device.type != "cpu" and any(word in str(exc).upper() for word in _DEVICE_LIBRARIES)


def fail(step: BoundStep, image: Tensor, exc: Exception) -> NoReturn:
    """Raise StepFailed with the call, the image's size and the first line of the reason.

    Raises:
        MemoryError: the process could not get memory.
        Exception: `exc` itself where the machine is to blame, not the image.
    """
    if is_out_of_memory(exc):
        raise MemoryError(str(exc)) from exc
    if _is_machines_fault(image, exc):
        raise exc
    height, width = image.shape[-2:]
    reason = (str(exc).strip() or type(exc).__name__).splitlines()[0][:_MAX_MESSAGE]
    raise StepFailed(f"{shorten(step.text)} cannot be applied to a {width}x{height} image: {reason}", step=step.spec.name, call=step.text) from exc
