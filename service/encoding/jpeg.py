"""Pictures as JPEG: the quickest to write, for clients that know nothing else."""

from io import BytesIO

from PIL import Image

from service.errors import InvalidParameter

MAX_SIDE = 65_500
"""Pixels; the format's 16 bits end at 65,535, libjpeg's `JPEG_MAX_DIMENSION` a little before."""


def encode_jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Writes a picture as baseline JPEG with full colour resolution (4:4:4), so that the edges of tiles do not bleed.

    The same picture gives the same bytes. Thread-safe.

    Args:
        image: a Pillow image; other modes than RGB are converted.
        quality: 1 to 95.

    Returns:
        the file.

    Raises:
        InvalidParameter: a side is longer than JPEG can store.
    """
    if max(image.size) > MAX_SIDE:
        raise InvalidParameter(
            f"A picture of {image.width} x {image.height} pixels is no JPEG: its sides end at {MAX_SIDE}. Ask for a PNG, a smaller tile or other columns.",
            parameters=["tile", "columns"],
            limit=MAX_SIDE,
        )
    file = BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
