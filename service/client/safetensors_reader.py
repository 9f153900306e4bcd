"""Reads the safetensors format (huggingface/safetensors, README "Format") into NumPy, without torch and without a copy of the pixels."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from service.client.errors import MalformedAnswer
from service.client.memory import Array, align

_PREFIX_BYTES = 8
_TYPES = {"U8": "uint8", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "BOOL": "bool"}


@dataclass(frozen=True, slots=True)
class Tensors:
    """A file of tensors.

    Attributes:
        arrays: by name; views of the file's memory. bfloat16, which NumPy lacks, comes as its bits in uint16.
        dtypes: by name: "uint8", "float32", "float16", "bfloat16", "int64" or "bool".
        metadata: the file's strings.
    """

    arrays: Mapping[str, Array]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str]


def read_safetensors(content: memoryview) -> Tensors:
    """Reads a file.

    Args:
        content: the whole file; the arrays share its memory, writable where it is. Numbers that do not begin on a multiple of 64 bytes are copied.

    Raises:
        MalformedAnswer: it is no such file, or a tensor does not lie in it as it says.
    """
    try:
        header, data = _split(content)
        metadata = dict(header.pop("__metadata__", {}))
        arrays = {name: _view(data, entry) for name, entry in header.items()}
        dtypes = {name: _TYPES[entry["dtype"]] for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as exc:
        raise MalformedAnswer(f"This is no safetensors file of known types ({type(exc).__name__}: {exc}). It begins {bytes(content[:40])!r}.") from exc
    return Tensors(MappingProxyType(arrays), MappingProxyType(dtypes), MappingProxyType(metadata))


def _split(content: memoryview) -> tuple[dict[str, Any], memoryview]:
    (length,) = struct.unpack_from("<Q", content)
    if length > len(content) - _PREFIX_BYTES:
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header = json.loads(bytes(content[_PREFIX_BYTES : _PREFIX_BYTES + length]))
    return header, content[_PREFIX_BYTES + length :]


def _view(data: memoryview, entry: Mapping[str, Any]) -> Array:
    dtype = np.dtype("uint16" if entry["dtype"] == "BF16" else _TYPES[entry["dtype"]]).newbyteorder("<")
    shape, (start, end) = entry["shape"], entry["data_offsets"]
    if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of shape {shape} from byte {start} to {end} in {len(data)} bytes of data")
    return align(np.frombuffer(data[start:end], dtype).reshape(shape))
