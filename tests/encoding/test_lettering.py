"""Titles: there, readable, different from each other, and inside their tile."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from service.encoding import lettering
from service.encoding.lettering import BAND, GREY, TITLE, band_height, drawable, font_size, notice, shortened, title_band, wrapped

WIDTHS = [16, 32, 64, 96, 224, 512, 1024]
TEXT = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=120)


def contrast(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """WCAG 2.2's contrast ratio."""

    def luminance(colour: tuple[int, int, int]) -> float:
        linear = [(value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4) for value in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def ink(tile: torch.Tensor, ground: tuple[int, int, int]) -> torch.Tensor:
    """Where a tile differs from its ground: bool [H, W]."""
    return (tile != torch.tensor(ground, dtype=torch.uint8).reshape(3, 1, 1)).any(0)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_band_holds_light_text_on_a_dark_ground(width):
    band = title_band("bees", width)
    assert band.shape == (3, band_height(width), width)
    assert band.dtype == torch.uint8
    assert (band == torch.tensor(BAND, dtype=torch.uint8).reshape(3, 1, 1)).all(0).float().mean() > 0.4
    if width >= 32:
        assert band.max() > 0.9 * max(TITLE)


def test_the_colours_stand_out_from_each_other():
    assert contrast(TITLE, BAND) > 14
    assert contrast(TITLE, GREY) > 9
    assert contrast(lettering.QUIET, GREY) > 5.5


@pytest.mark.parametrize("width", [64, 224, 512])
def test_text_stands_in_the_middle_of_its_band(width):
    rows, columns = ink(title_band("xxxx", width), BAND).nonzero().unbind(1)
    assert abs((columns.min() + columns.max()) / 2 - (width - 1) / 2) <= 1.5
    assert abs((rows.min() + rows.max()) / 2 - (band_height(width) - 1) / 2) <= 0.12 * band_height(width)


def test_different_names_give_different_bands_and_the_same_name_the_same():
    names = ["ants", "bees", "bee", "sbee", "a very long name of a class 1", "another very long name"]
    bands = [title_band(name, 96) for name in names]
    assert all(not torch.equal(bands[i], bands[j]) for i in range(len(names)) for j in range(i))
    before = bands[0].clone()
    title_band.cache_clear()
    assert torch.equal(title_band("ants", 96), before)


@pytest.mark.parametrize("width", [64, 96, 224])
def test_a_long_name_is_shortened_within_the_tile(width):
    mask = ink(title_band("greater yellow-headed vulture of the northern savannah " * 3, width), BAND)
    assert not mask[:, 0].any()
    assert not mask[:, -1].any()
    assert mask.any(0).sum() > 0.5 * width


@given(text=TEXT, width=st.integers(0, 300), size=st.integers(9, 32))
def test_a_shortened_text_fits_and_is_a_beginning(text, width, size):
    result = shortened(text, width, size)
    assert lettering._length(result, size) <= width or result == ""
    assert result in {text, ""} or (result.endswith("…") and text.startswith(result[:-1]))


@given(text=TEXT, width=st.integers(40, 300), size=st.integers(9, 32))
def test_wrapped_lines_fit_and_lose_nothing(text, width, size):
    lines = wrapped(text, width, size)
    assert all(lettering._length(line, size) <= width for line in lines if len(line) > 1)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_the_font_grows_with_the_tile():
    sizes = [font_size(width) for width in range(1, 2049)]
    assert sizes == sorted(sizes)
    assert [font_size(width) for width in (32, 64, 224, 512, 1024)] == [9, 11, 15, 23, 32]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("bees", "bees"),
        (" two\n lines\tand  spaces ", "two lines and spaces"),
        ("Großer Würger", "Grosser Wurger"),
        ("Żółw \u2013 500\u00d7375", "Zolw - 500x375"),
        ("naïve ☃ crème", "naive ? creme"),
        ("蜜蜂", ""),
        ("\x00", ""),
        ("", ""),
    ],
)
def test_text_is_written_in_what_the_font_has(text, written):
    assert drawable(text) == written


def test_the_font_has_a_glyph_for_every_sign_that_is_kept():
    font = ImageFont.load_default(20)
    missing = bytes(font.getmask("\uffff"))
    assert [sign for sign in lettering._SIGNS if bytes(font.getmask(sign)) == missing] == []


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (64, 64), (224, 224), (40, 400), (400, 20)])
def test_a_notice_fills_its_tile_and_keeps_to_it(height, width):
    tile = notice("no image", "The file is truncated: 1,022 of 40,511 bytes could be decoded. " * 8, height, width)
    assert tile.shape == (3, height, width)
    if min(height, width) >= 40:
        mask = ink(tile, GREY)
        assert mask.any()
        assert not mask[0].any()
        assert not mask[-1].any()
        assert not mask[:, 0].any()


def test_notices_tell_reasons_apart():
    assert not torch.equal(notice("no image", "truncated", 96, 96), notice("no image", "not an image", 96, 96))
