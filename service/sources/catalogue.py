"""The datasets that are served: found once at start-up, by name."""

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from service.errors import InvalidDataset, NoDatasetFound, UnknownDataset
from service.settings import Settings
from service.sources.image_folder import ImageFolder
from service.sources.index_cache import IndexCache
from service.sources.source import Dataset, Progress, Source, no_progress

SOURCES: Mapping[str, type[Source]] = {"image_folder": ImageFolder}
"""Every kind of source; tried in this order on each path."""


class Catalogue:
    """Finds and lists datasets.

    Args:
        paths: what the operator named: datasets, or folders of datasets.
        max_image_pixels: largest image decoded.
        max_image_bytes: largest file read.
        cache: where the indices of large datasets are kept; None keeps none.
        progress: told while datasets are listed.

    Raises:
        NoDatasetFound: a path is missing or holds no dataset.
        InvalidDataset: two datasets share a name, or one cannot be listed.
    """

    def __init__(
        self, paths: Iterable[Path], max_image_pixels: int, max_image_bytes: int, cache: IndexCache | None = None, progress: Progress = no_progress
    ) -> None:
        self._limits = (max_image_pixels, max_image_bytes)
        self._cache = cache
        self._refreshing = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._datasets: dict[str, Dataset] = {}
        for path in paths:
            for source in _discover(path):
                if source.name in self._datasets:
                    raise InvalidDataset(
                        f"Two datasets are called {source.name!r}: {self._datasets[source.name].root} and one below {path}. Rename one folder."
                    )
                self._sources[source.name] = source
                self._datasets[source.name] = source.scan(*self._limits, cache, progress=progress)

    @classmethod
    def open(cls, settings: Settings, progress: Progress = no_progress) -> Self:
        """Finds and lists what settings name, with the indices that they say are kept; raises what the class does."""
        folder = settings.index_folder
        return cls(settings.paths, settings.max_image_pixels, settings.max_image_bytes, IndexCache(folder) if folder else None, progress)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All datasets, in the order they were named."""
        return tuple(self._datasets.values())

    def dataset(self, name: str) -> Dataset:
        """Gives a dataset as it is listed now; raises UnknownDataset, which lists the known ones."""
        if name not in self._datasets:
            raise UnknownDataset.among(name, self._datasets)
        return self._datasets[name]

    def refresh(self, name: str) -> Dataset:
        """Lists a dataset anew, looking at every file. Requests under way keep the listing they began with; one that has not changed stays.

        Raises:
            UnknownDataset: lists the known ones.
            InvalidDataset: it cannot be served as it is now; the listing served so far stays.
        """
        self.dataset(name)
        with self._refreshing:  # One after the other: an older listing must not take the place of a newer one.
            dataset = self._sources[name].scan(*self._limits, self._cache, is_fresh=True)
            if dataset.version != self._datasets[name].version:
                self._datasets[name] = dataset
            return self._datasets[name]


def _discover(path: Path) -> list[Source]:
    if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder above is locked
        raise NoDatasetFound(f"{path} is no folder. Name a dataset (split/class/file) or a folder of datasets.")
    for kind in SOURCES.values():
        if found := kind.discover(path):
            return list(found)
    raise NoDatasetFound(f"{path} holds no dataset: expected images at split/class/file below it or below one of its folders.")
