"""Where samples come from: the listing of a dataset, and the two protocols that a source fulfils."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from service.errors import UnknownClass, UnknownSample, UnknownSplit
from service.settings import Layout

if TYPE_CHECKING:
    from service.sources.index_cache import IndexCache

Pixels = npt.NDArray[np.uint8]

Progress = Callable[[str, int, int, int], None]
"""Told while a dataset is listed: its name, folders listed, folders known so far, images found."""


def no_progress(dataset: str, listed: int, known: int, images: int) -> None:
    """Tells nobody."""


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
class Texts:
    """Short byte strings in one buffer: 8 bytes and its own length for each.

    Attributes:
        buffer: all of them, one after the other.
        ends: int64 array of shape (N,), where each ends.
    """

    buffer: bytes
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Self:
        """Packs byte strings."""
        return cls(b"".join(texts), np.cumsum([len(each) for each in texts], dtype=np.int64))

    @classmethod
    def of_ended(cls, texts: bytes) -> Self:
        """Packs byte strings that each end with a NUL and hold no other."""
        content = np.frombuffer(texts, dtype=np.uint8)
        ends = np.flatnonzero(content == 0)
        return cls(content[content != 0].tobytes(), ends - np.arange(len(ends)))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> bytes:
        """Gives one of them; `index` is in [0, N)."""
        return self.buffer[self.ends.item(index - 1) if index else 0 : self.ends.item(index)]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Tells the length of each."""
        return np.diff(self.ends, prepend=0)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The sorted listing of one split, in columns: 28 bytes and its name for a sample, 16 bytes and its path for a folder. Samples of a folder lie together.

    Attributes:
        name: the split's name.
        labels: int32 array of shape (N,), the class number of each sample.
        sizes_bytes: int64 array of shape (N,).
        mtimes_ns: int64 array of shape (N,).
        names: of the N files, without their folders; undecodable bytes as they are.
        folders: of the F folders, each with its slash at the end, or empty.
        firsts: int64 array of shape (F,), the first sample of each folder, ascending; the first one is 0.
    """

    name: str
    labels: npt.NDArray[np.int32]
    sizes_bytes: npt.NDArray[np.int64]
    mtimes_ns: npt.NDArray[np.int64]
    names: Texts
    folders: Texts
    firsts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, name: str, files: Sequence[tuple[File, int]]) -> Self:
        """Packs files and their labels, in the given order."""
        parts = [file.path.encode("utf-8", "surrogateescape").rpartition(b"/") for file, _ in files]
        folders = [folder + slash for folder, slash, _ in parts]
        firsts = [index for index, folder in enumerate(folders) if not index or folder != folders[index - 1]]
        return cls(
            name=name,
            labels=np.array([label for _, label in files], dtype=np.int32),
            sizes_bytes=np.array([file.size_bytes for file, _ in files], dtype=np.int64),
            mtimes_ns=np.array([file.mtime_ns for file, _ in files], dtype=np.int64),
            names=Texts.of([each for _, _, each in parts]),
            folders=Texts.of([folders[index] for index in firsts]),
            firsts=np.array(firsts, dtype=np.int64),
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
        path = self.folders[bisect_right(self.firsts.data, index) - 1] + self.names[index]  # As a view: NumPy's own search takes longer for one value.
        return File(path.decode("utf-8", "surrogateescape"), self.sizes_bytes.item(index), self.mtimes_ns.item(index))

    def indices_of(self, label: int) -> npt.NDArray[np.int64]:
        """Lists the samples of one class, ascending."""
        return np.flatnonzero(self.labels == label)

    def paths(self) -> Iterator[bytes]:
        """Gives all paths, one after the other, a folder's at a time."""
        for number, (first, last) in enumerate(pairwise([*self.firsts.tolist(), len(self)])):
            ends = self.names.ends[max(0, first - 1) : last].tolist()
            names = [self.names.buffer[start:end] for start, end in pairwise(ends if first else [0, *ends])]
            yield self.folders[number].join([b"", *names])

    def path_ends(self) -> npt.NDArray[np.int64]:
        """Tells where each path ends in all of them together."""
        files_in_folder = np.diff(self.firsts, append=len(self))
        return np.cumsum(self.names.lengths() + np.repeat(self.folders.lengths(), files_in_folder), dtype=np.int64)


class Header(NamedTuple):
    """What an image file says of itself.

    Attributes:
        width: of the pixels as they are decoded.
        height: likewise.
        exif_orientation: 2 to 8 where EXIF asks viewers to turn or mirror the picture, which is ignored as `ImageFolder` ignores it; None where there is
            nothing to ignore.
    """

    width: int
    height: int
    exif_orientation: int | None


class Reader(Protocol):
    """Reads the samples of a dataset. Picklable (it travels to worker processes) and safe to call from several threads."""

    def pixels(self, file: File, max_resolution: int | None = None) -> Pixels:
        """Decodes a sample to uint8 RGB of shape (H, W, 3), in memory that need not be writable.

        Args:
            file: the sample.
            max_resolution: shorter side to which a larger image is reduced, 1 or more; `reduce_size` says what becomes of the other.

        Raises:
            SampleError: it cannot be read, is too large, or has changed since the listing.
        """
        ...

    def size(self, file: File) -> tuple[int, int]:
        """Tells (width, height) in pixels from the header alone; raises as `pixels` does."""
        ...

    def header(self, file: File) -> Header:
        """Return what the header alone tells; raises as `pixels` does."""
        ...

    def original(self, file: File) -> Path:
        """Gives the path of the unchanged original; raises as `pixels` does."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """What a listing found.

    Attributes:
        classes: class names in label order.
        splits: by name, in order.
        refused: links passed over because they lead where they may not.
        version: fingerprint of classes and splits.
        refused_to: the deepest folder that all of those lead into; "" if there are none.
        notes: sentences for the operator on what is left out.
    """

    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    refused: int
    version: str
    refused_to: str = ""
    notes: tuple[str, ...] = ()


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
        refused: links passed over because they lead where they may not.
        version: fingerprint of all the above.
        layout: how its folders are read; "" if it has none.
        refused_to: the deepest folder that all refused links lead into, safe to print, for the operator alone; "" if
            there are none.
        notes: sentences on what was decided and what is left out; they name nothing outside the dataset.
    """

    name: str
    source: str
    root: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    reader: Reader
    refused: int
    version: str
    layout: str = ""
    refused_to: str = ""
    notes: tuple[str, ...] = ()

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


S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the settings say about where datasets are and how they are read.

    Attributes:
        layouts: how the folders of a dataset are read, by its name.
        allowed_roots: real paths of folders that links in a dataset may lead to, besides its own.
    """

    layouts: Mapping[str, Layout] = field(default_factory=dict)
    allowed_roots: tuple[str, ...] = ()


NO_OPTIONS = SourceOptions()


class Discovered(NamedTuple, Generic[S_co]):
    """What is found at a path.

    Attributes:
        sources: the datasets.
        notes: sentences for the operator on what is left out.
    """

    sources: list[S_co]
    notes: list[str]


class Source(Protocol):
    """A place that holds a dataset."""

    @classmethod
    def discover(cls, path: Path, options: SourceOptions = NO_OPTIONS) -> Discovered[Self]:
        """Find the datasets of this kind at a path: none, the path itself, or what is below it."""
        ...

    @property
    def name(self) -> str:
        """The dataset's name."""
        ...

    @property
    def root(self) -> str:
        """The dataset's folder as the operator named it, safe to print."""
        ...

    def scan(
        self, max_image_pixels: int, max_image_bytes: int, cache: "IndexCache | None" = None, *, is_fresh: bool = False, progress: Progress = no_progress
    ) -> Dataset:
        """Lists the dataset as it is now.

        Args:
            max_image_pixels: largest image decoded.
            max_image_bytes: largest file read.
            cache: where the index may be kept.
            is_fresh: looks at every file, whatever the cache says; the new index is kept.
            progress: told while files are looked at.

        Raises:
            InvalidDataset: it cannot be served as it is.
        """
        ...


def reduce_size(size: tuple[int, int], max_resolution: int | None) -> tuple[int, int]:
    """Tells the (width, height) that an image is reduced to: a shorter side above `max_resolution` becomes that, the other keeps the ratio, rounded down."""
    shorter = min(size)
    if max_resolution is None or shorter <= max_resolution:
        return size
    width, height = size
    return width * max_resolution // shorter, height * max_resolution // shorter


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
        for column in (split.labels, split.sizes_bytes, split.mtimes_ns, split.path_ends()):
            digest.update(np.ascontiguousarray(column).data)
        for paths in split.paths():
            digest.update(paths)
    return digest.hexdigest()
