"""Images as the world delivers them: whole but odd, broken, and hostile. Everything is made here, from seeds."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

SIDE = 20_000
"""Of the bombs: 400 megapixels."""


@dataclass(frozen=True)
class Specimen:
    """One file.

    Attributes:
        content: its bytes.
        size: (width, height) where it is an image; None where not.
        code: of the problem it must be answered with; "" where it is whole.
    """

    content: bytes
    size: tuple[int, int] | None = None
    code: str = ""


def draw(mode: str = "RGB", size: tuple[int, int] = (37, 23)) -> Image.Image:
    """Noise over the whole range of a mode."""
    width, height = size
    noise = np.random.default_rng(11)
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 65536, (height, width), dtype=np.uint16))
    return Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it should be turned; `ImageFolder` does not turn it, and neither do we."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(draw(), "JPEG", exif=exif)


def bomb() -> bytes:
    """A PNG of 400 megapixels in 49 KB."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes((SIDE // 8 + 1) * SIDE), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)) for kind, content in parts
    )


def whole() -> dict[str, Specimen]:
    """Files that are answered with their pixels."""
    small = (37, 23)
    frames = {"save_all": True, "append_images": [draw().rotate(180)]}
    return {
        **{f"exif-{each}.jpg": Specimen(oriented(each), small) for each in range(1, 9)},
        "cmyk.jpg": Specimen(encode(draw("CMYK"), "JPEG"), small),
        "gray.jpg": Specimen(encode(draw("L"), "JPEG"), small),
        "progressive.jpg": Specimen(encode(draw(), "JPEG", progressive=True), small),
        "16-bit.png": Specimen(encode(draw("I;16"), "PNG"), small),
        "palette.png": Specimen(encode(draw("P"), "PNG"), small),
        "palette-transparent.png": Specimen(encode(draw("P"), "PNG", transparency=3), small),
        "palette-alphas.png": Specimen(encode(draw("P"), "PNG", transparency=bytes(range(256))), small),
        "alpha.png": Specimen(encode(draw("RGBA"), "PNG"), small),
        "moving-gif.png": Specimen(encode(draw("P"), "GIF", save_all=True, append_images=[draw("P").rotate(180)]), small),
        "moving.webp": Specimen(encode(draw(), "WEBP", **frames), small),
        "png-by-another-name.jpg": Specimen(encode(draw(), "PNG"), small),
        "jpeg-by-another-name.webp": Specimen(encode(draw(), "JPEG"), small),
        "avif.jpg": Specimen(encode(draw(), "AVIF"), small),
        "jpeg2000.jpg": Specimen(encode(draw(), "JPEG2000"), small),
        "one-pixel.png": Specimen(encode(draw(size=(1, 1)), "PNG"), (1, 1)),
        "wide.png": Specimen(encode(draw(size=(30_000, 1)), "PNG"), (30_000, 1)),
        "wide.jpg": Specimen(encode(draw(size=(30_000, 1)), "JPEG"), (30_000, 1)),
    }


def broken() -> dict[str, Specimen]:
    """Files that are answered with a problem."""
    jpeg, png, webp = (encode(draw(size=(200, 150)), name) for name in ("JPEG", "PNG", "WEBP"))
    contents = {
        "empty.jpg": b"",
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": png[: len(png) // 2],
        "truncated.webp": webp[: len(webp) // 2],
        "truncated-gif.png": encode(draw("P"), "GIF")[:-300],
        "only-a-header.jpg": jpeg[:20],
        "text.png": b"This is no picture.\n" * 50,
        "page.jpg": b"<!DOCTYPE html><title>404 Not Found</title>",
        "script.jpg": b"#!/bin/sh\necho no\n",
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
        "pickle.png": b"\x80\x04\x95\x19\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x02no\x85R.",
        "icon.jpg": encode(draw(), "ICO"),
        "zeros.bmp": bytes(5000),
    }
    bombs = {"bomb.png": bomb(), "claim.ppm": f"P6 {SIDE} {SIDE} 255\n".encode()}
    return {name: Specimen(content, code="unreadable-image") for name, content in contents.items()} | {
        name: Specimen(content, code="image-too-large") for name, content in bombs.items()
    }
