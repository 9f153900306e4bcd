"""Reading image files: torchvision's pixels for what is whole, a typed error for everything else."""

import io
import os
import pickle
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.datasets.folder import pil_loader

from service.errors import ImageTooLarge, SampleChanged, SampleError, SampleUnavailable, UnreadableImage
from service.sources.decoding import FolderReader, _reason
from service.sources.image_formats import FORMATS
from service.sources.source import File
from tests.sources.conftest import AsNobody

PIXELS, BYTES = 1_000_000, 10_000_000
ORIENTATION = 0x0112


def file_of(root: Path, path: str) -> File:
    status = (root / path).stat()
    return File(path, status.st_size, status.st_mtime_ns)


def reader_of(root: Path, max_pixels: int = PIXELS, max_bytes: int = BYTES) -> FolderReader:
    return FolderReader(root, max_pixels, max_bytes)


def draw(mode: str = "RGB", size: tuple[int, int] = (31, 22)) -> Image.Image:
    """Noise over the whole range of a mode."""
    width, height = size
    random = np.random.default_rng(5)
    match mode:
        case "I;16":
            return Image.fromarray(random.integers(0, 65536, (height, width), dtype=np.uint16))
        case "F":
            return Image.fromarray(random.normal(100, 90, (height, width)).astype(np.float32))
        case _:
            return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert("RGBA" if mode == "tRNS" else mode)


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


WHOLE = {
    "rgb.jpg": (draw(), {}),
    "gray.jpg": (draw("L"), {}),
    "cmyk.jpg": (draw("CMYK"), {}),
    "progressive.jpg": (draw(), {"progressive": True, "subsampling": 0}),
    "rotated.jpg": (draw(), {"exif": rotated(6)}),
    "mirrored.jpg": (draw(), {"exif": rotated(2)}),
    "phone.jpg": (draw(), {"format": "MPO", "save_all": True, "append_images": [draw("L").convert("RGB")]}),
    "rgb.png": (draw(), {}),
    "gray.png": (draw("L"), {}),
    "gray alpha.png": (draw("LA"), {}),
    "alpha.png": (draw("RGBA"), {}),
    "palette.png": (draw("P"), {}),
    "transparent palette.png": (draw("P"), {"transparency": 3}),
    "transparent colour.png": (draw(), {"transparency": (1, 2, 3)}),
    "16 bit.png": (draw("I;16"), {}),
    "1 bit.png": (draw("1"), {}),
    "rotated.png": (draw(), {"exif": rotated(8)}),
    "lossy.webp": (draw(), {"quality": 60}),
    "lossless.webp": (draw("RGBA"), {"lossless": True, "exact": True}),
    "moving.webp": (draw(), {"save_all": True, "append_images": [draw().rotate(180)]}),
    "rgb.bmp": (draw(), {}),
    "palette.bmp": (draw("P"), {}),
    "rgb.ppm": (draw(), {}),
    "gray.pgm": (draw("L"), {}),
    "16 bit.pgm": (draw("I;16"), {}),
    "rgb.tif": (draw(), {}),
    "lzw.tiff": (draw(), {"compression": "tiff_lzw"}),
    "fax.tiff": (draw("1"), {"compression": "group4"}),
    "16 bit.tiff": (draw("I;16"), {}),
    "float.tiff": (draw("F"), {}),
    "cmyk.tiff": (draw("CMYK"), {}),
    "rotated.tiff": (draw(), {"exif": rotated(6)}),
    "really.png.JPG": (draw(), {"format": "PNG"}),
    "really gif.jpg": (draw("P"), {"format": "GIF"}),
    "moving gif.png": (draw("P"), {"format": "GIF", "save_all": True, "append_images": [draw("P").rotate(180)]}),
    "really avif.jpg": (draw(), {"format": "AVIF", "quality": 90}),
    "avif alpha.png": (draw("RGBA"), {"format": "AVIF"}),
    "rotated avif.jpg": (draw(), {"format": "AVIF", "exif": rotated(6)}),
    "moving avif.jpg": (draw(), {"format": "AVIF", "save_all": True, "append_images": [draw().rotate(180)]}),
    "really jpeg 2000.jpg": (draw(), {"format": "JPEG2000"}),
    "jpeg 2000 alpha.png": (draw("RGBA"), {"format": "JPEG2000", "irreversible": True}),
    "16 bit jpeg 2000.tif": (draw("I;16"), {"format": "JPEG2000"}),
    "bare codestream.jpg": (draw(), {"format": "JPEG2000", "no_jp2": True}),
    "really tga.jpg": (draw(), {"format": "TGA"}),
    "packed tga.bmp": (draw("RGBA"), {"format": "TGA", "compression": "tga_rle"}),
    "gray tga.bmp": (draw("L"), {"format": "TGA"}),
    "really sgi.png": (draw(), {"format": "SGI"}),
    "gray sgi.png": (draw("L"), {"format": "SGI"}),
    "really pcx.bmp": (draw(), {"format": "PCX"}),
    "palette pcx.bmp": (draw("P"), {"format": "PCX"}),
    "one pixel.png": (draw(size=(1, 1)), {}),
    "one line.jpg": (draw(size=(300, 1)), {}),
}


@pytest.mark.parametrize("name", WHOLE)
def test_pixels_are_torchvisions(name: str, tmp_path: Path):
    image, options = WHOLE[name]
    image.save(tmp_path / name, **options)
    file, reader = file_of(tmp_path, name), reader_of(tmp_path)
    expected = np.asarray(pil_loader(tmp_path / name))
    pixels = reader.pixels(file)
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert np.array_equal(pixels, expected)
    assert reader.size(file) == (expected.shape[1], expected.shape[0])
    assert reader.original(file) == tmp_path / name
    assert pixels.flags.c_contiguous


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        *((f"{each}.jpg", {"exif": rotated(each)}, None if each == 1 else each) for each in range(1, 9)),
        ("no exif.jpg", {}, None),
        ("nonsense.jpg", {"exif": rotated(77)}, None),
        ("damaged.jpg", {"exif": b"Exif\0\0MM\0*\xff\xff\xff\xff"}, None),
        ("1.png", {"exif": rotated(8)}, 8),
        ("no exif.png", {}, None),
        ("1.webp", {"exif": rotated(3)}, 3),
        ("avif.jpg", {"format": "AVIF", "exif": rotated(6)}, 6),
        ("turned by pillow.tiff", {"exif": rotated(6)}, None),
        ("1.bmp", {}, None),
    ],
)
def test_the_header_tells_orientation_that_is_ignored(name: str, options: dict, expected: int | None, tmp_path: Path):
    draw().save(tmp_path / name, **options)
    reader, file = reader_of(tmp_path), file_of(tmp_path, name)
    header = reader.header(file)
    assert header.exif_orientation == expected
    assert (header.height, header.width) == reader.pixels(file).shape[:2]


def test_orientation_is_read_without_decoding(tmp_path: Path):
    draw(size=(200, 200)).save(tmp_path / "1.png")
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    assert reader_of(tmp_path).header(file_of(tmp_path, "1.png")) == (200, 200, None)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency expressed in bytes:UserWarning")
def test_a_palette_with_an_alpha_for_each_colour(tmp_path: Path):
    draw("P").save(tmp_path / "1.png", transparency=bytes(range(256)))
    assert np.array_equal(reader_of(tmp_path).pixels(file_of(tmp_path, "1.png")), np.asarray(pil_loader(tmp_path / "1.png")))


def test_photos(photos: Path):
    paths = sorted(path.relative_to(photos).as_posix() for path in photos.glob("*/*/*.jpg"))
    for path in paths[::20]:
        assert np.array_equal(reader_of(photos).pixels(file_of(photos, path)), np.asarray(pil_loader(photos / path))), path


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def psd(image: Image.Image, modes: dict[str, int] = {"L": 1, "RGB": 3, "CMYK": 4}) -> bytes:  # noqa: B006
    """A Photoshop file without layers, which Pillow only reads; its channels are packed by PackBits, each in literal runs."""
    bands = [255 - np.asarray(each) if image.mode == "CMYK" else np.asarray(each) for each in image.split()]
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(bands), image.height, image.width, 8, modes[image.mode])
    rows = [bytes([len(row) - 1]) + row.tobytes() for band in bands for row in band]
    return head + struct.pack(">III", 0, 0, 0) + b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_photoshop_files_are_read_as_their_flattened_picture(mode: str, tmp_path: Path):
    (tmp_path / "1.jpg").write_bytes(psd(draw(mode)))
    pixels = reader_of(tmp_path).pixels(file_of(tmp_path, "1.jpg"))
    assert np.array_equal(pixels, np.asarray(pil_loader(tmp_path / "1.jpg")))
    assert np.array_equal(pixels, np.asarray(draw(mode).convert("RGB")))


BROKEN = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"This is no picture.\n" * 50,
    "html": b"<!DOCTYPE html><title>404 Not Found</title>",
    "zeros": bytes(5000),
    "jpeg without its end": encode(draw(size=(200, 200)), "JPEG")[:-3000],
    "jpeg without its beginning": encode(draw(), "JPEG")[100:],
    "only a jpeg's first bytes": encode(draw(), "JPEG")[:11],
    "png without its end": encode(draw(), "PNG")[:-400],
    "png with a wrong checksum": encode(draw(), "PNG").replace(b"IDAT", b"IDAT\x00", 1),
    "webp without its end": encode(draw(), "WEBP")[:-200],
    "gif without its end": encode(draw("P"), "GIF")[:-300],
    "bmp without its end": encode(draw(), "BMP")[:-300],
    "tiff without its end": encode(draw(), "TIFF", compression="tiff_lzw")[:-300],
    "tiff without its directory": b"II*\x00\xff\xff\xff\x7f",
    "bigtiff that points far away": b"II+\x00\x08\x00\x00\x00" + b"\xff" * 7 + b"\x7f" + bytes(100),
    "ppm without its end": encode(draw(), "PPM")[:-300],
    "avif without its end": encode(draw(size=(200, 200)), "AVIF")[:-3000],
    "jpeg 2000 without its end": encode(draw(), "JPEG2000")[:-1500],
    "psd without its end": psd(draw())[:-300],
    "tga without its end": encode(draw(), "TGA")[:-1500],
    "sgi without its end": encode(draw(), "SGI")[:-300],
    "pcx without its end": encode(draw(), "PCX")[:-1500],
    **{f"{name}, which is not tried": encode(draw(), name) for name in ("ICO", "ICNS", "DDS", "QOI", "EPS", "DIB")},
    "a pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str, tmp_path: Path):
    (tmp_path / "1.jpg").write_bytes(BROKEN[name])
    file, reader = file_of(tmp_path, "1.jpg"), reader_of(tmp_path)
    with pytest.raises(UnreadableImage) as caught:
        reader.pixels(file)
    assert caught.value.detail.startswith(("cannot be decoded: ", "has no readable header: "))
    assert len(caught.value.detail) > len("has no readable header: ")
    assert str(tmp_path) not in caught.value.detail  # it travels to clients
    assert reader.original(file).read_bytes() == BROKEN[name]


def test_what_is_no_image_says_so(tmp_path: Path):
    (tmp_path / "1.jpg").write_bytes(b"nothing")
    for ask in (reader_of(tmp_path).pixels, reader_of(tmp_path).size):
        with pytest.raises(UnreadableImage, match=f"it is none of {', '.join(FORMATS)}, or its header is damaged"):
            ask(file_of(tmp_path, "1.jpg"))


def test_errors_without_words_are_called_by_their_name():
    assert _reason(MemoryError()) == "MemoryError"


def mutate(content: bytes, random: Random) -> bytes:
    """Damages a file as transfers, disks and hostile people do."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        where = random.randrange(len(changed)) if random.random() < 0.5 else random.randrange(min(64, len(changed)))
        match random.randrange(6):
            case 0:
                changed[where] ^= 1 << random.randrange(8)
            case 1:
                changed[where] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                changed[where : where + 4] = struct.pack(random.choice((">I", "<I")), random.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 65536)))
            case 3:
                del changed[where : where + random.randrange(1, 200)]
            case 4:
                changed[where:where] = random.randbytes(random.randrange(1, 50))
            case 5:
                changed[where:where] = changed[: random.randrange(len(changed))]
        if not changed:
            return b""
    return bytes(changed)


def with_right_checksums(content: bytes) -> bytes:
    """Mends a PNG's checksums, so that damage gets past them."""
    mended, at = bytearray(content), 8
    while at + 12 <= len(mended):
        length = struct.unpack_from(">I", mended, at)[0]
        if at + 12 + length > len(mended):
            break
        struct.pack_into(">I", mended, at + 8 + length, zlib.crc32(mended[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(mended)


MUTATED = {
    "JPEG": encode(draw(), "JPEG", exif=rotated(6)),
    "JPEG progressive": encode(draw(), "JPEG", progressive=True),
    "PNG": encode(draw("RGBA"), "PNG"),
    "PNG palette": encode(draw("P"), "PNG"),
    "GIF": encode(draw("P"), "GIF"),
    "GIF moving": encode(draw("P"), "GIF", save_all=True, append_images=[draw("P").rotate(180)]),
    "WEBP": encode(draw(), "WEBP"),
    "WEBP moving": encode(draw(), "WEBP", save_all=True, append_images=[draw().rotate(180)]),
    "TIFF": encode(draw(), "TIFF"),
    "TIFF lzw": encode(draw(), "TIFF", compression="tiff_lzw"),
    "BMP": encode(draw(), "BMP"),
    "PPM": encode(draw(), "PPM"),
    "AVIF": encode(draw(), "AVIF"),
    "JPEG2000": encode(draw(), "JPEG2000"),
    "JPEG2000 bare": encode(draw(), "JPEG2000", no_jp2=True),
    "PSD": psd(draw()),
    "TGA": encode(draw(), "TGA"),
    "TGA packed": encode(draw("RGBA"), "TGA", compression="tga_rle"),
    "SGI": encode(draw(), "SGI"),
    "PCX": encode(draw(), "PCX"),
}


@pytest.mark.filterwarnings("ignore")  # Pillow warns of much that it can still read.
@pytest.mark.parametrize("name", MUTATED)
def test_damaged_files_give_pixels_within_the_limit_or_a_sample_error(name: str, tmp_path: Path):
    random, reader, path = Random(f"{name} 1"), reader_of(tmp_path), tmp_path / "1.jpg"
    read, details = 0, []
    for _ in range(80):
        damaged = mutate(MUTATED[name], random)
        path.write_bytes(with_right_checksums(damaged) if name.startswith("PNG") and random.random() < 0.7 else damaged)
        file = file_of(tmp_path, "1.jpg")
        try:
            size = reader.size(file)
            pixels = reader.pixels(file)
        except SampleError as exc:
            details.append(exc.detail)
        else:
            assert size == (pixels.shape[1], pixels.shape[0])
            assert pixels.shape[0] * pixels.shape[1] <= PIXELS
            read += 1
    assert read
    assert details
    assert str(tmp_path) not in "".join(details)


def png(width: int, height: int, data: bytes) -> bytes:
    """A grayscale PNG of one bit a pixel."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)) for kind, content in parts
    )


def patched(content: bytes, marker: bytes, offset: int, layout: str, *values: int) -> bytes:
    """Overwrites numbers at an offset behind a marker."""
    where = content.index(marker) + offset
    return content[:where] + struct.pack(layout, *values) + content[where + struct.calcsize(layout) :]


SIDE = 20_000
BOMBS = {
    "png": png(SIDE, SIDE, zlib.compress(bytes((SIDE // 8 + 1) * SIDE), 9)),
    "png without pixels": png(SIDE, SIDE, b""),
    "jpeg": patched(encode(draw(), "JPEG"), b"\xff\xc0", 5, ">HH", SIDE, SIDE),
    "gif": patched(encode(draw("P"), "GIF"), b"GIF8", 6, "<HH", SIDE, SIDE),
    "gif with a large frame": patched(encode(draw("P"), "GIF"), b"\x2c\x00\x00\x00\x00", 5, "<HH", SIDE, SIDE),
    "bmp": patched(encode(draw(), "BMP"), b"BM", 18, "<II", SIDE, SIDE),
    "ppm": b"P6 20000 20000 255\n",
    "webp": patched(encode(draw(), "WEBP", lossless=True), b"VP8L", 9, "<I", (SIDE % 16384 - 1) | (16383 << 14)),
    "jpeg 2000": patched(encode(draw(), "JPEG2000"), b"ihdr", 4, ">II", SIDE, SIDE),
    "jpeg 2000 codestream": patched(encode(draw(), "JPEG2000", no_jp2=True), b"\xff\x51", 6, ">II", SIDE, SIDE),
    "avif": encode(Image.new("L", (1500, 1000)), "AVIF", quality=1),
    "psd": patched(patched(psd(draw()), b"8BPS", 14, ">II", SIDE, SIDE), b"8BPS", 38, ">H", 0),  # not packed
    "tga": patched(encode(draw(), "TGA"), b"\0\0\2", 12, "<HH", SIDE, SIDE),
    "sgi": patched(encode(draw(), "SGI"), b"\x01\xda", 6, ">HH", SIDE, SIDE),
    "pcx": patched(encode(draw(), "PCX"), b"\x0a\x05", 8, "<HH", SIDE - 1, SIDE - 1),
    "tiff": patched(patched(encode(draw(), "TIFF"), struct.pack("<HHI", 256, 4, 1), 8, "<I", SIDE), struct.pack("<HHI", 257, 4, 1), 8, "<I", SIDE),
}


def test_every_format_has_a_bomb():
    spelt = {"JPEG 2000": "JPEG2000"}
    assert {spelt.get(name.upper().removesuffix(" CODESTREAM"), name.upper().split()[0]) for name in BOMBS} == {*FORMATS}


@pytest.mark.parametrize("name", BOMBS)
def test_pixel_bombs_are_refused_by_their_header(name: str, tmp_path: Path):
    (tmp_path / "1.png").write_bytes(BOMBS[name])
    assert len(BOMBS[name]) < 60_000
    for ask in (reader_of(tmp_path).pixels, reader_of(tmp_path).size):
        with pytest.raises(ImageTooLarge, match=r"has [\d]+ x [\d]+ pixels, more than the 1,000,000 allowed"):
            ask(file_of(tmp_path, "1.png"))


def test_limits_are_inclusive(tmp_path: Path):
    draw(size=(40, 25)).save(tmp_path / "1.png")
    file = file_of(tmp_path, "1.png")
    assert reader_of(tmp_path, 1000, file.size_bytes).pixels(file).shape == (25, 40, 3)
    with pytest.raises(ImageTooLarge, match="has 40 x 25 pixels, more than the 999 allowed"):
        reader_of(tmp_path, 999).pixels(file)
    for ask in (reader_of(tmp_path, 1000, file.size_bytes - 1).pixels, reader_of(tmp_path, 1000, file.size_bytes - 1).original):
        with pytest.raises(ImageTooLarge, match=rf"has {file.size_bytes:,} bytes, more than the {file.size_bytes - 1:,} allowed"):
            ask(file)


def test_pillows_own_limit_does_not_interfere(tmp_path: Path):
    # Pillow warns above 89 million pixels, and warnings are errors here; ours is the one limit.
    (tmp_path / "1.png").write_bytes(BOMBS["png"])
    assert reader_of(tmp_path, SIDE * SIDE).size(file_of(tmp_path, "1.png")) == (SIDE, SIDE)


def test_changed_files(make_image: Callable[..., Path], tmp_path: Path):
    path = make_image(tmp_path / "1.png")
    file, content = file_of(tmp_path, "1.png"), path.read_bytes()
    reader = reader_of(tmp_path)
    for size, mtime in ((len(content) + 1, file.mtime_ns), (len(content), file.mtime_ns + 1)):
        path.write_bytes(content.ljust(size, b"\0"))
        os.utime(path, ns=(mtime, mtime))
        for ask in (reader.pixels, reader.size, reader.header, reader.original):
            with pytest.raises(SampleChanged, match="has changed since the dataset was listed"):
                ask(file)
    path.write_bytes(content)
    os.utime(path, ns=(1, file.mtime_ns))
    assert reader.size(file) == (48, 32)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.png", "No such file or directory"),
        ("gone/1.png", "No such file or directory"),
        ("1.png/2.png", "Not a directory"),
        ("a", "Is a directory"),
        ("self.png", "Too many levels of symbolic links"),
    ],
)
def test_files_that_are_missing(path: str, reason: str, make_image: Callable[..., Path], tmp_path: Path):
    make_image(tmp_path / "1.png")
    (tmp_path / "a").mkdir()
    (tmp_path / "self.png").symlink_to("self.png")
    for ask in (reader_of(tmp_path).pixels, reader_of(tmp_path).size, reader_of(tmp_path).original):
        with pytest.raises(SampleChanged, match=f"cannot be opened: {reason}"):
            ask(File(path, 1, 1))
        with pytest.raises(UnreadableImage, match=f"cannot be opened: {reason}"):
            ask(File(path, -1, 0))  # as the listing saw it


def test_a_file_that_is_rewritten_while_it_is_read_has_changed_and_is_not_damaged(make_image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Damage would be masked, and zeros be kept under the address of the old version."""
    path = make_image(tmp_path / "a.jpg", (400, 300))
    status = path.stat()
    file = File("a.jpg", status.st_size, status.st_mtime_ns)
    load = ImageFile.ImageFile.load

    def cut_and_load(image: ImageFile.ImageFile) -> object:
        with path.open("r+b") as stream:
            stream.truncate(status.st_size // 2)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", cut_and_load)
    reader = FolderReader(tmp_path, 10**8, 10**8)
    with pytest.raises(SampleChanged):
        reader.pixels(file)


def test_a_dataset_that_is_away_is_a_matter_of_time(make_image: Callable[..., Path], tmp_path: Path):
    make_image(tmp_path / "pets/1.png")
    reader, file = reader_of(tmp_path / "pets"), file_of(tmp_path / "pets", "1.png")
    (tmp_path / "pets").rename(tmp_path / "away")
    for ask in (reader.pixels, reader.size, reader.header, reader.original):
        with pytest.raises(SampleUnavailable, match="the dataset's folder is gone or empty") as caught:
            ask(file)
        assert str(tmp_path) not in caught.value.detail
    (tmp_path / "away").rename(tmp_path / "pets")
    assert reader.size(file) == (48, 32)


def test_a_file_whose_place_is_taken_while_it_is_opened_is_the_one_that_was_checked(make_image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "pets"
    make_image(root / "1.png", seed=1)
    make_image(tmp_path / "secret.png", seed=2)
    reader, file, readlink = reader_of(root), file_of(root, "1.png"), os.readlink
    expected = reader.pixels(file)

    def swap(path: str) -> str:
        found = readlink(path)
        if found == str(root / "1.png"):
            (root / "1.png").rename(root / "2.png")
            (root / "1.png").symlink_to("../secret.png")
        return found

    monkeypatch.setattr(os, "readlink", swap)
    assert np.array_equal(reader.pixels(file), expected)
    with pytest.raises(UnreadableImage, match="leads out"):
        reader.pixels(file)


def test_no_descriptor_is_left_open(make_image: Callable[..., Path], tmp_path: Path):
    make_image(tmp_path / "1.png")
    (tmp_path / "2.png").symlink_to("/etc/hostname")
    reader, before = reader_of(tmp_path), sum(1 for _ in Path("/proc/self/fd").iterdir())
    for name in ("1.png", "2.png", "gone.png"):
        for ask in (reader.pixels, reader.size, reader.header, reader.original):
            with suppress(SampleError):
                ask(File(name, 1, 1) if name != "1.png" else file_of(tmp_path, name))
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_paths_that_can_be_none(tmp_path: Path):
    for path, kind, reason in (
        ("nul\0.png", UnreadableImage, "embedded null byte"),
        ("", UnreadableImage, "leads out of the dataset's folder"),
        ("x" * 300, SampleUnavailable, "File name too long"),
    ):
        with pytest.raises(kind, match=reason):
            reader_of(tmp_path).pixels(File(path, 1, 1))


def test_files_that_may_not_be_read(public_folder: Path, make_image: Callable[..., Path], as_nobody: AsNobody):
    make_image(public_folder / "1.png").chmod(0)
    file, reader = file_of(public_folder, "1.png"), reader_of(public_folder)
    for ask in (reader.pixels, reader.size, reader.header, reader.original):
        with as_nobody(), pytest.raises(SampleUnavailable, match="cannot be opened: Permission denied"):
            ask(file)
    (public_folder / "1.png").chmod(0o644)
    with as_nobody():
        assert reader.size(file) == (48, 32)  # a better moment


def test_a_named_pipe_is_no_file_and_does_not_wait_for_a_writer(tmp_path: Path):
    os.mkfifo(tmp_path / "1.jpg")
    reader, errors = reader_of(tmp_path), []

    def read() -> None:
        try:
            reader.pixels(file_of(tmp_path, "1.jpg"))
        except UnreadableImage as exc:
            errors.append(exc.detail)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert errors == ["is no regular file"]


TRAVERSALS = [
    "../secret.png",
    "a/../../secret.png",
    "/etc/passwd",
    "//etc/passwd",
    "{outside}/secret.png",
    "../root-2/secret.png",
    "link/secret.png",
    "link.png",
    "..",
    "/",
    ".",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_crafted_path_leaves_the_root(path: str, make_image: Callable[..., Path], tmp_path: Path):
    root = tmp_path / "root"
    for place in ("secret.png", "root-2/secret.png", "root/a/1.png"):
        make_image(tmp_path / place)
    (root / "link").symlink_to("..")
    (root / "link.png").symlink_to("../secret.png")
    path = path.format(outside=tmp_path)
    status = os.stat(os.path.join(root, path))  # so that size and time are no reason to refuse  # noqa: PTH116, PTH118
    for ask in (reader_of(root).pixels, reader_of(root).size, reader_of(root).original):
        with pytest.raises(UnreadableImage, match="leads out of the dataset's folder"):
            ask(File(path, status.st_size, status.st_mtime_ns))


def test_a_root_that_is_a_link_or_relative(make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_image(tmp_path / "store/a/1.png")
    (tmp_path / "link").symlink_to("store")
    monkeypatch.chdir(tmp_path)
    readers = [reader_of(Path("link")), reader_of(Path("store")), reader_of(Path("store/../store/.")), reader_of(Path("/"))]
    paths = ["a/1.png", "a/1.png", "a/1.png", str(tmp_path / "store/a/1.png")[1:]]
    monkeypatch.chdir("/")
    for reader, path in zip(readers, paths, strict=True):
        assert reader.original(replace(file_of(tmp_path, "store/a/1.png"), path=path)) == tmp_path / "store/a/1.png"
