"""Walks a dataset's folder, `split/class/...`, level by level; says which folders and links belong to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.errors import InvalidDataset
from service.sources.folder_lister import Link, Listing, is_image, pack
from service.sources.listers import Listers
from service.sources.source import Progress, printable

LEFT_BEHIND = ("lost+found", "__MACOSX")


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
    """

    place: Place
    real: str
    above: "Folder | None" = None
    state: tuple[int, int, int] = (0, 0, 0)
    names: tuple[int, int] = (0, 0)
    rows: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        """The number of its images."""
        return (self.rows[1] - self.rows[0]) // 8

    @property
    def depth(self) -> int:
        """0 for the root, 1 for splits, 2 for classes and what is in them."""
        return bool(self.place.split) + bool(self.place.class_name)

    def child(self, name: str, real: str) -> "Folder":
        """Gives a folder in this one."""
        split, class_name, path = self.place
        match self.depth:
            case 0:
                return Folder(Place(name, "", name), real)
            case 1:
                return Folder(Place(split, name, f"{path}/{name}"), real)
        return Folder(Place(split, class_name, f"{path}/{name}"), real, self)


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
        refused: how many lead out of the root.
        columns: of all images.
    """

    root: str
    folders: list[Folder] = field(default_factory=list)
    links: list[tuple[str, Link]] = field(default_factory=list)
    refused: int = 0
    columns: Columns = field(default_factory=Columns)


def walk(root: str, name: str, listers: Listers, progress: Progress) -> Tree:
    """Walks a dataset's folder.

    Args:
        root: its real path.
        name: of the dataset, for messages.
        listers: who lists folders.
        progress: told after each folder.

    Raises:
        InvalidDataset: a folder cannot be listed; names its place.
    """
    tree = Tree(root)
    level = [Folder(Place("", "", ""), root)]
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
    folder.state = listing.state
    linked = []
    for link in listing.links:
        if folder.depth < 2 and is_passed_over(link.name):
            continue
        if folder.depth == 2 and not link.is_folder and is_image(link.name) and _is_inside(tree, link):
            linked.append((link.name, link.size_bytes, link.mtime_ns))
            continue
        tree.links.append((f"{folder.place.path}/{link.name}".lstrip("/"), link))
        if link.is_folder and _may_enter(tree, folder, link):
            yield folder.child(link.name, link.real)
    columns = _merge(listing, linked) if linked else (listing.names, listing.sizes_bytes, listing.mtimes_ns)
    folder.names, folder.rows = tree.columns.add(*columns)
    for name in listing.folders:
        if folder.depth == 2 or not is_passed_over(name):
            yield folder.child(name, f"{folder.real.rstrip('/')}/{name}")


def _may_enter(tree: Tree, folder: Folder, link: Link) -> bool:
    """Says whether a link leads to a folder inside the root that is none of those on the way to it."""
    if not _is_inside(tree, link):
        return False
    on_the_way: Folder | None = folder
    while on_the_way is not None:
        if _is_below(on_the_way.real, link.real):
            return False
        on_the_way = on_the_way.above
    return True


def _is_inside(tree: Tree, link: Link) -> bool:
    is_inside = _is_below(link.real, tree.root)
    tree.refused += not is_inside
    return is_inside


def _merge(listing: Listing, linked: list[tuple[str, int, int]]) -> tuple[bytes, bytes, bytes]:
    """Adds images that are links to those that are not."""
    names = listing.names.decode("utf-8", "surrogateescape").split("\0")[:-1]
    sizes, mtimes = (memoryview(column).cast("q").tolist() for column in (listing.sizes_bytes, listing.mtimes_ns))
    return pack([*zip(names, sizes, mtimes, strict=True), *linked])


def is_passed_over(name: str) -> bool:
    """Says whether a folder is neither split nor class because of its name."""
    return name.startswith(".") or name in LEFT_BEHIND


def _is_below(path: str, folder: str) -> bool:
    """Says whether a real path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
