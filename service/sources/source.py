"""Where samples come from: the listing of a dataset, and the two protocols that a source fulfils."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from service.errors import UnknownClass, UnknownSample, UnknownSplit

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class File:
    """One file as the listing saw it.

    Attributes:
        path: below the dataset's root, with forward slashes; undecodable bytes as surrogates.
        size_bytes: its length.
        mtime_ns: its modification time in nanoseconds.
    """

    path: str
    size_bytes: int
    mtime_ns: int

    @property
    def label(self) -> str:
        """The path, safe to print: undecodable bytes become U+FFFD."""
        return printable(self.path)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The sorted listing of one split, in columns: about 60 bytes and the path for a sample.

    Attributes:
        name: the split's name.
        labels: int32 array of shape (N,), the class number of each sample.
        sizes_bytes: int64 array of shape (N,).
        mtimes_ns: int64 array of shape (N,).
        paths: all paths, one after the other, as UTF-8 with surrogates for undecodable bytes.
        ends: int64 array of shape (N,), where each path ends in `paths`.
    """

    name: str
    labels: npt.NDArray[np.int32]
    sizes_bytes: npt.NDArray[np.int64]
    mtimes_ns: npt.NDArray[np.int64]
    paths: bytes
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: str, files: Sequence[tuple[File, int]]) -> Self:
        """Packs files and their labels, in the given order."""
        encoded = [file.path.encode("utf-8", "surrogateescape") for file, _ in files]
        return cls(
            name=name,
            labels=np.array([label for _, label in files], dtype=np.int32),
            sizes_bytes=np.array([file.size_bytes for file, _ in files], dtype=np.int64),
            mtimes_ns=np.array([file.mtime_ns for file, _ in files], dtype=np.int64),
            paths=b"".join(encoded),
            ends=np.cumsum([len(each) for each in encoded], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def file(self, index: int) -> File:
        """Gives the file of a sample.

        Raises:
            UnknownSample: `index` is outside [0, N).
        """
        if not 0 <= index < len(self):
            raise UnknownSample(f"There is no sample {index} in split {self.name!r}: it has {len(self)}, counted from 0.", size=len(self))
        start = int(self.ends[index - 1]) if index else 0
        path = self.paths[start : int(self.ends[index])].decode("utf-8", "surrogateescape")
        return File(path, int(self.sizes_bytes[index]), int(self.mtimes_ns[index]))

    def indices_of(self, label: int) -> npt.NDArray[np.int64]:
        """Lists the samples of one class, ascending."""
        return np.flatnonzero(self.labels == label)


class Reader(Protocol):
    """Reads the samples of a dataset. Picklable (it travels to worker processes) and safe to call from several threads."""

    def pixels(self, file: File) -> Pixels:
        """Decodes a sample to uint8 RGB of shape (H, W, 3).

        Raises:
            SampleError: it cannot be read, is too large, or has changed since the listing.
        """
        ...

    def size(self, file: File) -> tuple[int, int]:
        """Tells (width, height) in pixels from the header alone; raises as `pixels` does."""
        ...

    def original(self, file: File) -> Path:
        """Gives the path of the unchanged original; raises as `pixels` does."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A snapshot of a dataset's listing. Immutable: a changed folder makes a new snapshot.

    Attributes:
        name: as in URLs.
        source: kind of source, a key of `service.sources.catalogue.SOURCES`.
        root: the folder as the operator named it, safe to print.
        classes: class names in label order.
        splits: by name, in order.
        reader: reads its samples.
        refused: links passed over because they lead out of the root.
        version: fingerprint of all the above.
    """

    name: str
    source: str
    root: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    reader: Reader
    refused: int
    version: str

    def split(self, name: str) -> Split:
        """Gives a split; raises UnknownSplit, which lists the known ones."""
        if name not in self.splits:
            raise UnknownSplit.among(name, self.splits)
        return self.splits[name]

    def label_of(self, class_name: str) -> int:
        """Gives a class's number; raises UnknownClass, which lists the known ones."""
        if class_name not in self.classes:
            raise UnknownClass.among(class_name, self.classes)
        return self.classes.index(class_name)

    def class_counts(self, split: Split) -> dict[str, int]:
        """Counts a split's samples by class, in label order."""
        counts = np.bincount(split.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))


class Source(Protocol):
    """A place that holds a dataset."""

    @classmethod
    def discover(cls, path: Path) -> list[Self]:
        """Finds the datasets of this kind at a path: none, the path itself, or its children."""
        ...

    @property
    def name(self) -> str:
        """The dataset's name."""
        ...

    def scan(self, max_image_pixels: int, max_image_bytes: int) -> Dataset:
        """Lists the dataset as it is now.

        Raises:
            InvalidDataset: it cannot be served as it is.
        """
        ...


def printable(path: str) -> str:
    """Makes a path safe to print and to encode: its undecodable bytes become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def fingerprint(classes: Sequence[str], splits: Mapping[str, Split]) -> str:
    """Hashes a listing: class list, and path, size and modification time of every file.

    Returns:
        16 hexadecimal digits.
    """
    digest = blake2b(digest_size=8)
    digest.update(repr((tuple(classes), [(name, len(split)) for name, split in splits.items()])).encode())
    for split in splits.values():
        for column in (split.labels, split.sizes_bytes, split.mtimes_ns, split.ends):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update(split.paths)
    return digest.hexdigest()
