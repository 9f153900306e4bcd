"""The image formats that are read, whatever a file is called, and their media types."""

import os

from PIL import (
    AvifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    PcxImagePlugin,
    PsdImagePlugin,
    SgiImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "GIF", "AVIF", "JPEG2000", "PSD", "SGI", "PCX", "TGA")
"""What Pillow may try, by content, as `ImageFolder`'s loader does: every format of which all four hold.

1. It is met under `ImageFolder`'s extensions: pictures renamed by scrapers and phones (AVIF, JPEG 2000, GIF; MPO, several
   JPEGs in one file, comes with JPEG), scans and renderings (PSD as its flattened picture, SGI, PCX, TGA).
2. Its header says how large it is before a pixel is decoded, so that the limits hold. Not so: ICO, ICNS and CUR, whose
   directory says one thing and the picture inside another; FITS, unpacked before it is measured; IPTC, BUFR, GRIB and
   HDF5, which hold files for other readers.
3. It is decoded in C. Pillow's DDS, QOI, BLP, FTEX, MSP and XPM loop over the pixels in Python: 50 megapixels take minutes.
4. It starts no program and no handler: not EPS (Ghostscript) and WMF.

The rest of Pillow's list (DCX, FLI, GBR, IM, MCIDAS, PCD, PIXAR, SPIDER, SUN, XBM, XVThumb, bare DIB) holds no photos,
and each of them is more code that reads hostile files. TGA has no signature and comes last. A list like this one is what
Pillow's handbook advises ("Security", S-1 and D-1).

A header can lie. A JPEG 2000 that does is refused by Pillow; an AVIF's hidden frame may be larger than its header says, up
to libavif's own limit of 16,384 x 16,384 pixels, before it is scaled to what the header says.
"""

HEAD_BYTES = 16
"""So many first bytes decide a media type."""

_PLUGINS = (Jpeg2KImagePlugin, PcxImagePlugin, PsdImagePlugin, SgiImagePlugin, TgaImagePlugin, TiffImagePlugin, WebPImagePlugin)
"""They register with Pillow as they are imported; no others are, or the first image of every process would wait for all of them."""

_SIGNATURES = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypavis", "image/avif"),
    (0, b"\0\0\0\x0cjP  ", "image/jp2"),
    (0, b"\xff\x4f\xff\x51", "image/j2c"),
    (0, b"8BPS\0\x01", "image/vnd.adobe.photoshop"),
    (0, b"BM", "image/bmp"),
)

_EXTENSIONS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".ppm": "image/x-portable-pixmap",
    ".pgm": "image/x-portable-graymap",
}


IMAGE_TYPES = tuple(dict.fromkeys([*_EXTENSIONS.values(), *(media_type for _, _, media_type in _SIGNATURES)]))
"""Every media type that `media_type_of` returns for an image."""


def load_plugins() -> None:
    """Make Pillow ready to read the formats."""
    Image.preinit()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # There is a process for each processor already.


def media_type_of(path: str, head: bytes) -> str:
    """Return a file's media type: that of its content where its first bytes tell, otherwise that of its extension.

    Args:
        path: of the file.
        head: its first `HEAD_BYTES` bytes, or fewer.
    """
    by_name = _EXTENSIONS.get(os.path.splitext(path)[1].lower(), "application/octet-stream")  # noqa: PTH122
    return next((media_type for offset, signature, media_type in _SIGNATURES if head.startswith(signature, offset)), by_name)
