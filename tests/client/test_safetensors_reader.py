"""The safetensors format: what others wrote, and what is none."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.client import MalformedAnswer
from service.client.memory import allocate
from service.client.safetensors_reader import read_safetensors

TENSORS = {
    "bytes": torch.arange(15, dtype=torch.uint8).view(1, 3, 5),
    "half": torch.tensor([0.5, 1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[0.5], [1.5]], dtype=torch.bfloat16),
    "single": torch.linspace(0, 1, 7),
    "numbers": torch.tensor([-1, 2**62]),
    "flags": torch.tensor([True, False, True]),
    "none": torch.empty((0, 3, 4), dtype=torch.float32),
}


def test_it_reads_what_the_library_writes() -> None:
    content = bytearray(safetensors.torch.save(TENSORS, {"tail": "ToTensor()", "classes": '["ä"]'}))
    found = read_safetensors(memoryview(content))
    assert found.metadata == {"tail": "ToTensor()", "classes": '["ä"]'}
    for name, tensor in TENSORS.items():
        array = torch.from_numpy(found.arrays[name])
        assert found.dtypes[name] == str(tensor.dtype).removeprefix("torch.")
        assert (array.view(torch.bfloat16) if name == "brain" else array).equal(tensor)


def test_pixels_are_views_of_the_file() -> None:
    content = np.frombuffer(bytearray(safetensors.torch.save({"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)})), np.uint8)
    images = read_safetensors(content.data).arrays["images"]
    images += 1
    assert content[-1] == 1


@pytest.mark.parametrize("offset", range(0, 72, 8))
def test_numbers_begin_where_torch_would_put_them(offset: int) -> None:
    """A file of another header lies otherwise in memory; what is computed from it shall not depend on that."""
    tensors = {
        "images": torch.linspace(0, 1, 96).view(1, 3, 4, 8),
        "labels": torch.arange(3),
        "odd": torch.ones(3, dtype=torch.uint8),
        "valid": torch.tensor([True]),
    }
    content = memoryview(bytearray(safetensors.torch.save(tensors, {"x": "y" * offset})))
    found = read_safetensors(content).arrays
    for name in ("images", "labels"):
        assert found[name].ctypes.data % 64 == 0
        assert torch.from_numpy(found[name]).equal(tensors[name])
    whole = np.frombuffer(content, np.uint8)
    if offset == 0:
        assert np.shares_memory(whole, found["odd"])


def test_numbers_that_lie_well_are_not_copied() -> None:
    header = json.dumps({"images": {"dtype": "F32", "shape": [32], "data_offsets": [0, 128]}}).encode()
    header += b" " * (-(8 + len(header)) % 64)
    content = allocate((8 + len(header) + 128,), np.uint8)
    content[:] = np.frombuffer(struct.pack("<Q", len(header)) + header + bytes(128), np.uint8)
    assert np.shares_memory(read_safetensors(content.data).arrays["images"], content)


def write(header: Any, data: bytes = b"") -> memoryview:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(bytearray(struct.pack("<Q", len(text)) + text + data))


def entry(**changes: Any) -> dict[str, Any]:
    return {"images": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


def test_an_array_off_its_boundary_is_copied_to_one() -> None:
    found = read_safetensors(write({"x": {"dtype": "I64", "shape": [1], "data_offsets": [3, 11]}}, b"abc" + struct.pack("<q", -5))).arrays["x"]
    assert found.ctypes.data % 64 == 0
    assert found.tolist() == [-5]


@pytest.mark.parametrize(
    "content",
    [
        memoryview(b""),
        memoryview(b"<html>502 Bad Gateway</html>"),
        write(b"{"),
        write([]),
        write({"images": 3}),
        write(entry(), b"1234567"),
        write(entry(dtype="F64"), b"12345678"),
        write(entry(shape=[3]), b"12345678"),
        write(entry(shape=[-1, -2]), b"12345678"),
        write(entry(shape=["2"]), b"12345678"),
        write(entry(data_offsets=[4, 12]), b"12345678"),
        write(entry(data_offsets=[-8, 0]), b"12345678"),
        write(entry(data_offsets=[8]), b"12345678"),
        write(entry(shape=None), b"12345678"),
        write({"__metadata__": "x"}),
        write(b"\xff\xfe"),
    ],
)
def test_what_is_no_such_file_is_refused(content: memoryview) -> None:
    with pytest.raises(MalformedAnswer, match="no safetensors file"):
        read_safetensors(content)


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    for content in (data, struct.pack("<Q", len(data)) + data, struct.pack("<Q", max(0, len(data) - 5)) + data):
        try:
            read_safetensors(memoryview(bytearray(content)))
        except MalformedAnswer:
            continue
