"""Pictures as lossy WebP: about a tenth of the PNG, for pages."""

from io import BytesIO

from PIL import Image

from service.errors import InvalidParameter

MAX_SIDE = 16_383
"""Pixels; WebP stores a side in 14 bits (RFC 9649, section 2.6)."""


def encode_webp(image: Image.Image, quality: int = 80) -> bytes:
    """Writes a picture as lossy WebP, with the encoder's fastest method.

    The same picture gives the same bytes. Thread-safe.

    Args:
        image: a Pillow image; other modes than RGB are converted.
        quality: 0 to 100.

    Returns:
        the file.

    Raises:
        InvalidParameter: a side is longer than WebP can store.
    """
    if max(image.size) > MAX_SIDE:
        raise InvalidParameter(
            f"A picture of {image.width} x {image.height} pixels is no WebP: its sides end at {MAX_SIDE}. Ask for a PNG, a smaller tile or other columns.",
            parameters=["tile", "columns"],
            limit=MAX_SIDE,
        )
    file = BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=quality, method=0)
    return file.getvalue()
