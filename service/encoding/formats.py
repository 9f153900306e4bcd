"""The formats that a batch can be had in: one explicit table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.encoding.batch import Batch
from service.encoding.jpeg import encode_jpeg
from service.encoding.picture import PictureOptions, draw_batch
from service.encoding.pixels import Normalization
from service.encoding.png import encode_png
from service.encoding.provenance import encode_provenance
from service.encoding.webp import encode_webp


@dataclass(frozen=True, slots=True)
class Presentation:
    """What an encoder needs besides the batch.

    Attributes:
        etag: of the answer.
        tail: the recipe's tail.
        normalization: (mean, std) that a picture undoes; None for none.
        picture: how pictures are drawn.
    """

    etag: str
    tail: str
    normalization: Normalization | None
    picture: PictureOptions


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        name: the suffix in URLs.
        media_type: as in Content-Type.
        encode: turns a batch into bytes; the same batch gives the same bytes.
        is_picture: whether picture options matter.
        is_lossy: whether pixels may differ from the batch's.
    """

    name: str
    media_type: str
    encode: Callable[[Batch, Presentation], bytes]
    is_picture: bool = False
    is_lossy: bool = False


def _png(batch: Batch, presentation: Presentation) -> bytes:
    return encode_png(draw_batch(batch, presentation.normalization, presentation.picture))


def _webp(batch: Batch, presentation: Presentation) -> bytes:
    return encode_webp(draw_batch(batch, presentation.normalization, presentation.picture))


def _jpeg(batch: Batch, presentation: Presentation) -> bytes:
    return encode_jpeg(draw_batch(batch, presentation.normalization, presentation.picture))


def _json(batch: Batch, presentation: Presentation) -> bytes:
    return encode_provenance(batch, presentation.etag, presentation.tail)


FORMATS: Mapping[str, Format] = {
    "png": Format("png", "image/png", _png, is_picture=True),
    "webp": Format("webp", "image/webp", _webp, is_picture=True, is_lossy=True),
    "jpg": Format("jpg", "image/jpeg", _jpeg, is_picture=True, is_lossy=True),
    "json": Format("json", "application/json", _json),
}
"""Every format by its suffix; the first is what a client gets that accepts anything."""
