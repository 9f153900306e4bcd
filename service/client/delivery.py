"""From an answer to what a training loop gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from service.client import tail, torch_tail
from service.client.description import Description
from service.client.errors import MalformedAnswer
from service.client.memory import Array, allocate
from service.client.safetensors_reader import Tensors, read_safetensors
from service.errors import InvalidParameter
from service.planning.address import Address

if TYPE_CHECKING:
    import torch

    Device: TypeAlias = str | torch.device | None


@dataclass(frozen=True, slots=True)
class Arrays:
    """A batch as it came, or with its tail applied.

    Attributes:
        images: [B, C, H, W]; bfloat16 as its bits in uint16.
        labels: int64 [B].
        indices: int64 [B], positions in the split's listing.
        valid: bool [B], False where an image could not be read; None where a batch fails as a whole instead.
        repeats: samples at the end that are there only to fill the batch up, and occur elsewhere in the epoch.
    """

    images: Array
    labels: Array
    indices: Array
    valid: Array | None
    repeats: int = 0

    def fill(self, donor: Arrays) -> Arrays:
        """Return these samples and, after them, the first of another batch."""
        valid = None if self.valid is None or donor.valid is None else _append(self.valid, donor.valid)
        images, labels, indices = _append(self.images, donor.images), _append(self.labels, donor.labels), _append(self.indices, donor.indices)
        return Arrays(images, labels, indices, valid, self.repeats + 1)


def _append(array: Array, donor: Array) -> Array:
    if len(array) and array.shape[1:] != donor.shape[1:]:
        raise InvalidParameter(f"Samples of shapes {list(array.shape[1:])} and {list(donor.shape[1:])} cannot fill one batch; end the recipe with a crop.")
    filled = allocate((len(array) + 1, *donor.shape[1:]), donor.dtype)
    filled[:-1], filled[-1] = array.reshape(-1, *donor.shape[1:]), donor[0]
    return filled


class Delivery:
    """Turns answers into batches, in two halves: `read` in any thread, `hand_over` in the consumer's, whose device and stream count.

    Args:
        description: what is read.
        is_numpy: whether the consumer wants NumPy's arrays; nothing imports torch then.
        device: where torch's tensors shall be; None for the CPU.
        is_pinned: whether they pass through page-locked memory, and stay there without a device. Without a GPU it means nothing, as in torch's DataLoader.
        has_indices: whether the consumer wants indices.
        has_repeats: whether the consumer wants to know which samples are repeated.
    """

    def __init__(self, description: Description, *, is_numpy: bool, device: Device, is_pinned: bool, has_indices: bool, has_repeats: bool) -> None:
        self._description = description
        self._is_numpy = is_numpy
        self._device = device
        self._is_pinned = is_pinned
        self._has_indices = has_indices
        self._has_repeats = has_repeats
        self._is_left_to_torch = not is_numpy and (str(device or "cpu") != "cpu" or tail.needs_torch(description.tail))

    def read(self, content: memoryview, address: Address) -> Arrays:
        """Reads and checks a file, and applies the tail unless that is left to torch.

        Args:
            content: a safetensors file; its memory belongs to the arrays from now on.
            address: what was asked.

        Raises:
            MalformedAnswer: this is not what was asked.
        """
        tensors = read_safetensors(content)
        _check(tensors, address, self._description.tail_text)
        found = tensors.arrays
        arrays = Arrays(found["images"], found["labels"], found["indices"], found.get("valid"))
        return arrays if self._is_left_to_torch else _apply_tail(arrays, self._description.tail)

    def hand_over(self, arrays: Arrays) -> tuple[Any, ...]:
        """Return (images, labels), then what is wanted of indices, `valid` (if unreadable images come as zeros) and a bool array of repeated samples."""
        repeated = np.arange(len(arrays.labels)) >= len(arrays.labels) - arrays.repeats
        wanted = ((self._has_indices, arrays.indices), (True, arrays.valid), (self._has_repeats, repeated))
        extra = tuple(array for is_wanted, array in wanted if is_wanted and array is not None)
        if self._is_numpy:
            return (arrays.images, arrays.labels, *extra)
        images = self._place(self._as_tensor(arrays.images))
        if self._is_left_to_torch:
            images = torch_tail.apply_tail(self._description.tail, images)
            if arrays.valid is not None:
                images[self._place(self._as_tensor(~arrays.valid))] = 0
        return tuple(self._pin(each) for each in (images, *(self._place(self._as_tensor(each)) for each in (arrays.labels, *extra))))

    def _as_tensor(self, array: Array) -> torch.Tensor:
        """Return an array as a tensor that any thread may be the last to let go of, also while the interpreter ends.

        gloo's threads do that with what was in a process's last collective. The tensor of `from_numpy` would then wait for the GIL in a destructor, where
        CPython ends the thread (`PyGILState_Ensure`) and C++ the process. Labels and the like become torch's own memory; images are not copied for that:
        their DLPack capsule looks first whether there still is an interpreter.
        """
        import torch

        tensor = torch.from_numpy(array).clone() if array.ndim == 1 else torch.utils.dlpack.from_dlpack(array)
        return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor

    def _place(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if self._device is None else self._pin(tensor).to(self._device, non_blocking=self._is_pinned)

    def _pin(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        return tensor.pin_memory() if self._is_pinned and tensor.device.type == "cpu" and torch.cuda.is_available() else tensor


def _apply_tail(arrays: Arrays, steps: tail.Tail) -> Arrays:
    images = tail.apply_tail(steps, arrays.images)
    if steps and arrays.valid is not None:
        images[~arrays.valid] = 0  # An unreadable image is zeros after the tail, as the server has it.
    return replace(arrays, images=images)


def _check(tensors: Tensors, address: Address, tail_text: str) -> None:
    """Holds an answer against what was asked: neither a cache on the way nor another service can pass for the server."""
    for name, value in {"address": address.text, "tail": tail_text}.items():
        if tensors.metadata.get(name) != value:
            raise MalformedAnswer(f"A batch came whose {name} is {tensors.metadata.get(name)!r}, not {value!r}. Asked: {address.text}")
    wanted = {"images": address.dtype, "labels": "int64", "indices": "int64", **({"valid": "bool"} if address.on_error == "mask" else {})}
    for name, dtype in wanted.items():
        if tensors.dtypes.get(name) != dtype:
            raise MalformedAnswer(f"A batch came whose {name} is of type {tensors.dtypes.get(name)}, not {dtype}. Asked: {address.text}")
    lengths = {name: tensors.arrays[name].shape[0] for name in wanted}
    if len(set(lengths.values())) > 1 or tensors.arrays["images"].ndim != 4:
        raise MalformedAnswer(f"A batch came whose arrays do not fit together: {lengths}. Asked: {address.text}")
