"""A batch as named arrays of bytes: what the tensor formats have in common."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import Tensor

from service.encoding.batch import Batch


@dataclass(frozen=True, slots=True)
class NamedArray:
    """One array of a file.

    Attributes:
        name: in the file.
        dtype: torch's name of the element type, for instance "float32".
        shape: of the array.
        data: its elements, C order, little endian; a view of the tensor's own memory, which it keeps alive.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> NamedArray:
        """Views a tensor on the CPU; copies only one that is not contiguous."""
        contiguous = tensor.contiguous()
        data = contiguous.view(-1).view(torch.uint8).numpy().data if tensor.numel() else memoryview(b"")
        return cls(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data)


def name_arrays(batch: Batch) -> list[NamedArray]:
    """Lists a batch's arrays: `images` [B, C, H, W], `labels` int64 [B], `indices` int64 [B]; with `on_error=mask` also `valid` bool [B].

    Raises:
        UnequalShapes: the samples' shapes differ.
    """
    arrays = [
        NamedArray.of("images", batch.tensor().cpu()),
        NamedArray.of("labels", torch.from_numpy(batch.labels)),
        NamedArray.of("indices", torch.from_numpy(batch.indices)),
    ]
    if batch.address.on_error == "mask":
        arrays.append(NamedArray.of("valid", torch.from_numpy(batch.valid)))
    return arrays


def tell_metadata(batch: Batch, etag: str, tail: str, classes: tuple[str, ...]) -> dict[str, str]:
    """Tells where a batch comes from, as strings.

    Args:
        batch: any.
        etag: of the answer.
        tail: end of the recipe that a client still has to apply; "" where there is none, or it has been applied.
        classes: class names in label order.
    """
    address = batch.address
    return {
        "address": address.text,
        "etag": etag,
        "dataset": address.dataset,
        "version": address.version,
        "split": address.split,
        "recipe": address.recipe,
        "tail": tail,
        "classes": json.dumps(classes, ensure_ascii=False),
        "seed": str(address.seed),
        "epoch": str(address.epoch),
        "step": str(address.step),
    }
