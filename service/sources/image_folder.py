"""Image folders, `split/class/file`, with the meaning of `torchvision.datasets.ImageFolder` for each split.

Same extensions, same order of classes and files (sorted folder by folder, links followed). The differences:

- classes are the union over the splits, so that one that a split lacks does not shift the numbers of the others;
- hidden folders (`.ipynb_checkpoints`) and those that systems leave behind (`lost+found`, `__MACOSX`) are neither splits nor classes;
- a link that leads out of the dataset's folder is refused and counted, one that leads back to where it stands is passed over;
- a folder that cannot be read is an error, not an empty one.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.errors import InvalidDataset
from service.sources.decoding import FolderReader
from service.sources.source import Dataset, File, Split, fingerprint, printable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""As `torchvision.datasets.folder.IMG_EXTENSIONS`."""

_USUAL_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing", "dev")
_LEFT_BEHIND = ("lost+found", "__MACOSX")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One dataset folder: `split/class/file`.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def discover(cls, path: Path) -> list[Self]:
        """Finds dataset folders: the path itself if it is one, else those of its children that are.

        A folder with images both at split/class/file and deeper down can be read either way: it is a dataset if one of its splits has a usual name.

        Raises:
            InvalidDataset: the path cannot be listed.
        """
        children = {child: _peek(child) for child in _folders(path)}
        splits = [child for child, folders in children.items() if any(_has_image(folder) for folder in folders)]
        if any(split.name.lower() in _USUAL_SPLITS for split in splits):
            return [cls(path)]
        rest = {child: folders for child, folders in children.items() if child not in splits}
        datasets = [cls(child) for child, folders in rest.items() if any(_has_image(each) for folder in folders for each in _peek(folder))]
        if splits and not datasets:
            return [cls(path)]
        for split in splits:
            _LOG.warning("Passed over: %s, without splits: expected split/class/file, not class/file.", split)
        return datasets

    @property
    def name(self) -> str:
        """The folder's own name; a link's own, not that of what it points to."""
        own = self.path.absolute().name
        return own if own not in {"", ".."} else self.path.resolve().name or "root"

    def scan(self, max_image_pixels: int, max_image_bytes: int) -> Dataset:
        """Lists every split; see `Source`. Errors name the dataset and places in it, not where on this machine it is: a refresh tells them to clients."""
        name = printable(self.name)
        tree = _Tree(self.path, name)
        found = {split: {each: tree.files(f"{split}/{each}") for each in tree.folders(split)} for split in tree.folders()}
        found = {split: files for split, files in found.items() if any(files.values())}
        if not found:
            links = f" {tree.refused} of its links lead out of it and are refused: serve what they point to." if tree.refused else ""
            raise InvalidDataset(f"{name} holds no image that can be served: expected split/class/file with one of {', '.join(EXTENSIONS)}.{links}")
        classes = tuple(sorted({each for files in found.values() for each in files}))
        _check_names(name, [self.name, *found, *classes])
        labels = {each: label for label, each in enumerate(classes)}
        splits = {split: Split.of(split, [(file, labels[each]) for each in files for file in files[each]]) for split, files in found.items()}
        return Dataset(
            name=self.name,
            source="image_folder",
            root=printable(str(self.path)),
            classes=classes,
            splits=splits,
            reader=FolderReader(self.path, max_image_pixels, max_image_bytes),
            refused=tree.refused,
            version=fingerprint(classes, splits),
        )


class _Tree:
    """A dataset's folder while it is walked. Places are paths below it with forward slashes; `refused` counts the links that lead out of it."""

    def __init__(self, path: Path, name: str) -> None:
        self._root = os.path.realpath(path)
        self._name = name
        self.refused = 0

    def folders(self, place: str = "") -> list[str]:
        """Names the folders at a place that may be splits or classes, sorted."""
        trail = (os.path.realpath(self._path(place)),)
        return sorted(each.name for each in self._entries(place) if not _is_passed_over(each.name) and _is_dir(each) and self._may_enter(each, trail))

    def files(self, place: str) -> list[File]:
        """Lists the images at and below a place in ImageFolder's order: by the folder's whole path, then by name."""
        found: list[tuple[str, list[File]]] = []
        waiting: list[tuple[str, tuple[str, ...]]] = [(place, (os.path.realpath(self._path(place)),))]
        while waiting:
            where, trail = waiting.pop()
            images = []
            for entry in self._entries(where):
                if _is_dir(entry):
                    if self._may_enter(entry, trail):
                        waiting.append((f"{where}/{entry.name}", (*trail, os.path.realpath(entry.path))))
                elif entry.name.lower().endswith(EXTENSIONS) and self._may_list(entry):
                    images.append(entry)
            found.append((where, [_look(f"{where}/{entry.name}", entry) for entry in sorted(images, key=lambda each: each.name)]))
        return [file for _, files in sorted(found, key=lambda each: each[0]) for file in files]

    def _entries(self, place: str) -> Iterator[os.DirEntry[str]]:
        return _list(self._path(place), f"{self._name}/{place}".rstrip("/"))

    def _path(self, place: str) -> str:
        return os.path.join(self._root, place) if place else self._root  # noqa: PTH118  a million files are listed

    def _may_enter(self, entry: os.DirEntry[str], trail: tuple[str, ...]) -> bool:
        """Says whether a folder is inside the root and none of those above it; `trail` holds the real paths of the folders on the way to it."""
        if not entry.is_symlink():
            return True
        real = os.path.realpath(entry.path)
        return self._is_inside(real) and not any(_is_below(each, real) for each in trail)

    def _may_list(self, entry: os.DirEntry[str]) -> bool:
        return not entry.is_symlink() or self._is_inside(os.path.realpath(entry.path))

    def _is_inside(self, real: str) -> bool:
        is_inside = _is_below(real, self._root)
        self.refused += not is_inside
        return is_inside


def _folders(path: Path) -> list[Path]:
    return sorted(path / each.name for each in _list(str(path), str(path)) if not _is_passed_over(each.name) and _is_dir(each))


def _peek(path: Path) -> list[Path]:
    """As `_folders`, for a look around: what cannot be read holds nothing, and the log says so."""
    try:
        return _folders(path)
    except InvalidDataset as exc:
        _LOG.warning("Passed over: %s", exc.detail)
        return []


def _has_image(folder: Path) -> bool:
    try:
        return any(entry.name.lower().endswith(EXTENSIONS) and not _is_dir(entry) for entry in _list(str(folder), str(folder)))
    except InvalidDataset as exc:
        _LOG.warning("Passed over: %s", exc.detail)
        return False


def _list(path: str, shown: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as exc:
        raise InvalidDataset(f"{printable(shown)} cannot be listed: {exc.strerror or exc}.") from exc


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_BEHIND


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_below(path: str, folder: str) -> bool:
    """Says whether a real path is a folder or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _look(place: str, entry: os.DirEntry[str]) -> File:
    try:
        status = entry.stat()
    except OSError:
        return File(place, -1, 0)  # It stays in the listing and says what is wrong when it is asked for.
    return File(place, status.st_size, status.st_mtime_ns)


def _check_names(dataset: str, names: list[str]) -> None:
    for name in names:
        if printable(name) != name:
            raise InvalidDataset(f"{dataset}: the name {printable(name)!r} is not UTF-8, so no URL can carry it. Rename that folder.")
