"""Image folders, `split/class/file`, with the meaning of `torchvision.datasets.ImageFolder` for each split.

Same extensions, same order of classes and files (sorted folder by folder, links followed). The differences:

- classes are the union over the splits, so that one that a split lacks does not shift the numbers of the others;
- hidden folders (`.ipynb_checkpoints`) and those that systems leave behind (`lost+found`, `__MACOSX`) are neither splits nor classes;
- a link that leads out of the dataset's folder is refused and counted, one that leads back to where it stands is passed over;
- a folder that cannot be read is an error, not an empty one.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from service.errors import InvalidDataset
from service.sources.decoding import FolderReader
from service.sources.folder_lister import EXTENSIONS, is_image
from service.sources.index_cache import IndexCache, Trace
from service.sources.listers import Listers
from service.sources.source import Dataset, Index, Progress, Split, Texts, fingerprint, no_progress, printable
from service.sources.tree import Columns, Folder, is_passed_over, walk

_USUAL_SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing", "dev")
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

    def scan(
        self, max_image_pixels: int, max_image_bytes: int, cache: IndexCache | None = None, *, is_fresh: bool = False, progress: Progress = no_progress
    ) -> Dataset:
        """Lists every split; see `Source`. Errors name the dataset and places in it, not where on this machine it is: a refresh tells them to clients."""
        root = os.path.realpath(self.path)
        kept = None if cache is None or is_fresh else cache.load(root)
        index = kept or self._list(root, cache, progress)
        _check_names(printable(self.name), [self.name, *index.splits, *index.classes])
        return Dataset(
            name=self.name,
            source="image_folder",
            root=printable(str(self.path)),
            classes=index.classes,
            splits=index.splits,
            reader=FolderReader(self.path, max_image_pixels, max_image_bytes),
            refused=index.refused,
            version=index.version,
        )

    def _list(self, root: str, cache: IndexCache | None, progress: Progress) -> Index:
        name, began_ns = printable(self.name), time.time_ns()
        with Listers() as listers:
            tree = walk(root, name, listers, progress)
        by_split = {split: list(folders) for split, folders in groupby(tree.folders, lambda folder: folder.place.split)}
        found = {split: folders for split, folders in by_split.items() if any(folder.count for folder in folders)}
        if not found:
            links = f" {tree.refused} of its links lead out of it and are refused: serve what they point to." if tree.refused else ""
            raise InvalidDataset(f"{name} holds no image that can be served: expected split/class/file with one of {', '.join(EXTENSIONS)}.{links}")
        classes = tuple(sorted({folder.place.class_name for folders in found.values() for folder in folders} - {""}))
        labels = {each: label for label, each in enumerate(classes)}
        splits = {split: _pack(split, folders, tree.columns, labels) for split, folders in found.items()}
        index = Index(classes, splits, tree.refused, fingerprint(classes, splits))
        if cache is not None:
            cache.store(root, index, Trace.of(tree, began_ns))
        return index


def _pack(name: str, folders: list[Folder], columns: Columns, labels: Mapping[str, int]) -> Split:
    """Puts the columns of a split's folders, sorted, one after the other."""
    folders = [folder for folder in folders if folder.count]
    counts = np.array([folder.count for folder in folders], dtype=np.int64)
    return Split(
        name=name,
        labels=np.repeat(np.array([labels[folder.place.class_name] for folder in folders], dtype=np.int32), counts),
        sizes_bytes=np.frombuffer(_join(columns.sizes_bytes, [folder.rows for folder in folders]), dtype=np.int64),
        mtimes_ns=np.frombuffer(_join(columns.mtimes_ns, [folder.rows for folder in folders]), dtype=np.int64),
        names=Texts.of_ended(_join(columns.names, [folder.names for folder in folders])),
        folders=Texts.of([f"{folder.place.path}/".encode("utf-8", "surrogateescape") for folder in folders]),
        firsts=np.cumsum(counts) - counts,
    )


def _join(column: bytearray, parts: list[tuple[int, int]]) -> bytes:
    with memoryview(column) as view:
        return b"".join([view[first:last] for first, last in parts])


def _folders(path: Path) -> list[Path]:
    return sorted(path / each.name for each in _list(str(path), str(path)) if not is_passed_over(each.name) and _is_dir(each))


def _peek(path: Path) -> list[Path]:
    """As `_folders`, for a look around: what cannot be read holds nothing, and the log says so."""
    try:
        return _folders(path)
    except InvalidDataset as exc:
        _LOG.warning("Passed over: %s", exc.detail)
        return []


def _has_image(folder: Path) -> bool:
    try:
        return any(is_image(entry.name) and not _is_dir(entry) for entry in _list(str(folder), str(folder)))
    except InvalidDataset as exc:
        _LOG.warning("Passed over: %s", exc.detail)
        return False


def _list(path: str, shown: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as exc:
        raise InvalidDataset(f"{printable(shown)} cannot be listed: {exc.strerror or exc}.") from exc


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _check_names(dataset: str, names: list[str]) -> None:
    for name in names:
        if printable(name) != name:
            raise InvalidDataset(f"{dataset}: the name {printable(name)!r} is not UTF-8, so no URL can carry it. Rename that folder.")
