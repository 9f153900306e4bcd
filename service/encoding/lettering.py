"""Text in pictures: title bands above tiles, and tiles that hold a notice instead of an image.

The font is Aileron, which Pillow carries inside itself, laid out by Pillow's own engine: no font file is looked for, and every machine draws the same. It
holds ASCII and a few signs; accents are dropped, and what it cannot draw at all becomes a question mark.

Everything here is thread-safe.
"""

import math
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from threading import Lock

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

BAND = (28, 28, 32)
TITLE = (240, 240, 244)
GREY = (52, 52, 58)
QUIET = (176, 176, 184)
"""Colours as red, green, blue in 0..255; text stands out from its ground by 15 to 1 and 5.7 to 1 (WCAG asks for 4.5)."""

_SIGNS = frozenset(map(chr, range(32, 127))) | frozenset("·°±©™…")
_PLAIN = str.maketrans(
    {"\u00d7": "x", "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2018": "'", "\u2019": "'", "“": '"', "”": '"'}
    | {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "\u0131": "i"}
)
"""Signs and letters that Unicode does not decompose: times, dashes, minus, quotes; ligatures and letters with a stroke."""

_LONGEST_TEXT = 400
"""Characters looked at; no band is wide enough for more."""

_ELLIPSIS = "…"

_drawing = Lock()
"""FreeType's faces are not made for several threads at once; what is drawn under it is cached."""


def drawable(text: str) -> str:
    """Writes a text in characters that the font has, on one line.

    Returns:
        the text without accents, with `?` for each other missing character; empty where no letter or digit would be left.
    """
    line = " ".join(text[:_LONGEST_TEXT].split()).translate(_PLAIN)
    bases = (sign for sign in unicodedata.normalize("NFKD", line) if not unicodedata.combining(sign))
    known = "".join(sign if sign in _SIGNS else "?" for sign in bases)
    return known if any(sign.isalnum() for sign in known) else ""


def font_size(width: int) -> int:
    """The size of text in pixels on a tile `width` pixels wide: 11 at 64, 15 at 224, 23 at 512, never over 32."""
    return max(9 if width < 56 else 11, min(32, round(math.sqrt(width))))


def band_height(width: int) -> int:
    """The height in pixels of the title band of a tile `width` pixels wide."""
    return round(1.75 * font_size(width))


def shortened(text: str, width: int, size: int) -> str:
    """The text, or as much of its beginning as fits together with an ellipsis.

    Args:
        text: one line of drawable characters.
        width: in pixels.
        size: of the font, in pixels.

    Returns:
        a text at most `width` pixels wide; empty where not even the ellipsis fits.
    """
    if _length(text, size) <= width:
        return text
    room = width - math.ceil(_length(_ELLIPSIS, size))
    return text[: _fitting(text, room, size)].rstrip(" ._-") + _ELLIPSIS if room >= 0 else ""


@lru_cache(maxsize=128)
def title_band(text: str, width: int) -> Tensor:
    """Draws the band that titles a tile: the text in its middle, shortened to fit. Bands repeat, so the last 128 are kept (2 MB at 224 pixels).

    Args:
        text: one line of drawable characters.
        width: of the tile in pixels, 1 or more.

    Returns:
        uint8 [3, band_height(width), width], shared: never write to it.
    """
    size = font_size(width)
    image = Image.new("RGB", (width, band_height(width)), BAND)
    _write(image, shortened(text, width - 2 * _margin(width), size), image.height / 2, size, TITLE)
    return as_tensor(image)


def notice(heading: str, reason: str, height: int, width: int) -> Tensor:
    """Draws a quiet grey tile that says why there is no image.

    Args:
        heading: one or two words.
        reason: a sentence; wrapped, and shortened to the lines that fit.
        height: of the tile in pixels, 1 or more.
        width: likewise.

    Returns:
        uint8 [3, height, width].
    """
    size, room = font_size(width), width - 2 * _margin(width)
    pitch = 1.3 * size
    image = Image.new("RGB", (width, height), GREY)
    lines = [shortened(drawable(heading), room, size), *wrapped(drawable(reason), room, size)]
    shown = max(1, int((height - _margin(width)) / pitch))
    if 1 < shown < len(lines):
        lines[shown - 1] = shortened(f"{lines[shown - 1]} {_ELLIPSIS}", room, size)
    lines = lines[:shown]
    top = (height - pitch * (len(lines) - 1)) / 2
    for number, line in enumerate(lines):
        _write(image, line, top + pitch * number, size, TITLE if number == 0 else QUIET)
    return as_tensor(image)


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Breaks a text into lines of at most `width` pixels, at spaces where there are any."""
    lines: list[str] = []
    for word in text.split():
        if lines and _length(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
            continue
        rest = word
        while len(rest) > 1 and _length(rest, size) > width:
            end = max(1, _fitting(rest, width, size))
            lines.append(rest[:end])
            rest = rest[end:]
        lines.append(rest)
    return lines


def as_tensor(image: Image.Image) -> Tensor:
    """The pixels of an RGB image as uint8 [3, H, W], a copy."""
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in image.split()]))


def _margin(width: int) -> int:
    return max(1, min(8, width // 24))


def _fitting(text: str, width: int, size: int) -> int:
    """How many characters of the text's beginning are at most `width` pixels wide, by bisection."""
    return bisect_right(range(1, len(text) + 1), width, key=lambda end: math.ceil(_length(text[:end], size)))


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType, so it cannot write titles.")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _length(text: str, size: int) -> float:
    with _drawing:
        return _font(size).getlength(_spaced(text, size))


def _write(image: Image.Image, text: str, middle: float, size: int, colour: tuple[int, int, int]) -> None:
    left = round((image.width - _length(text, size)) / 2)
    with _drawing:
        ImageDraw.Draw(image).text((left, round(middle)), _spaced(text, size), colour, _font(size), anchor="lm")


def _spaced(text: str, size: int) -> str:
    """Doubles the spaces of small text: the font's own is two pixels there, and words run together."""
    return text.replace(" ", "  ") if size < 14 else text
