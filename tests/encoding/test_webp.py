"""WebP: a close likeness, the same bytes each time, and a clear word where a picture is too long for it."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from service.encoding.webp import MAX_SIDE, encode_webp
from service.errors import InvalidParameter

GRADIENT = Image.merge("RGB", [Image.linear_gradient("L"), Image.radial_gradient("L"), Image.new("L", (256, 256), 90)])


def test_it_is_a_likeness_of_the_picture():
    with Image.open(BytesIO(encode_webp(GRADIENT))) as image:
        assert (image.format, image.size) == ("WEBP", GRADIENT.size)
        assert np.abs(np.asarray(image, int) - np.asarray(GRADIENT, int)).mean() < 5


def test_the_same_picture_gives_the_same_bytes():
    assert encode_webp(GRADIENT) == encode_webp(GRADIENT.copy())


def test_a_higher_quality_takes_more_bytes():
    assert len(encode_webp(GRADIENT, quality=20)) < len(encode_webp(GRADIENT, quality=95))


def test_a_side_too_long_for_the_format_is_refused():
    assert encode_webp(Image.new("RGB", (2, MAX_SIDE)))
    with pytest.raises(InvalidParameter, match=r"2 x 16384 pixels.*smaller tile or other columns"):
        encode_webp(Image.new("RGB", (2, MAX_SIDE + 1)))
