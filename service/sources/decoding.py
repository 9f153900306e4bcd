"""From an image file to pixels: Pillow, with every limit checked on the header first."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from service.errors import ImageTooLarge, SampleChanged, SampleError, SampleUnavailable, UnreadableImage
from service.sources.source import File, Pixels, reduce_size

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM", "TIFF", "GIF")
"""What Pillow may try: the formats behind ImageFolder's extensions, and GIF, which goes by their names now and then."""

_MEDIA_TYPES = {
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

IMAGE_TYPES = tuple(dict.fromkeys(_MEDIA_TYPES.values()))
"""Every media type that `media_type_of` knows by extension."""

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)

Image.preinit()  # Else the first image of every worker would wait for it.
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` below is checked on every header, and is the stricter limit.


def media_type_of(path: str) -> str:
    """Gives the media type that a file's extension stands for."""
    return _MEDIA_TYPES.get(os.path.splitext(path)[1].lower(), "application/octet-stream")  # noqa: PTH122


class FolderReader:
    """Reads image files below one folder, as `torchvision.datasets.folder.pil_loader` does: Pillow, `convert("RGB")`, EXIF orientation ignored.

    Args:
        root: the folder; files whose real path leaves it are refused.
        max_pixels: largest image decoded, width x height.
        max_bytes: largest file read.
    """

    def __init__(self, root: Path, max_pixels: int, max_bytes: int) -> None:
        self._folder = root.absolute()
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        """Decodes a sample to uint8 RGB of shape (H, W, 3); see `Reader` and `reduce`.

        The limit on pixels is that of the header, also where the image is reduced: a JPEG is still read to its end, a progressive one held whole meanwhile, and
        whether an image is too large must not depend on who asks for it.
        """
        with self._open(file) as stream:
            try:
                with _as_sample_error("cannot be decoded"), self._header(stream) as image:
                    reduced = reduce(image, max_resolution)
                    return np.frombuffer(reduced.tobytes(), dtype=np.uint8).reshape(reduced.height, reduced.width, 3)
            finally:
                self._check(file, os.fstat(stream.fileno()))  # Rewritten in the meantime, it is not the file that was listed, whether it could be read or not.

    def size(self, file: File) -> tuple[int, int]:
        """Tells (width, height) in pixels from the header; see `Reader`."""
        with self._open(file) as stream, _as_sample_error("has no readable header"), self._header(stream) as image:
            return image.size

    def original(self, file: File) -> Path:
        """Gives the path of the unchanged original; see `Reader`."""
        with self._open(file) as stream:
            return Path(stream.name)

    def _open(self, file: File) -> BinaryIO:
        try:
            root = _real_path(self._folder)  # Each time: the folder may be a link that is set to another release of the data.
        except OSError as exc:
            raise SampleUnavailable("cannot be opened: the dataset's folder is gone or empty") from exc
        try:
            stream = _open_below(root, file.path)
        except OSError as exc:
            if exc.errno in _MISSING and not _has_entries(root):
                raise SampleUnavailable("cannot be opened: the dataset's folder is gone or empty") from exc  # A disk that was unmounted: it may come back.
            missing = UnreadableImage if file.size_bytes < 0 else SampleChanged  # It was missing already when the dataset was listed, or not.
            kind = missing if exc.errno in _MISSING else SampleUnavailable
            raise kind(f"cannot be opened: {exc.strerror or exc}") from exc
        except ValueError as exc:  # a NUL in the path
            raise UnreadableImage(f"cannot be opened: {exc}") from exc
        try:
            self._check(file, os.fstat(stream.fileno()))
        except SampleError:
            stream.close()
            raise
        return stream

    def _check(self, file: File, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("is no regular file")
        if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            raise SampleChanged("has changed since the dataset was listed, so its version no longer describes it")
        if status.st_size > self._max_bytes:
            raise ImageTooLarge(f"has {status.st_size:,} bytes, more than the {self._max_bytes:,} allowed")

    def _header(self, stream: BinaryIO) -> Image.Image:
        image = Image.open(stream, formats=FORMATS)
        if image.width * image.height > self._max_pixels:
            raise ImageTooLarge(f"has {image.width} x {image.height} pixels, more than the {self._max_pixels:,} allowed")
        return image


def reduce(image: Image.Image, max_resolution: int | None) -> Image.Image:
    """Decodes an opened image to RGB, reduced to the size that `reduce_size` tells.

    A JPEG is decoded at the smallest of the scales 1/8, 1/4, 1/2 and 1 that is not below that size (Pillow's `draft`: libjpeg leaves out the higher frequencies
    of each block); Pillow's antialiased bilinear filter, torchvision's choice for `Resize`, does the rest, as for all other formats. An image that is small
    enough is left as it is.
    """
    size = reduce_size(image.size, max_resolution)
    if size == image.size:
        return _as_rgb(image)
    drafted = image.draft(None, size)
    box = drafted[1] if drafted is not None else None  # Where the scale does not divide the size, the last row and column reach beyond the picture.
    return _as_rgb(image).resize(size, Image.Resampling.BILINEAR, box)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Decodes an image; `convert` alone would copy one that is RGB already."""
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


@contextmanager
def _as_sample_error(what: str) -> Iterator[None]:
    """Turns whatever Pillow raises on a damaged file into UnreadableImage; not what is the machine's fault."""
    try:
        yield
    except (SampleError, MemoryError):
        raise
    except OSError as exc:
        kind = UnreadableImage if exc.errno in {None, errno.EINVAL} else SampleUnavailable  # Pillow's own have no number; EINVAL is a seek to nowhere.
        raise kind(f"{what}: {_reason(exc)}") from exc
    except Exception as exc:
        raise UnreadableImage(f"{what}: {_reason(exc)}") from exc


def _has_entries(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


@contextmanager
def _held(path: str | Path) -> Iterator[tuple[str, str]]:
    """Holds what a path leads to, without opening it: gives its real path, and one to open just that, whatever becomes of links on the way (Linux, proc(5))."""
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        held = f"/proc/self/fd/{descriptor}"
        yield os.readlink(held), held  # noqa: PTH115  one call of the system, where realpath takes one for each part of the path
    finally:
        os.close(descriptor)


def _real_path(path: Path) -> str:
    with _held(path) as (real, _):
        return real


def _open_below(root: str, place: str) -> BinaryIO:
    """Opens a file whose real path lies below a folder; the stream's name is that real path.

    Raises:
        UnreadableImage: it does not lie there.
    """
    with _held(os.path.join(root, place)) as (real, held):  # noqa: PTH118  a Path costs 10 us a sample
        if not real.startswith(root.rstrip(os.sep) + os.sep):
            raise UnreadableImage("leads out of the dataset's folder")
        # Without waiting: a named pipe without a writer would hold up the reader for ever.
        return open(real, "rb", opener=lambda _, flags: os.open(held, flags | os.O_NONBLOCK))


def _reason(exc: Exception) -> str:
    """Gives Pillow's reason, without the path on this machine that one of its messages quotes."""
    if isinstance(exc, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}, or its header is damaged"
    return str(exc) or type(exc).__name__
