"""PNG: any reader gives back exactly the pixels that went in."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from service.encoding.png import encode_png


def decoded(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_the_pixels_come_back(pixels):
    image = decoded(encode_png(Image.fromarray(pixels)))
    assert (image.format, image.mode) == ("PNG", "RGB")
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(("height", "width"), [(700, 500), (1, 100_000), (5000, 1)])
def test_pictures_of_several_bands_come_back(height, width):
    image = noise(height, width)
    assert np.array_equal(np.asarray(decoded(encode_png(image))), np.asarray(image))


def test_the_same_picture_gives_the_same_bytes():
    image = noise(300, 200)
    assert encode_png(image) == encode_png(image.copy())


def test_the_bytes_do_not_depend_on_the_number_of_processors(monkeypatch):
    image = noise(700, 500)
    found = encode_png(image)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(7) as seven:
        for pool in (one, seven):
            monkeypatch.setattr("service.encoding.png._pool", lambda pool=pool: pool)
            assert encode_png(image) == found


@given(st.integers(1, 300), st.integers(1, 3000))
def test_the_bands_are_one_stream_with_the_right_checksum(height, width):
    image = noise(height, width)
    data = encode_png(image)
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    stream = zlib.decompressobj()
    lines = stream.decompress(data[start + 4 : start + 4 + length])  # It holds them against the checksum.
    assert (stream.eof, stream.unused_data) == (True, b"")
    assert len(lines) == height * (3 * width + 1)


def test_flat_pictures_are_small():
    assert len(encode_png(Image.new("RGB", (1000, 1000), (52, 52, 58)))) < 20_000


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_modes_are_converted(mode):
    image = noise(20, 30).convert(mode)
    assert np.array_equal(np.asarray(decoded(encode_png(image))), np.asarray(image.convert("RGB")))
