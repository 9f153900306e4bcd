"""Looks into folders just far enough to tell what they hold, for the rules that decide how a tree is read."""

import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from service.sources.folder_lister import is_image
from service.sources.tree import is_below, is_passed_over

_USUAL_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev"})
_LOG = logging.getLogger(__name__)


class Probe:
    """A look at a tree, which several rules share: what was seen is remembered.

    Not thread-safe; made anew for each decision.

    Args:
        allowed_roots: real paths of folders that links may lead to, besides the dataset's own.
    """

    def __init__(self, allowed_roots: Sequence[str] = ()) -> None:
        self._allowed_roots = tuple(allowed_roots)
        self._folders: dict[Path, list[Path] | None] = {}
        self._has_image: dict[Path, bool] = {}
        self._has_splits: dict[Path, bool] = {}

    def folders(self, path: Path) -> list[Path]:
        """Return the folders in a folder, sorted, without those that are passed over; none if it cannot be listed."""
        if path not in self._folders:
            self._folders[path] = _list_folders(path, lambda name: not is_passed_over(name))
        return self._folders[path] or []

    def is_locked(self, path: Path) -> bool:
        """Whether a folder cannot be listed."""
        self.folders(path)
        return self._folders[path] is None

    def has_image(self, path: Path) -> bool:
        """Whether an image lies in a folder itself; not if it cannot be listed."""
        if path not in self._has_image:
            try:
                with os.scandir(path) as entries:
                    self._has_image[path] = any(is_image(entry.name) and not _is_dir(entry) for entry in entries)
            except OSError:
                self._has_image[path] = False
        return self._has_image[path]

    def has_splits(self, path: Path) -> bool:
        """Whether a folder has one that is called like a split and holds classes."""
        if path not in self._has_splits:
            self._has_splits[path] = any(self._has_classes(each) for each in _list_folders(path, is_split_name) or ())
        return self._has_splits[path]

    def _has_classes(self, split: Path) -> bool:
        """Whether an image lies at any depth below a split's folders.

        A folder there that cannot be listed counts as well, so that the listing names it.
        """
        roots = (os.path.realpath(split.parent), *self._allowed_roots)
        pending, seen = deque(self.folders(split)), set()
        while pending:
            folder = pending.popleft()
            if self.has_image(folder) or self.is_locked(folder):
                return True
            real = os.path.realpath(folder)
            # A link may lead round, or to the whole machine.
            if real not in seen and any(is_below(real, root) for root in roots):
                seen.add(real)
                pending.extend(self.folders(folder))
        return False


def is_split_name(name: str) -> bool:
    """Whether a folder is called as splits usually are, in upper or lower case."""
    return name.lower() in _USUAL_SPLITS


def _list_folders(path: Path, is_wanted: Callable[[str], bool]) -> list[Path] | None:
    """List the folders in a folder by their names, sorted; None if it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            found = [entry for entry in entries if is_wanted(entry.name) and _is_dir(entry)]
    except OSError as exc:
        _LOG.debug("%s cannot be listed: %s", path, exc.strerror or exc)
        return None
    return sorted(path / entry.name for entry in found if not (entry.is_symlink() and _leads_back(path, entry)))


def _leads_back(path: Path, link: os.DirEntry[str]) -> bool:
    """Whether a link in a folder leads to that folder, or to one above it."""
    return is_below(os.path.realpath(path), os.path.realpath(link.path))


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
