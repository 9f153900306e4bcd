"""Lists folders; as a program, those that are named on its standard input, so that several processes can share a large dataset.

It imports the standard library alone, so the program starts within 20 ms. A request is one line of JSON, `[has_images, [path, ...]]`; the answer to each path
is a line of JSON with the small fields and the lengths of the columns, then the columns.
"""

import json
import os
import signal
import sys
from array import array
from collections.abc import Iterator
from typing import IO, NamedTuple

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of files that are images, as `torchvision.datasets.folder.IMG_EXTENSIONS`."""


class Link(NamedTuple):
    """A symbolic link in a folder.

    Attributes:
        name: its own.
        real: the path where it ends; itself where it leads round in a circle.
        is_folder: whether a folder is there.
        size_bytes: of the image it ends at; -1 where there is none to look at, or its name is not that of an image.
        mtime_ns: likewise; 0.
    """

    name: str
    real: str
    is_folder: bool
    size_bytes: int
    mtime_ns: int


class Listing(NamedTuple):
    """What a folder holds.

    Attributes:
        error: why it cannot be listed, or nothing.
        state: inode, time of modification and of change in nanoseconds; from before it was listed.
        folders: the names of folders in it.
        links: what is a symbolic link.
        names: the images in it, sorted, each ended by a NUL; undecodable bytes as they are.
        sizes_bytes: their sizes as native int64; -1 where one cannot be looked at.
        mtimes_ns: their times of modification, likewise; 0.
        loose: how many images are in it that do not count.
    """

    error: str
    state: tuple[int, int, int] = (0, 0, 0)
    folders: list[str] = []  # noqa: RUF012  never changed
    links: list[Link] = []  # noqa: RUF012
    names: bytes = b""
    sizes_bytes: bytes = b""
    mtimes_ns: bytes = b""
    loose: int = 0


def list_folder(path: str, has_images: bool) -> Listing:
    """Lists one folder; images only where `has_images` says that they count, otherwise their number."""
    loose = 0
    folders: list[str] = []
    links: list[Link] = []
    images: list[tuple[str, int, int]] = []
    try:
        state = read_state(path)
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.append(_follow(entry, has_images))
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif is_image(entry.name):
                    if has_images:
                        images.append((entry.name, *_look(entry)))
                    else:
                        loose += 1
    except OSError as exc:
        return Listing(exc.strerror or str(exc))
    return Listing("", state, folders, links, *pack(images), loose)


def read_state(path: str) -> tuple[int, int, int]:
    """Tells a folder's inode (modulo 2^63), time of modification and time of change: when an entry is added, removed or renamed, the times change (POSIX)."""
    status = os.stat(path)  # noqa: PTH116  pathlib is slow to import
    return status.st_ino % 2**63, status.st_mtime_ns, status.st_ctime_ns


def pack(images: list[tuple[str, int, int]]) -> tuple[bytes, bytes, bytes]:
    """Sorts images by name and turns them into the three columns of a `Listing`."""
    images.sort()
    names = "".join([f"{name}\0" for name, _, _ in images])
    sizes, mtimes = array("q", [size for _, size, _ in images]), array("q", [mtime for _, _, mtime in images])
    return names.encode("utf-8", "surrogateescape"), sizes.tobytes(), mtimes.tobytes()


def is_image(name: str) -> bool:
    """Says whether a name is that of an image."""
    return name.lower().endswith(EXTENSIONS)


def _look(entry: os.DirEntry[str]) -> tuple[int, int]:
    """Tells size and time of modification; an entry that cannot be looked at stays in the listing and says what is wrong when it is asked for."""
    try:
        status = entry.stat()
    except OSError:
        return -1, 0
    return status.st_size, status.st_mtime_ns


def _follow(entry: os.DirEntry[str], has_images: bool) -> Link:
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link to itself
        is_folder = False
    size_bytes, mtime_ns = _look(entry) if has_images and not is_folder and is_image(entry.name) else (-1, 0)
    return Link(entry.name, os.path.realpath(entry.path), is_folder, size_bytes, mtime_ns)


def write_request(stream: IO[bytes], paths: list[str], has_images: bool) -> None:
    """Asks the program for the listings of folders."""
    stream.write(json.dumps([has_images, paths]).encode() + b"\n")
    stream.flush()


def read_answers(stream: IO[bytes], count: int) -> Iterator[Listing]:
    """Reads what the program answers to `count` paths.

    Raises:
        EOFError: the program has ended.
    """
    for _ in range(count):
        line = stream.readline()
        if not line:
            raise EOFError
        error, state, folders, links, loose, lengths = json.loads(line)
        names, sizes_bytes, mtimes_ns = columns = [stream.read(length) for length in lengths]
        if [len(column) for column in columns] != lengths:
            raise EOFError
        yield Listing(error, tuple(state), folders, [Link(*each) for each in links], names, sizes_bytes, mtimes_ns, loose)


def _write_answer(stream: IO[bytes], listing: Listing) -> None:
    columns = (listing.names, listing.sizes_bytes, listing.mtimes_ns)
    small = [listing.error, listing.state, listing.folders, listing.links, listing.loose, [len(column) for column in columns]]
    stream.write(json.dumps(small).encode() + b"\n")
    stream.writelines(columns)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; this one ends with its input.
    for line in sys.stdin.buffer:
        has_images, paths = json.loads(line)
        for path in paths:
            _write_answer(sys.stdout.buffer, list_folder(path, has_images))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
