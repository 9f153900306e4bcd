"""The loaders that are open, one for each split in use, and the device that they render on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import torch

from service.errors import NotFound, NotReady, QueueFull, ShuttingDown, UnknownLoader
from service.loading.accounts import LoaderLimits
from service.loading.arena import Budget
from service.loading.executor import DeviceExecutor
from service.loading.job import Delivery
from service.loading.loader import Loader
from service.loading.order import Order
from service.sources.source import Dataset

Name = tuple[str, str]
_RESTART_SECONDS = 5.0
"""How long workers may be gone before batches count as not renderable: requests wait for their successors meanwhile."""


class Registry:
    """Opens loaders when they are first needed and keeps them, as long as there are not too many. Thread-safe.

    Args:
        limits: what each loader may use.
        device_id: where to render at first.
        torch_device: turns a device's id into torch's device.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, limits: LoaderLimits, device_id: str, torch_device: Callable[[str], torch.device], now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._budget = Budget(limits.arena_bytes)
        self._device_id = device_id
        self._torch_device = torch_device
        self._lock = threading.Lock()
        self._loaders: dict[Name, Loader] = {}
        self._uses: dict[Name, int] = {}
        self._clock = itertools.count()
        self._closing: list[threading.Thread] = []
        self._executors: dict[str, DeviceExecutor] = {}
        self._now = now
        self._seen_ready_seconds = float("-inf")
        self._is_closed = False

    def start(self, dataset: Dataset) -> None:
        """Opens a first loader, so that the first request finds workers; returns at once."""
        self._open(dataset, next(iter(dataset.splits)))

    def check_ready(self) -> None:
        """Says whether batches can be rendered: at first by a loader whose workers are all there, later by one that has any, or had a moment ago.

        Raises:
            NotReady: workers are still starting, or keep dying.
            ShuttingDown: the registry is closed.
        """
        if self._is_closed:
            raise ShuttingDown("The service is shutting down.")
        with self._lock:
            loaders = list(self._loaders.values())  # None: all were closed on demand, and the next request opens one.
        was_ready = self._seen_ready_seconds > float("-inf")
        if not loaders or any(loader.has_workers if was_ready else loader.is_complete for loader in loaders):
            self._seen_ready_seconds = self._now()
        elif self._now() - self._seen_ready_seconds > _RESTART_SECONDS:
            raise NotReady("The workers keep dying; the log has the details." if was_ready else "The workers are still starting.")

    @asynccontextmanager
    async def fetch(self, order: Order) -> AsyncIterator[Delivery]:
        """Renders an order with the loader of its split, which is opened if need be; the batch is valid inside the `async with`.

        A loader that is found is claimed before anything else runs on this event loop, so that it cannot be closed for another in between.

        Raises:
            BatchlensError: whatever stands in the way.
        """
        async with self._open(order.dataset, order.split.name).fetch(order) as delivery:
            yield delivery

    def report(self, dataset: str, split: str) -> dict[str, Any]:
        """Tells the state of a split's loader.

        Raises:
            UnknownLoader: none is open for it.
        """
        with self._lock:
            loader = self._loaders.get((dataset, split))
            known = list(self._loaders)
        if loader is None:
            raise _unknown((dataset, split), known)
        return {"dataset": dataset, "split": split, **loader.report()}

    def reports(self) -> list[dict[str, Any]]:
        """Tells the state of every open loader."""
        return [{"dataset": dataset, "split": split, **loader.report()} for (dataset, split), loader in list(self._loaders.items())]

    def close_loader(self, dataset: str, split: str) -> None:
        """Closes a split's loader and gives its memory back; the next request opens a new one.

        Raises:
            UnknownLoader: none is open for it.
        """
        with self._lock:
            loader = self._loaders.pop((dataset, split), None)
            known = list(self._loaders)
        if loader is None:
            raise _unknown((dataset, split), known)
        loader.close(self._limits.deadline_seconds)

    def close_missing(self, dataset: Dataset) -> None:
        """Closes the loaders of splits that a dataset has no longer."""
        with self._lock:
            for name in [each for each in self._loaders if each[0] == dataset.name and each[1] not in dataset.splits]:
                self._begin_to_close(name)

    def move(self, device_id: str) -> None:
        """Renders on another device from now on; what is under way ends where it began, so no request fails."""
        with self._lock:
            executor = self._executor(device_id)
            self._device_id = device_id
            for loader in self._loaders.values():
                loader.move(device_id, executor)

    def close(self) -> None:
        """Closes every loader, then the executors."""
        with self._lock:
            self._is_closed = True
            for name in list(self._loaders):
                self._begin_to_close(name)
            threads = self._closing
        for thread in threads:
            thread.join()
        for executor in self._executors.values():
            executor.close()

    def _open(self, dataset: Dataset, split: str) -> Loader:
        """Gives the loader of a split, a new one if there is none."""
        name = (dataset.name, split)
        with self._lock:
            if self._is_closed:
                raise ShuttingDown("The service is shutting down.")
            if name not in self._loaders:
                self._make_room()
                self._loaders[name] = Loader("/".join(name), dataset.reader, self._limits, self._budget, self._device_id, self._executor(self._device_id))
            self._uses[name] = next(self._clock)
            return self._loaders[name]

    def _make_room(self) -> None:
        """Closes the loader that has been idle longest, where as many are open as may be.

        Raises:
            QueueFull: none is idle.
        """
        most = self._limits.loaders
        if len(self._loaders) < most:
            return
        idle = [name for name, loader in self._loaders.items() if loader.is_idle]
        if not idle:
            raise QueueFull(f"All loaders that BATCHLENS_MAX_LOADERS allows are open and busy: {most}.")
        self._begin_to_close(min(idle, key=self._uses.__getitem__))

    def _begin_to_close(self, name: Name) -> None:
        """Closes a loader in a thread of its own: nobody is to wait for its workers' end."""
        loader = self._loaders.pop(name)
        self._closing = [each for each in self._closing if each.is_alive()]
        self._closing.append(threading.Thread(target=loader.close, name=f"close {'/'.join(name)}"))
        self._closing[-1].start()

    def _executor(self, device_id: str) -> DeviceExecutor | None:
        """Gives the thread that renders on a device; None for the CPU, where workers do everything."""
        if device_id == "cpu":
            return None
        if device_id not in self._executors:
            self._executors[device_id] = DeviceExecutor(self._torch_device(device_id))
        return self._executors[device_id]


def _unknown(name: Name, loaders: Iterable[Name]) -> NotFound:
    return UnknownLoader.among("/".join(name), ["/".join(each) for each in loaders])
