"""Walks a dataset's folder, `split/class/...` or `class/...`, level by level; says which folders and links belong to it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.errors import InvalidDataset
from service.sources.folder_lister import Link, Listing, is_image, pack
from service.sources.layout import DEFAULT, Reading
from service.sources.listers import Listers
from service.sources.source import Progress, printable

LEFT_BEHIND = ("lost+found", "__MACOSX")

ONLY_SPLIT = "all"
"""The split of a dataset whose folders are classes."""


class Place(NamedTuple):
    """Where a folder stands: its split and class, "" above those, and its path below the root, with forward slashes. Sorted as samples are."""

    split: str
    class_name: str
    path: str


@dataclass(slots=True, eq=False)
class Folder:
    """A folder of the dataset.

    Attributes:
        place: where it stands.
        real: its real path.
        above: the folder above it within its class, or None.
        state: see `Listing`.
        names: first and last byte (exclusive) of its images' names in `Columns`.
        rows: likewise of their sizes and of their times.
        loose: how many images lie in it that belong to no class.
    """

    place: Place
    real: str
    above: "Folder | None" = None
    state: tuple[int, int, int] = (0, 0, 0)
    names: tuple[int, int] = (0, 0)
    rows: tuple[int, int] = (0, 0)
    loose: int = 0

    @property
    def count(self) -> int:
        """The number of its images."""
        return (self.rows[1] - self.rows[0]) // 8

    @property
    def depth(self) -> int:
        """0 for a root that holds splits, 1 for splits (or a root that holds classes), 2 for classes and what is in them."""
        return bool(self.place.split) + bool(self.place.class_name)

    def child(self, name: str, real: str) -> "Folder":
        """Gives a folder in this one."""
        split, class_name, _ = self.place
        path = self.path_of(name)
        match self.depth:
            case 0:
                return Folder(Place(name, "", path), real)
            case 1:
                return Folder(Place(split, name, path), real)
        return Folder(Place(split, class_name, path), real, self)

    def path_of(self, name: str) -> str:
        """Return the path below the root of what is in this folder."""
        return f"{self.place.path}/{name}" if self.place.path else name


@dataclass(slots=True, eq=False)
class Columns:
    """The columns of all images in the order in which they were listed. Few large pieces of memory: many small ones would not go back to the system."""

    names: bytearray = field(default_factory=bytearray)
    sizes_bytes: bytearray = field(default_factory=bytearray)
    mtimes_ns: bytearray = field(default_factory=bytearray)

    def add(self, names: bytes, sizes_bytes: bytes, mtimes_ns: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
        """Adds the columns of a `Listing`; says where its names and its rows are now."""
        starts = len(self.names), len(self.sizes_bytes)
        self.names += names
        self.sizes_bytes += sizes_bytes
        self.mtimes_ns += mtimes_ns
        return (starts[0], len(self.names)), (starts[1], len(self.sizes_bytes))


@dataclass(slots=True, eq=False)
class Tree:
    """A dataset's folder, walked.

    Attributes:
        root: its real path.
        folders: every folder that was entered, the root first, sorted by split, class and place.
        links: every link that no sample stands for: into folders, refused ones, ...; places below the root, and where they end.
        refused: how many lead where they may not.
        refused_to: the deepest folder that all of those lead into; "" if there are none.
        columns: of all images.
        allowed_roots: real paths of folders that links may lead to, besides the root.
        left_out: folders in the root that are neither splits nor classes.
    """

    root: str
    folders: list[Folder] = field(default_factory=list)
    links: list[tuple[str, Link]] = field(default_factory=list)
    refused: int = 0
    refused_to: str = ""
    columns: Columns = field(default_factory=Columns)
    allowed_roots: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def follows(self, link: Link) -> bool:
        """Whether a link leads into the root or into a folder that is allowed; counts it if not."""
        if any(is_below(link.real, each) for each in (self.root, *self.allowed_roots)):
            return True
        self.refused += 1
        target = link.real if link.is_folder else os.path.dirname(link.real)  # noqa: PTH120  there may be millions
        self.refused_to = os.path.commonpath([self.refused_to or target, target])
        return False

    def passes_over(self, folder: Folder, name: str) -> bool:
        """Whether what is called like this in a folder is neither split nor class."""
        if folder.depth == 2:
            return False
        return is_passed_over(name) or (not folder.place.path and name in self.left_out)


def walk(root: str, name: str, listers: Listers, progress: Progress, reading: Reading = DEFAULT, allowed_roots: tuple[str, ...] = ()) -> Tree:
    """Walks a dataset's folder.

    Args:
        root: its real path.
        name: of the dataset, for messages.
        listers: who lists folders.
        progress: told after each folder.
        reading: whether its folders are splits or classes, and which are neither.
        allowed_roots: real paths of folders that links may lead to, besides the root.

    Raises:
        InvalidDataset: a folder cannot be listed; names its place.
    """
    tree = Tree(root, allowed_roots=allowed_roots, left_out=reading.left_out)
    level = [Folder(Place("" if reading.has_splits else ONLY_SPLIT, "", ""), root)]
    while level:
        known = len(tree.folders) + len(level)
        below: list[Folder] = []
        for folder, listing in zip(level, listers.listings([each.real for each in level], has_images=level[0].depth == 2), strict=True):
            if listing.error:
                raise InvalidDataset(f"{printable(f'{name}/{folder.place.path}'.rstrip('/'))} cannot be listed: {listing.error}.")
            below.extend(_take(tree, folder, listing))
            tree.folders.append(folder)
            progress(name, len(tree.folders), known + len(below), len(tree.columns.sizes_bytes) // 8)
        level = below
    tree.folders.sort(key=lambda each: each.place)
    return tree


def _take(tree: Tree, folder: Folder, listing: Listing) -> Iterator[Folder]:
    """Keeps what a listing says of a folder; gives the folders in it that are to be walked."""
    folder.state, folder.loose = listing.state, listing.loose
    linked = []
    for link in listing.links:
        if tree.passes_over(folder, link.name):
            continue
        if not link.is_folder and is_image(link.name):
            if folder.depth < 2:
                folder.loose += 1
            elif tree.follows(link):
                linked.append((link.name, link.size_bytes, link.mtime_ns))
                continue
        tree.links.append((folder.path_of(link.name), link))
        if link.is_folder and _may_enter(tree, folder, link):
            yield folder.child(link.name, link.real)
    columns = _merge(listing, linked) if linked else (listing.names, listing.sizes_bytes, listing.mtimes_ns)
    folder.names, folder.rows = tree.columns.add(*columns)
    for name in listing.folders:
        if not tree.passes_over(folder, name):
            yield folder.child(name, f"{folder.real.rstrip('/')}/{name}")


def _may_enter(tree: Tree, folder: Folder, link: Link) -> bool:
    """Whether a link leads to a folder that may be entered and is none of those on the way to it."""
    if not tree.follows(link):
        return False
    on_the_way: Folder | None = folder
    while on_the_way is not None:
        if is_below(on_the_way.real, link.real):
            return False
        on_the_way = on_the_way.above
    return True


def _merge(listing: Listing, linked: list[tuple[str, int, int]]) -> tuple[bytes, bytes, bytes]:
    """Adds images that are links to those that are not."""
    names = listing.names.decode("utf-8", "surrogateescape").split("\0")[:-1]
    sizes, mtimes = (memoryview(column).cast("q").tolist() for column in (listing.sizes_bytes, listing.mtimes_ns))
    return pack([*zip(names, sizes, mtimes, strict=True), *linked])


def is_passed_over(name: str) -> bool:
    """Says whether a folder is neither split nor class because of its name."""
    return name.startswith(".") or name in LEFT_BEHIND


def is_below(path: str, folder: str) -> bool:
    """Says whether a real path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
