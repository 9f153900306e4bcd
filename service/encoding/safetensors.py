"""Tensors in the safetensors format (huggingface/safetensors, README "Format"): a JSON header, then the bytes. No pickle, no copy of the pixels."""

import json
import struct
from collections.abc import Mapping, Sequence

from service.encoding.tensors import NamedArray

_DTYPES = {"uint8": "U8", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "bool": "BOOL"}
_ALIGNMENT = 8


def encode_safetensors(arrays: Sequence[NamedArray], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Writes arrays as a safetensors file.

    Args:
        arrays: in the order in which they shall lie in the file.
        metadata: strings for the header.

    Returns:
        the file in pieces; the arrays' own memory is among them.
    """
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for array in arrays:
        start, end = end, end + array.data.nbytes
        header[array.name] = {"dtype": _DTYPES[array.dtype], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return [struct.pack("<Q", len(text)) + text, *(array.data for array in arrays)]
