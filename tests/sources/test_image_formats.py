"""Which formats are tried, and what a file is called on the wire."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from service.sources.folder_lister import EXTENSIONS
from service.sources.image_formats import FORMATS, HEAD_BYTES, media_type_of


def head_of(format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4)).save(buffer, format_name, **options)
    return buffer.getvalue()[:HEAD_BYTES]


@pytest.mark.parametrize(
    ("format_name", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("MPO", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
        ("JPEG2000", "image/jp2"),
        ("BMP", "image/bmp"),
    ],
)
def test_the_content_decides_the_media_type(format_name: str, media_type: str):
    assert media_type_of("a/1.jpg", head_of(format_name)) == media_type_of("a/1.pgm", head_of(format_name)) == media_type


def test_where_the_content_says_nothing_the_extension_does():
    assert all(media_type_of(f"a/b{suffix}", b"").startswith("image/") for suffix in EXTENSIONS)
    assert media_type_of("a/B.JPEG", b"") == media_type_of("a.jpg", b"<html><script>") == "image/jpeg"
    assert media_type_of("a.ppm", head_of("PPM")) == "image/x-portable-pixmap"
    assert media_type_of("a.jpg/b", b"") == media_type_of("a.html", b"") == "application/octet-stream"


def test_no_other_plugin_of_pillow_is_loaded():
    """Formats that start programs, or unpack without a limit, are not even imported."""
    code = (
        "import sys, io; from PIL import Image; from service.sources.image_formats import FORMATS, load_plugins; load_plugins()\n"
        "try: Image.open(io.BytesIO(b'%!PS-Adobe-3.0'), formats=FORMATS)\n"
        "except Image.UnidentifiedImageError: pass\n"
        "print(*sorted(Image.OPEN))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {*FORMATS} <= {*done.stdout.split()}
    assert not {"EPS", "WMF", "FITS", "ICO", "QOI", "DDS", "BUFR", "HDF5", "GRIB", "IPTC"} & {*done.stdout.split()}
