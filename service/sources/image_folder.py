"""Image folders, `split/class/file`, with the meaning of `torchvision.datasets.ImageFolder` for each split.

Same extensions, same order of classes and files (sorted folder by folder, links followed). Two differences, both so that labels are right: the classes are
the union over the splits, so that one that a split lacks does not shift the numbers of the others; and hidden folders (`.ipynb_checkpoints`) are no classes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.errors import InvalidDataset
from service.sources.decoding import FolderReader
from service.sources.source import Dataset, File, Split, fingerprint

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""As `torchvision.datasets.folder.IMG_EXTENSIONS`."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One dataset folder: `split/class/file`.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def discover(cls, path: Path) -> list[Self]:
        """Finds dataset folders: the path itself if it is one, else those of its children that are."""
        if _is_dataset(path):
            return [cls(path)]
        return [cls(child) for child in _folders(path) if _is_dataset(child)]

    @property
    def name(self) -> str:
        """The folder's own name; a link's own, not that of what it points to."""
        return self.path.absolute().name or self.path.resolve().name

    def scan(self, max_image_pixels: int, max_image_bytes: int) -> Dataset:
        """Lists every split; see `Source`."""
        folders = _folders(self.path)
        classes = tuple(sorted({child.name for folder in folders for child in _folders(folder)}))
        root = os.path.realpath(self.path)
        splits, refused = {}, 0
        for folder in folders:
            files: list[tuple[File, int]] = []
            for label, class_name in enumerate(classes):
                for file in _walk(folder / class_name, self.path, root):
                    if file is None:
                        refused += 1
                    else:
                        files.append((file, label))
            if files:
                splits[folder.name] = Split.of(folder.name, files)
        if not splits:
            raise InvalidDataset(f"{self.path} holds no image that can be served: expected split/class/file with one of {', '.join(EXTENSIONS)}.")
        return Dataset(
            name=self.name,
            source="image_folder",
            root=str(self.path),
            classes=classes,
            splits=splits,
            reader=FolderReader(self.path, max_image_pixels, max_image_bytes),
            refused=refused,
            version=fingerprint(classes, splits),
        )


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if not child.name.startswith(".") and child.is_dir())
    except OSError as exc:
        raise InvalidDataset(f"{path} cannot be listed: {exc.strerror or exc}") from exc


def _is_dataset(path: Path) -> bool:
    return any(_has_image(class_folder) for split in _folders(path) for class_folder in _folders(split))


def _has_image(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)


def _walk(folder: Path, base: Path, root: str) -> Iterator[File | None]:
    """Yields a class's images in ImageFolder's order; None for one whose real path leaves the root."""
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [each for each in folders if not _is_loop(where, each)]
        found.append((where, names))
    for where, names in sorted(found):
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS):
                yield _look(f"{where}/{name}", base, root)


def _is_loop(where: str, name: str) -> bool:
    path = f"{where}/{name}"
    return os.path.islink(path) and f"{os.path.realpath(where)}/".startswith(f"{os.path.realpath(path)}/")  # noqa: PTH114


def _look(path: str, base: Path, root: str) -> File | None:
    if not os.path.realpath(path).startswith(root + os.sep):
        return None
    relative = path[len(str(base)) + 1 :]
    try:
        status = os.stat(path)  # noqa: PTH116  a million files are looked at
    except OSError:
        return File(relative, -1, 0)  # It stays in the listing and says what is wrong when it is asked for.
    return File(relative, status.st_size, status.st_mtime_ns)
