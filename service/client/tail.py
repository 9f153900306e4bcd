"""The end of a recipe that a client applies itself: it only rescales numbers, and comes as text in every batch of uint8.

In NumPy alone, bit for bit what torchvision gives on the CPU; `service.client.torch_tail` does the same on any device of torch's.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any, Literal, TypeAlias

import numpy as np

from service.client.memory import Array, allocate

_MAX_CHARACTERS = 4096
_FLOATS = {"float32", "float16", "bfloat16"}


@dataclass(frozen=True, slots=True)
class Convert:
    """To another float type.

    Attributes:
        dtype: "float32", "float16" or "bfloat16".
        scale: how 0 to 255 becomes 0 to 1: "divide" by 255 as the classic ToTensor does, "multiply" by 1 / 255 as torchvision's v2 does (another last bit), or
            "none" to keep the numbers.
    """

    dtype: str
    scale: Literal["none", "divide", "multiply"] = "none"


@dataclass(frozen=True, slots=True)
class Normalize:
    """Subtracts a mean and divides by a standard deviation; one value of each for all channels, or one for each channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


Tail: TypeAlias = "tuple[Convert | Normalize, ...]"


@lru_cache(maxsize=64)
def parse_tail(text: str, dtype: str) -> Tail:
    """Reads a tail.

    Args:
        text: calls joined by `|`; "" for none.
        dtype: what the result shall be; the last conversion where the tail itself ends otherwise.

    Returns:
        only the conversions that change something, given that it all starts with uint8.

    Raises:
        ValueError: this client does not know a step or its arguments.
    """
    steps: list[Convert | Normalize] = []
    current = "uint8"
    try:
        for name, arguments, keywords in _read_calls(text):
            step = _STEPS[name](current, *arguments, **keywords)
            if step is not None:
                steps.append(step)
                current = step.dtype if isinstance(step, Convert) else current
    except (KeyError, TypeError, SyntaxError, RecursionError, MemoryError) as exc:
        raise ValueError(f"{text!r} is no tail that this client knows") from exc
    return (*steps, *(() if current == dtype else (Convert(dtype),)))


def needs_torch(tail: Tail) -> bool:
    """Says whether NumPy cannot apply it: NumPy has no bfloat16."""
    return any(isinstance(step, Convert) and step.dtype == "bfloat16" for step in tail)


def apply_tail(tail: Tail, images: Array) -> Array:
    """Applies a tail in NumPy.

    Args:
        tail: one that does not need torch.
        images: uint8 [B, C, H, W].

    Returns:
        the rescaled images; `images` itself where the tail is empty.
    """
    if not tail:
        return images
    dtype = next(step.dtype for step in reversed(tail) if isinstance(step, Convert))
    result = allocate(images.shape, dtype)
    with np.errstate(over="ignore"):  # float16 has its infinities, as in torch
        for image, target in zip(images, result, strict=True):  # One by one they stay in the processor's cache.
            target[...] = reduce(_apply, tail, image)
    return result


def _apply(image: Array, step: Convert | Normalize) -> Array:
    if isinstance(step, Convert):
        if step.scale == "none":
            return image.astype(step.dtype)
        wide = image.astype(np.float32)  # torch, too, scales half precision by a factor in single precision
        scaled: Array = np.divide(wide, np.float32(255), out=wide) if step.scale == "divide" else np.multiply(wide, np.float32(1 / 255), out=wide)
        return scaled.astype(step.dtype, copy=False)
    mean, std = (np.array(each, np.float32).astype(image.dtype).reshape(-1, 1, 1) for each in (step.mean, step.std))
    result: Array = np.subtract(image, mean)
    result /= std
    return result


def _read_calls(text: str) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Yields names and literal arguments, in order; evaluates nothing."""
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"a tail of {len(text)} characters")
    nodes: list[ast.expr] = [ast.parse(text, mode="eval").body] if text else []
    while nodes:
        match nodes.pop():
            case ast.BinOp(left, ast.BitOr(), right):
                nodes += [right, left]
            case ast.Call(ast.Name(name), arguments, keywords):
                yield name, [ast.literal_eval(each) for each in arguments], {str(each.arg): ast.literal_eval(each.value) for each in keywords}
            case node:
                raise ValueError(f"{ast.unparse(node)!r} is no step")


def _to_tensor(current: str) -> Convert | None:
    return Convert("float32", "divide") if current == "uint8" else None


def _to_dtype(current: str, dtype: str, scale: bool = False) -> Convert | None:
    if dtype not in _FLOATS:
        raise ValueError(f"{dtype!r} is none of {', '.join(sorted(_FLOATS))}")
    return None if current == dtype else Convert(dtype, "multiply" if scale and current == "uint8" else "none")


def _convert_image_dtype(current: str, dtype: str = "float32") -> Convert | None:
    return _to_dtype(current, dtype, scale=True)


def _normalize(current: str, mean: Sequence[float], std: Sequence[float]) -> Normalize:  # noqa: ARG001  one of the steps
    return Normalize(tuple(map(float, mean)), tuple(map(float, std)))


def _nothing(current: str) -> None:
    """Does nothing: images are tensors already."""


_STEPS: Mapping[str, Callable[..., Convert | Normalize | None]] = {
    "ConvertImageDtype": _convert_image_dtype,
    "Normalize": _normalize,
    "PILToTensor": _nothing,
    "ToDtype": _to_dtype,
    "ToImage": _nothing,
    "ToTensor": _to_tensor,
}
