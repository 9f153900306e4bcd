"""Arrays as NumPy's .npz: an uncompressed zip of .npy files (NumPy Enhancement Proposal 1). No pickle, no copy of the pixels."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.lib import format as npy

from service.encoding.tensors import NamedArray
from service.errors import NotAcceptable

_FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""Zip's own beginning of time, so that the same batch gives the same file."""


class _Pieces(io.RawIOBase):
    """A file that keeps what is written to it as it is, instead of copying it."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        self.pieces.append(data)
        return len(data)


def encode_npz(arrays: Sequence[NamedArray], metadata: Mapping[str, str]) -> list[bytes | memoryview]:
    """Writes arrays as an .npz file, which `numpy.load` reads without pickle.

    Args:
        arrays: become members of their names.
        metadata: becomes a member `metadata`: JSON text in an array of no dimensions.

    Returns:
        the file in pieces; the arrays' own memory is among them.

    Raises:
        NotAcceptable: NumPy has no bfloat16.
    """
    if any(array.dtype == "bfloat16" for array in arrays):
        raise NotAcceptable("NumPy has no bfloat16, so .npz cannot hold it. Ask for .safetensors, or for dtype=float16 or float32.")
    file = _Pieces()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for array in arrays:
            _write(archive, array.name, np.dtype(array.dtype), array.shape, array.data)
        text = np.array(json.dumps(dict(metadata), ensure_ascii=False))
        _write(archive, "metadata", text.dtype, (), memoryview(text.tobytes()))
    return file.pieces


def _write(archive: zipfile.ZipFile, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...], data: memoryview) -> None:
    header = io.BytesIO()
    npy.write_array_header_1_0(header, {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    with archive.open(zipfile.ZipInfo(f"{name}.npy", _FIRST_DATE), "w", force_zip64=True) as member:
        member.write(header.getvalue())
        member.write(data)
