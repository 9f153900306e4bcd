"""`max_resolution`: photos reduced on decoding, exactly as plain Pillow reduces them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets.folder import pil_loader
from torchvision.transforms.v2 import functional

from service.errors import ImageTooLarge
from service.sources.source import reduce_size
from tests.sources.test_decoding import WHOLE, draw, file_of, reader_of


@given(st.integers(1, 10**5), st.integers(1, 10**5), st.integers(1, 9000))
def test_the_shorter_side_is_exact_and_the_other_keeps_the_ratio(width: int, height: int, most: int):
    reduced = reduce_size((width, height), most)
    if min(width, height) <= most:
        assert reduced == (width, height)
    else:
        assert min(reduced) == most
        assert reduced == (int(width * most / min(width, height)), int(height * most / min(width, height)))  # as torchvision's Resize has it


def test_without_it_nothing_is_reduced():
    assert reduce_size((10**6, 10**6), None) == (10**6, 10**6)


@pytest.mark.parametrize("most", [1, 5, 7, 12, 21])
@pytest.mark.parametrize("name", WHOLE)
def test_pixels_are_pillows(name: str, most: int, tmp_path: Path):
    image, options = WHOLE[name]
    image.save(tmp_path / name, **options)
    pixels = reader_of(tmp_path).pixels(file_of(tmp_path, name), most)
    with Image.open(tmp_path / name) as plain:
        width, height = plain.size
        if min(width, height) <= most:
            assert np.array_equal(pixels, np.asarray(pil_loader(tmp_path / name)))
            return
        size = (width * most // min(width, height), height * most // min(width, height))
        scale = next(each for each in (8, 4, 2, 1) if width // size[0] >= each and height // size[1] >= each) if plain.format in {"JPEG", "MPO"} else 1
        drafted = plain.draft(None, (width // scale, height // scale)) if scale > 1 else None
        assert plain.size == (-(-width // scale), -(-height // scale))
        expected = plain.convert("RGB").resize(size, Image.Resampling.BILINEAR, box=drafted and drafted[1])
    assert pixels.shape == (size[1], size[0], 3)
    assert np.array_equal(pixels, np.asarray(expected))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("most", [60, 100, 200, 1000])
def test_photos_look_as_if_they_were_decoded_whole_and_resized(most: int, photos: Path):
    for path in sorted(photos.glob("*/*/*.jpg"))[::60]:
        reduced = reader_of(photos).pixels(file_of(photos, path.relative_to(photos).as_posix()), most)
        whole = pil_loader(path)
        expected = functional.resize(whole, [most]) if min(whole.size) > most else whole
        assert reduced.shape == np.asarray(expected).shape
        assert np.abs(reduced.astype(int) - np.asarray(expected)).mean() < 4


def test_the_pixel_limit_is_about_the_whole_photo(tmp_path: Path):
    for name in ("1.jpg", "1.png"):
        draw(size=(80, 50)).save(tmp_path / name)
        assert reader_of(tmp_path, 4000).pixels(file_of(tmp_path, name), 5).shape == (5, 8, 3)
        with pytest.raises(ImageTooLarge, match="has 80 x 50 pixels, more than the 3,999 allowed"):
            reader_of(tmp_path, 3999).pixels(file_of(tmp_path, name), 5)


def test_a_size_is_that_of_the_original(make_image: Callable[..., Path], tmp_path: Path):
    make_image(tmp_path / "1.jpg", (640, 480))
    reader, file = reader_of(tmp_path), file_of(tmp_path, "1.jpg")
    assert reader.pixels(file, 100).shape == (100, 133, 3)
    assert reader.size(file) == (640, 480)
    assert reader.pixels(file).shape == (480, 640, 3)
