"""Image folders, `split/class/file` or `class/file`, with the meaning of `torchvision.datasets.ImageFolder` for each split.

Same extensions, same order of classes and files (sorted folder by folder, links followed). The differences:

- classes are the union over the splits, so that one that a split lacks does not shift the numbers of the others;
- hidden folders (`.ipynb_checkpoints`) and those that systems leave behind (`lost+found`, `__MACOSX`) are neither splits nor classes;
- a link that leads out of the dataset's folder and of those that are allowed is refused and counted, one that leads back to
  where it stands is passed over;
- a folder that cannot be read is an error, not an empty one.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from service.errors import InvalidDataset
from service.settings import Layout
from service.sources.decoding import FolderReader
from service.sources.discovery import Discovery, name_of
from service.sources.folder_lister import EXTENSIONS
from service.sources.index_cache import IndexCache, Trace
from service.sources.layout import Reading
from service.sources.layout_detection import detect
from service.sources.left_out import ALLOW, describe_links, describe_loose, describe_similar
from service.sources.listers import Listers
from service.sources.probe import Probe
from service.sources.source import (
    NO_OPTIONS,
    Dataset,
    Discovered,
    Index,
    Progress,
    SourceOptions,
    Split,
    Texts,
    fingerprint,
    no_progress,
    printable,
)
from service.sources.tree import Columns, Folder, walk


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One dataset folder: `split/class/**`, or `class/**`.

    Attributes:
        path: the folder.
        title: the dataset's name, if that is not the folder's own.
        layout: how it is read; decided by `layout_detection` if None.
        allowed_roots: real paths of folders that links may lead to, besides its own.
        notes: what its discovery has to say.
    """

    path: Path
    title: str = ""
    layout: Layout | None = None
    allowed_roots: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def discover(cls, path: Path, options: SourceOptions = NO_OPTIONS) -> Discovered[Self]:
        """Find the dataset folders at a path; see `discovery`. One that cannot be listed is found, too: its scan says why."""
        layouts, roots = options.layouts, options.allowed_roots
        discovery = Discovery(path, layouts, roots)
        found = [cls(each.path, each.name, layouts.get(each.name), roots, each.notes) for each in discovery.found]
        return Discovered(found, discovery.notes)

    @property
    def name(self) -> str:
        """The dataset's name: by default the folder's own; a link's own, not that of what it points to."""
        return self.title or name_of(self.path)

    @property
    def root(self) -> str:
        """The folder as the operator named it, safe to print."""
        return printable(str(self.path))

    def scan(
        self, max_image_pixels: int, max_image_bytes: int, cache: IndexCache | None = None, *, is_fresh: bool = False, progress: Progress = no_progress
    ) -> Dataset:
        """Lists every split; see `Source`. Errors name the dataset and places in it, not where on this machine it is: a refresh tells them to clients."""
        root, reading = os.path.realpath(self.path), self._read()
        read_as = json.dumps([reading.layout, reading.left_out, self.allowed_roots])
        kept = None if cache is None or is_fresh else cache.load(root, read_as)
        index = kept or self._list(root, reading, cache, read_as, progress)
        _check_names(printable(self.name), [self.name, *index.splits, *index.classes])
        return Dataset(
            name=self.name,
            source="image_folder",
            root=self.root,
            classes=index.classes,
            splits=index.splits,
            reader=FolderReader(self.path, max_image_pixels, max_image_bytes, self.allowed_roots),
            refused=index.refused,
            version=index.version,
            layout=reading.layout,
            refused_to=printable(index.refused_to),
            notes=(*self.notes, *reading.notes, *index.notes),
        )

    def _read(self) -> Reading:
        """Decide how the folder is read: each time, since a refresh must come to what a restart would."""
        if self.layout is not None:
            return Reading(self.layout)
        return detect(Probe(self.allowed_roots), self.path, self.name) or Reading()

    def _list(self, root: str, reading: Reading, cache: IndexCache | None, read_as: str, progress: Progress) -> Index:
        name, began_ns = printable(self.name), time.time_ns()
        with Listers() as listers:
            tree = walk(root, name, listers, progress, reading, self.allowed_roots)
        by_split = {split: list(folders) for split, folders in groupby(tree.folders, lambda folder: folder.place.split)}
        found = {split: folders for split, folders in by_split.items() if any(folder.count for folder in folders)}
        left_out = describe_loose(tree, found)
        if not found:
            links = f" {tree.refused} of its links lead out of it and are refused: serve what they point to, or {ALLOW}." if tree.refused else ""
            reason = f"expected {reading.expected} with one of {', '.join(EXTENSIONS)}."
            raise InvalidDataset(" ".join([f"{name} holds no image that can be served: {reason}{links}", *reading.notes, *left_out]))
        classes = tuple(sorted({folder.place.class_name for folders in found.values() for folder in folders} - {""}))
        labels = {each: label for label, each in enumerate(classes)}
        splits = {split: _pack(split, folders, tree.columns, labels) for split, folders in found.items()}
        notes = [*left_out, *describe_links(tree), *describe_similar("Splits", list(splits)), *describe_similar("Classes", classes)]
        index = Index(classes, splits, tree.refused, fingerprint(classes, splits), tree.refused_to, tuple(notes))
        if cache is not None:
            cache.store(root, index, Trace.of(tree, began_ns), read_as)
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


def _check_names(dataset: str, names: list[str]) -> None:
    for name in names:
        if printable(name) != name:
            raise InvalidDataset(f"{dataset}: the name {printable(name)!r} is not UTF-8, so no URL can carry it. Rename that folder.")
