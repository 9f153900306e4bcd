"""The datasets that are served: found once at start-up, by name."""

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from service.errors import DatasetUnavailable, InvalidDataset, NoDatasetFound, UnknownDataset
from service.settings import Settings
from service.sources.discovery import name_of
from service.sources.image_folder import ImageFolder
from service.sources.index_cache import IndexCache
from service.sources.layout import CLASS, setting
from service.sources.source import NO_OPTIONS, Dataset, Discovered, Progress, Source, SourceOptions, no_progress, printable

SOURCES: Mapping[str, type[Source]] = {"image_folder": ImageFolder}
"""Every kind of source; tried in this order on each path."""


class Catalogue:
    """Finds and lists datasets.

    One that cannot be listed does not stand in the way of the others: its reason is kept, and a refresh tries it again.

    Args:
        paths: what the operator named: datasets, or folders of datasets.
        max_image_pixels: largest image decoded.
        max_image_bytes: largest file read.
        cache: where the indices of large datasets are kept; None keeps none.
        progress: told while datasets are listed.
        options: how datasets are read.

    Raises:
        NoDatasetFound: a path is missing or holds no dataset.
        InvalidDataset: two datasets share a name, or none of them can be listed.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        max_image_pixels: int,
        max_image_bytes: int,
        cache: IndexCache | None = None,
        progress: Progress = no_progress,
        options: SourceOptions = NO_OPTIONS,
    ) -> None:
        self._limits = (max_image_pixels, max_image_bytes)
        self._cache = cache
        self._refreshing = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._datasets: dict[str, Dataset] = {}
        self._unavailable: dict[str, str] = {}
        self._notes: list[str] = []
        for path in paths:
            self._add(path, options, progress)
        if not self._datasets:
            raise InvalidDataset(" ".join(self._unavailable.values()))

    @classmethod
    def open(cls, settings: Settings, progress: Progress = no_progress) -> Self:
        """Finds and lists what settings name, with the indices that they say are kept; raises what the class does."""
        folder = settings.index_folder
        options = SourceOptions(settings.layouts, tuple(os.path.realpath(each) for each in settings.allowed_roots))
        cache = IndexCache(folder) if folder else None
        return cls(settings.paths, settings.max_image_pixels, settings.max_image_bytes, cache, progress, options)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All datasets that are served, in the order they were named."""
        return tuple(self._datasets[name] for name in self._sources if name in self._datasets)

    @property
    def unavailable(self) -> Mapping[str, str]:
        """Why datasets that were found are not served, by name."""
        return dict(self._unavailable)

    def availability(self) -> dict[str, bool]:
        """Return whether each dataset that was found is served, by name."""
        return {name: name in self._datasets for name in self._sources}

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what lies at the paths and is no dataset."""
        return tuple(self._notes)

    def dataset(self, name: str) -> Dataset:
        """Return a dataset as it is listed now.

        Raises:
            UnknownDataset: lists the known ones.
            DatasetUnavailable: it could not be listed.
        """
        if (reason := self._unavailable.get(name)) is not None:
            raise DatasetUnavailable(f"The dataset {name!r} is not served: {reason}", reason=reason)
        if name not in self._datasets:
            raise UnknownDataset.among(name, [each.name for each in self.datasets])
        return self._datasets[name]

    def refresh(self, name: str) -> Dataset:
        """List a dataset anew, looking at every file.

        Requests under way keep the listing they began with; one that has not changed stays.

        Raises:
            UnknownDataset: lists the known ones.
            InvalidDataset: it cannot be served as it is now; the listing served so far stays.
        """
        if name not in self._sources:
            raise UnknownDataset.among(name, self._sources)
        with self._refreshing:  # One after the other: an older listing must not take the place of a newer one.
            try:
                listed = self._sources[name].scan(*self._limits, self._cache, is_fresh=True)
            except InvalidDataset as exc:
                if name in self._unavailable:
                    self._unavailable[name] = exc.detail
                raise
            self._datasets[name] = _keep_unchanged(self._datasets.get(name), listed)
            self._unavailable.pop(name, None)
            return self._datasets[name]

    def _add(self, path: Path, options: SourceOptions, progress: Progress) -> None:
        found = _discover(path, options)
        self._notes += found.notes
        for source in found.sources:
            name = printable(source.name)
            if name in self._sources and name != source.name:  # Not UTF-8, so neither can be served; they look alike.
                self._notes.append(f"{name}/ is left out: its name is not UTF-8, and another looks the same. Rename that folder.")
                continue
            if name in self._sources:
                places = f"{self._sources[name].root} and one below {path}"
                raise InvalidDataset(f"Two datasets are called {name!r}: {places}. Rename one folder.")
            self._sources[name] = source
            try:
                self._datasets[name] = source.scan(*self._limits, self._cache, progress=progress)
            except InvalidDataset as exc:
                self._unavailable[name] = exc.detail


def _keep_unchanged(before: Dataset | None, listed: Dataset) -> Dataset:
    """Return the listing from before if the new one is the same: others hold on to it."""
    if before is None or before.version != listed.version:
        return listed
    if _facts(before) == _facts(listed):
        return before
    return replace(listed, splits=before.splits)


def _facts(dataset: Dataset) -> tuple[object, ...]:
    return dataset.layout, dataset.refused, dataset.refused_to, dataset.notes


def _discover(path: Path, options: SourceOptions) -> Discovered[Source]:
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder above is locked
        what = "a dataset (split/class/file or class/file) or a folder of datasets"
        raise NoDatasetFound(f"{path} is no folder. Name {what}.")
    notes: list[str] = []
    for kind in SOURCES.values():
        found = kind.discover(path, options)
        if found.sources:
            return found
        notes += found.notes
    expected = "expected images at split/class/file or class/file below it or below one of its folders."
    other = f"For folders of another kind: {setting(name_of(path), CLASS)}."
    raise NoDatasetFound(" ".join([f"{path} holds no dataset: {expected}", *(notes or [other])]))
