"""JPEG: a close likeness, the same bytes each time, and a clear word where a picture is too long for it."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.encoding.jpeg import MAX_SIDE, encode_jpeg
from service.errors import InvalidParameter

GRADIENT = Image.merge("RGB", [Image.linear_gradient("L"), Image.radial_gradient("L"), Image.new("L", (256, 256), 90)])


def test_it_is_a_likeness_of_the_picture():
    with Image.open(BytesIO(encode_jpeg(GRADIENT))) as image:
        assert (image.format, image.size) == ("JPEG", GRADIENT.size)
        assert np.abs(np.asarray(image, int) - np.asarray(GRADIENT, int)).mean() < 5


def test_the_same_picture_gives_the_same_bytes():
    assert encode_jpeg(GRADIENT) == encode_jpeg(GRADIENT.copy())


def test_a_higher_quality_takes_more_bytes():
    assert len(encode_jpeg(GRADIENT, quality=20)) < len(encode_jpeg(GRADIENT, quality=95))


def test_a_side_too_long_for_the_format_is_refused():
    assert encode_jpeg(Image.new("RGB", (2, MAX_SIDE)))
    with pytest.raises(InvalidParameter, match=r"2 x 65501 pixels.*smaller tile or other columns"):
        encode_jpeg(Image.new("RGB", (2, MAX_SIDE + 1)))
