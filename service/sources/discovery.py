"""Finds the datasets at a path: the path itself, its folders, or one that is wrapped in further folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from service.settings import Layout
from service.sources.layout import CLASS, CLASS_GROUP, enumerate_names, setting
from service.sources.layout_detection import detect_without_split_names
from service.sources.probe import Probe, is_split_name
from service.sources.source import printable

_WRAPPERS = 3
"""How many folders below one of a path's folders the dataset in it may be, as in `imagenet/ILSVRC/Data/CLS-LOC`."""

_NAMELESS = frozenset({"data", "dataset", "datasets", "images", "raw", "snapshots"})
"""Wrappers whose name says nothing of what is in them, in lower case."""


class Found(NamedTuple):
    """A dataset's folder.

    Attributes:
        path: where it is.
        name: what the dataset is called.
        notes: sentences for the operator.
    """

    path: Path
    name: str
    notes: tuple[str, ...] = ()


def name_of(path: Path) -> str:
    """Return a folder's own name; a link's own, not that of what it points to."""
    own = path.absolute().name
    return own if own not in {"", ".."} else path.resolve().name or "root"


class Discovery:
    """Finds the datasets at one path.

    A folder that the settings give a layout is a dataset. Whatever cannot be listed is found as well, so that its
    listing says why.

    Args:
        path: a folder.
        layouts: from the settings, by name of the dataset.
        allowed_roots: real paths of folders that links in a dataset may lead to, besides its own.

    Attributes:
        found: the datasets, in the order of their folders.
        notes: sentences for the operator on what is left out.
    """

    def __init__(self, path: Path, layouts: Mapping[str, Layout], allowed_roots: tuple[str, ...] = ()) -> None:
        self._probe = Probe(allowed_roots)
        self._layouts = layouts
        self._path = path
        self.notes: list[str] = []
        self.found = self._find()

    def _find(self) -> list[Found]:
        path, name, probe = self._path, name_of(self._path), self._probe
        own = [Found(path, name)]
        if name in self._layouts or probe.is_locked(path):
            return own
        folders = probe.folders(path)
        has_splits = probe.has_splits(path)
        may_be_named = [each for each in folders if not (has_splits and is_split_name(each.name))]
        are_named = any(each.name in self._layouts for each in may_be_named)
        if has_splits and not are_named:
            return own
        if not are_named and not any(map(probe.has_splits, folders)) and detect_without_split_names(probe, path, name):
            return own
        found = [each for folder in folders if (each := self._find_in(folder)) is not None]
        if all(probe.is_locked(each.path) for each in found) and self._has_locked_split(path):
            return own
        if not found and (note := self._explain(path, name)):
            self.notes.insert(0, note)
        if len(found) > 1 and not are_named and not any(probe.has_splits(each.path) for each in found):
            names = enumerate_names([printable(each.name) for each in found])
            other = f"{setting(name, CLASS_GROUP)} reads it as one"
            self.notes.insert(0, f"Read as a folder of datasets: {names}. {other}.")
        return self._named_by_path(found)

    def _find_in(self, folder: Path) -> Found | None:
        """Find the one dataset that a folder is or wraps."""
        own, probe = Found(folder, folder.name), self._probe
        if folder.name in self._layouts or probe.is_locked(folder) or probe.has_splits(folder):
            return own
        wrapped = [each for each in probe.folders(folder) if probe.has_splits(each)]
        if not wrapped and detect_without_split_names(probe, folder, folder.name):
            return own
        wrapped = wrapped or self._with_splits_below(folder, _WRAPPERS)
        places = [printable(each.relative_to(folder).as_posix()) for each in wrapped]
        if len(wrapped) == 1:
            return Found(wrapped[0], folder.name, (f"Found deeper down, at {printable(folder.name)}/{places[0]}.",))
        if wrapped:
            several = f"it holds several datasets, {enumerate_names(places)}"
            self.notes.append(f"{printable(folder.name)}/ is left out: {several}. Name it as a path of its own.")
        elif self._has_locked_split(folder):
            return own
        elif note := self._explain(folder, folder.name):
            self.notes.append(note)
        return None

    def _has_locked_split(self, folder: Path) -> bool:
        """Whether a folder that is called like a split cannot be listed."""
        return any(is_split_name(each.name) and self._probe.is_locked(each) for each in self._probe.folders(folder))

    def _with_splits_below(self, folder: Path, levels: int) -> list[Path]:
        if not levels:
            return []
        found: list[Path] = []
        for each in self._probe.folders(folder):
            found += [each] if self._probe.has_splits(each) else self._with_splits_below(each, levels - 1)
        return found

    def _named_by_path(self, found: list[Found]) -> list[Found]:
        """Name the only dataset by the path, if it is wrapped in a folder whose name says nothing."""
        if len(found) != 1 or not found[0].notes or found[0].name.lower() not in _NAMELESS:
            return found
        return [found[0]._replace(name=name_of(self._path))]

    def _explain(self, folder: Path, name: str) -> str:
        """Return why a folder with images is no dataset; nothing if it has none."""
        shown = printable(name)
        flat = [printable(each.name) for each in self._probe.folders(folder) if self._probe.has_image(each)]
        if flat:
            why = f"the images in {enumerate_names(flat)} lie in no class folder"
            return f"{shown}/ is left out: {why}. {setting(shown, CLASS)} reads these as classes."
        if self._probe.has_image(folder):
            return f"{shown}/ is left out: its images lie in no class folder."
        return ""
