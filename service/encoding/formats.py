"""The formats that a batch can be had in: one explicit table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL.Image import Image

from service.encoding.batch import Batch
from service.encoding.jpeg import encode_jpeg
from service.encoding.npz import encode_npz
from service.encoding.picture import PictureOptions, draw_batch
from service.encoding.pixels import Normalization
from service.encoding.png import encode_png
from service.encoding.provenance import encode_provenance
from service.encoding.safetensors import encode_safetensors
from service.encoding.tensors import name_arrays, tell_metadata
from service.encoding.webp import encode_webp

Piece = bytes | memoryview
"""Part of a body. A view keeps the memory alive that it shows, but not the slot: see `Delivery.keep`."""


PICTURES: Mapping[str, Callable[[Image], bytes]] = {"png": encode_png, "webp": encode_webp, "jpg": encode_jpeg}
"""How a picture is written, by suffix."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """What an encoder needs besides the batch.

    Attributes:
        etag: of the answer.
        tail: end of the recipe that is left to the client; "" where there is none.
        classes: class names in label order.
        normalization: (mean, std) that a picture undoes; None for none.
        picture: how pictures are drawn.
        exif_orientation: returns the EXIF orientation that a row's sample was read without, or None; it looks at the file.
    """

    etag: str
    tail: str
    classes: tuple[str, ...]
    normalization: Normalization | None
    picture: PictureOptions
    exif_orientation: Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class Format:
    """A format.

    Attributes:
        name: the suffix in URLs.
        media_type: as in Content-Type.
        encode: turns a batch into bytes, in pieces; the same batch gives the same bytes.
        is_picture: whether picture options matter.
        is_lossy: whether pixels may differ from the batch's.
        is_view: whether encoding a block on the CPU takes no time: its bytes are sent as they lie.
    """

    name: str
    media_type: str
    encode: Callable[[Batch, Presentation], list[Piece]]
    is_picture: bool = False
    is_lossy: bool = False
    is_view: bool = False


def _safetensors(batch: Batch, presentation: Presentation) -> list[Piece]:
    return encode_safetensors(name_arrays(batch), tell_metadata(batch, presentation.etag, presentation.tail, presentation.classes))


def _npz(batch: Batch, presentation: Presentation) -> list[Piece]:
    return encode_npz(name_arrays(batch), tell_metadata(batch, presentation.etag, presentation.tail, presentation.classes))


def _picture(name: str) -> Callable[[Batch, Presentation], list[Piece]]:
    write = PICTURES[name]
    return lambda batch, presentation: [write(draw_batch(batch, presentation.normalization, presentation.picture))]


def _json(batch: Batch, presentation: Presentation) -> list[Piece]:
    return [encode_provenance(batch, presentation.etag, presentation.tail, presentation.exif_orientation)]


FORMATS: Mapping[str, Format] = {
    "safetensors": Format("safetensors", "application/x-safetensors", _safetensors, is_view=True),
    "npz": Format("npz", "application/x-npz", _npz),
    "png": Format("png", "image/png", _picture("png"), is_picture=True),
    "webp": Format("webp", "image/webp", _picture("webp"), is_picture=True, is_lossy=True),
    "jpg": Format("jpg", "image/jpeg", _picture("jpg"), is_picture=True, is_lossy=True),
    "json": Format("json", "application/json", _json),
}
"""Every format by its suffix; the first is what a client gets that accepts anything."""
