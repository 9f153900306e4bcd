"""Keeps the index of a large dataset on disk, so that a start needs not look at every file.

A kept index is used only if every folder of the dataset (the root, splits, classes and all below) has the inode, the time of modification and the time of
change that it had before it was listed, and if every link into a folder, and every other that no sample stands for, still ends where it did. That catches every
file or folder that was added, removed, renamed or replaced by another. It does not catch a file that was rewritten in place, nor one behind a link: those are
caught when the sample is read, since the reader holds size and time of modification against the listing (`SampleChanged`). A fresh scan catches them all.

An index is not kept where a folder changed within seconds before it was listed: a second change might leave the same time on it.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from service import __version__
from service.sources.folder_lister import read_state
from service.sources.source import Index, Split, Texts, fingerprint
from service.sources.tree import Tree

Columns = Mapping[str, npt.NDArray[Any]]

_LAYOUT = 2
_WORTHWHILE_FILES = 50_000
_SETTLED_SECONDS = 2.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What an index depends on, besides the files themselves.

    Attributes:
        folders: paths of all folders below the root; "" for itself.
        states: int64 array of shape (F, 3): see `read_state`.
        links: path below the root, where it ends, and whether a folder is there, of each link that no sample stands for.
        began_ns: when the listing began, in nanoseconds since 1970.
    """

    folders: Texts
    states: npt.NDArray[np.int64]
    links: tuple[tuple[str, str, bool], ...]
    began_ns: int

    @classmethod
    def of(cls, tree: Tree, began_ns: int) -> Self:
        """Takes down what a walk met."""
        return cls(
            folders=Texts.of([os.fsencode(folder.place.path) for folder in tree.folders]),
            states=np.array([folder.state for folder in tree.folders], dtype=np.int64).reshape(-1, 3),
            links=tuple((path, link.real, link.is_folder) for path, link in tree.links),
            began_ns=began_ns,
        )

    def is_settled(self, seconds: float) -> bool:
        """Says whether all folders had been left alone for so long when the listing began."""
        return int(self.states[:, 1:].max()) < self.began_ns - seconds * 1e9

    def is_current(self, root: str) -> bool:
        """Says whether everything is still as it was."""
        prefix = root.rstrip("/") + "/"
        try:
            states_hold = all(read_state(prefix + os.fsdecode(self.folders[number])) == tuple(state) for number, state in enumerate(self.states.tolist()))
        except OSError:
            return False
        return states_hold and all((os.path.realpath(prefix + path), os.path.isdir(prefix + path)) == (real, is_folder) for path, real, is_folder in self.links)  # noqa: PTH112


class IndexCache:
    """A folder of indices. Nothing that goes wrong with it is an error: the dataset is listed instead, and the log says why.

    Args:
        folder: where they are; made when the first one is kept.
        worthwhile_files: datasets with fewer files are listed each time, which takes no second.
        settled_seconds: how long folders must have been left alone. File systems round times, to 2 s at most (FAT).
    """

    def __init__(self, folder: Path, worthwhile_files: int = _WORTHWHILE_FILES, settled_seconds: float = _SETTLED_SECONDS) -> None:
        self._folder = folder
        self._worthwhile_files = worthwhile_files
        self._settled_seconds = settled_seconds

    def load(self, root: str, read_as: str = "") -> Index | None:
        """Gives the index of a dataset if one was kept and everything is still as it was.

        Args:
            root: the dataset's real path.
            read_as: what else a listing depends on, as text: how folders are read, where links may lead.
        """
        path, started = self._path(root), time.perf_counter()
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    _LOG.warning("The index %s belongs to another user and is not used.", path)
                    return None
                with np.load(file, allow_pickle=False) as columns:
                    found = _read(columns, root, read_as)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile, NotImplementedError, MemoryError) as exc:
            _LOG.warning("The index %s is damaged and is not used: %s: %s", path, type(exc).__name__, exc)
            return None
        if found is None or not found[1].is_current(root):
            _LOG.info("The kept index of %s is out of date.", root)
            return None
        _LOG.info("The index of %s was kept and holds: checked in %.2f s.", root, time.perf_counter() - started)
        return found[0]

    def store(self, root: str, index: Index, trace: Trace, read_as: str = "") -> None:
        """Keeps an index, if it is worthwhile and its folders are settled; replaces an older one at one stroke.

        Args:
            root: the dataset's real path.
            index: what was found there.
            trace: what it depends on.
            read_as: see `load`.
        """
        if sum(map(len, index.splits.values())) < self._worthwhile_files:
            return
        path = self._path(root)
        if not trace.is_settled(self._settled_seconds):
            _LOG.info("The index of %s is not kept: a folder changed less than %g s before it was listed.", root, self._settled_seconds)
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _replacing(path) as file:
                np.savez(file, allow_pickle=False, **_write(index, trace, root, read_as))
        except OSError as exc:
            _LOG.warning("The index of %s cannot be kept, so the next start lists it again: %s: %s", root, path, exc.strerror or exc)

    def _path(self, root: str) -> Path:
        return self._folder / f"{blake2b(os.fsencode(root), digest_size=16).hexdigest()}.npz"


@contextmanager
def _replacing(path: Path) -> Iterator[Any]:
    """Opens a new private file that takes the place of an old one once it is whole."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
        raise


def _write(index: Index, trace: Trace, root: str, read_as: str) -> dict[str, npt.NDArray[Any]]:
    head = {
        "layout": _LAYOUT,
        "batchlens": __version__,
        "root": root,
        "read_as": read_as,
        "version": index.version,
        "classes": index.classes,
        "splits": list(index.splits),
        "refused": index.refused,
        "refused_to": index.refused_to,
        "notes": index.notes,
        "links": trace.links,
        "began_ns": trace.began_ns,
    }
    columns: dict[str, npt.NDArray[Any]] = {}
    columns |= {"head": _bytes(json.dumps(head).encode())} | _write_texts("trace", trace.folders)
    columns["states"] = trace.states
    for number, split in enumerate(index.splits.values()):
        columns |= {f"{number}.{name}": getattr(split, name) for name in ("labels", "sizes_bytes", "mtimes_ns", "firsts")}
        columns |= _write_texts(f"{number}.names", split.names) | _write_texts(f"{number}.folders", split.folders)
    return columns


def _read(columns: Columns, root: str, read_as: str) -> tuple[Index, Trace] | None:
    """Reads what `_write` wrote; None if it is of another form, release, dataset or way to read it.

    Whatever else is wrong with it raises.
    """
    head = json.loads(columns["head"].tobytes())
    if (head["layout"], head["batchlens"]) != (_LAYOUT, __version__):  # Its other fields may be others.
        return None
    if (head["root"], head["read_as"]) != (root, read_as):
        return None
    splits = {name: _read_split(name, columns, f"{number}.") for number, name in enumerate(head["splits"])}
    index = Index(tuple(head["classes"]), splits, head["refused"], head["version"], head["refused_to"], tuple(head["notes"]))
    if fingerprint(index.classes, index.splits) != index.version:
        raise ValueError("its columns do not add up to its version")
    links = tuple((path, real, is_folder) for path, real, is_folder in head["links"])
    return index, Trace(_read_texts(columns, "trace"), columns["states"], links, head["began_ns"])


def _read_split(name: str, columns: Columns, prefix: str) -> Split:
    return Split(
        name=name,
        labels=columns[prefix + "labels"],
        sizes_bytes=columns[prefix + "sizes_bytes"],
        mtimes_ns=columns[prefix + "mtimes_ns"],
        names=_read_texts(columns, prefix + "names"),
        folders=_read_texts(columns, prefix + "folders"),
        firsts=columns[prefix + "firsts"],
    )


def _write_texts(name: str, texts: Texts) -> dict[str, npt.NDArray[Any]]:
    return {name: _bytes(texts.buffer), f"{name}.ends": texts.ends}


def _read_texts(columns: Columns, name: str) -> Texts:
    return Texts(columns[name].tobytes(), columns[f"{name}.ends"])


def _bytes(content: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(content, dtype=np.uint8)
