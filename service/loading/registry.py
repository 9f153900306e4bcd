"""The loaders that are open, one for each split in use, and the device that they render on."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import torch

from service.errors import InsufficientMemory, NotFound, NotReady, QueueFull, ShuttingDown, UnknownLoader
from service.loading.accounts import LoaderLimits
from service.loading.arena import Budget
from service.loading.crew import GOODBYE_SECONDS
from service.loading.executor import DeviceExecutor
from service.loading.job import Delivery
from service.loading.loader import Loader
from service.loading.loans import Copies
from service.loading.order import Order
from service.loading.slab import Slab
from service.sources.source import Dataset

Name = tuple[str, str]
_LOG = logging.getLogger(__name__)
_TRIES = 3
"""Times that a request tries to open a loader while others are closed for it."""

_CLOSING_SECONDS = 5.0
"""Longest time that a request waits for a loader to close."""

_PAUSE_SECONDS = 10.0
"""Time after which readiness no longer counts a loader that could not be opened for want of threads or descriptors: the
next request that needs it shows whether they are there."""


class Registry:
    """Opens loaders when they are first needed and keeps them, as long as there are not too many. Thread-safe.

    Args:
        limits: what each loader may use.
        device_id: where to render at first.
        torch_device: turns a device's id into torch's device.
    """

    def __init__(self, limits: LoaderLimits, device_id: str, torch_device: Callable[[str], torch.device]) -> None:
        self._limits = limits
        self._budget = Budget(limits.arena_bytes)
        self._copies = Copies(limits.body_bytes)
        self._failed: dict[Name, str] = {}
        self._paused_until = 0.0
        self._device_id = device_id
        self._torch_device = torch_device
        self._lock = threading.Lock()
        self._loaders: dict[Name, Loader] = {}
        self._uses: dict[Name, int] = {}
        self._clock = itertools.count()
        self._closing: list[threading.Thread] = []
        self._executors: dict[str, DeviceExecutor] = {}
        self._is_ready = False
        self._is_closed = False

    def start(self, dataset: Dataset) -> None:
        """Open a first loader, so that the first request finds workers; returns at once.

        Where its memory cannot be had, the service is not ready.
        """
        with suppress(InsufficientMemory):  # Logged, and told by `check_ready`.
            self._open(dataset, next(iter(dataset.splits)))

    def check_ready(self) -> None:
        """Says whether batches can be rendered.

        Raises:
            NotReady: workers are still starting, or die as soon as they start, or there is no memory for a loader that
                was asked for.
            ShuttingDown: the registry is closed.
        """
        if self._is_closed:
            raise ShuttingDown("The service is shutting down.")
        with self._lock:
            loaders = list(self._loaders.values())  # None: all were closed on demand, and the next request opens one.
            self._check_failed()
        self._is_ready = self._is_ready or not loaders or any(loader.is_complete for loader in loaders)
        if not self._is_ready:
            raise NotReady("The workers are still starting.")
        if loaders and all(loader.is_failing for loader in loaders):
            raise NotReady("The workers of every loader die before they have done anything; the log says how.")

    @asynccontextmanager
    async def fetch(self, order: Order) -> AsyncIterator[Delivery]:
        """Renders an order with the loader of its split, which is opened if need be; the batch is valid inside the `async with`.

        A loader that is found is claimed before anything else runs on this event loop, so that it cannot be closed for another in between.

        Raises:
            BatchlensError: whatever stands in the way.
        """
        for _ in range(_TRIES - 1):
            try:
                loader = self._open(order.dataset, order.split.name)
            except InsufficientMemory:
                if not await asyncio.to_thread(self._wait_for_closing):
                    raise
            else:
                break
        else:
            loader = self._open(order.dataset, order.split.name)
        async with loader.fetch(order) as delivery:
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
        name = (dataset, split)
        with self._lock:
            if name not in self._loaders:
                raise _unknown(name, self._loaders)
            thread = self._begin_to_close(name, self._limits.deadline_seconds)
        thread.join()
        with self._lock:  # Not before: until then it holds what it has.
            self._share_images()

    def close_missing(self, dataset: Dataset) -> None:
        """Closes the loaders of splits that a dataset has no longer."""
        with self._lock:
            for name in [each for each in self._loaders if each[0] == dataset.name and each[1] not in dataset.splits]:
                self._begin_to_close(name)
            self._share_images()

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
                self._loaders[name] = self._new_loader(name, dataset)
                self._failed.pop(name, None)
                self._share_images()
            self._uses[name] = next(self._clock)
            return self._loaders[name]

    def _new_loader(self, name: Name, dataset: Dataset) -> Loader:
        """Return a loader that was not there before.

        Raises:
            InsufficientMemory: its memory, descriptors or threads cannot be had.
        """
        text, executor = "/".join(name), self._executor(self._device_id)
        try:
            return Loader(text, dataset.reader, self._limits, self._budget, self._device_id, executor, self._copies)
        except (InsufficientMemory, MemoryError, OSError, RuntimeError) as exc:
            reason = str(exc) or type(exc).__name__
            if self._failed.get(name) != reason:
                _LOG.warning("no loader can be opened for %s: %s", text, reason)
            self._failed[name] = reason
            if not isinstance(exc, InsufficientMemory | MemoryError):
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
            self._close_longest_idle()  # What it holds is what is missing.
            raise InsufficientMemory(f"No loader can be opened for {text}: {reason}") from exc

    def _make_room(self) -> None:
        """See to it that another loader may be opened: closes the one idle longest, where as many are open as may be.

        Raises:
            QueueFull: none is idle.
            InsufficientMemory: one is being closed; its memory is not free yet.
        """
        most = self._limits.loaders
        if len(self._loaders) >= most and not self._close_longest_idle():
            raise QueueFull(
                f"{most} loaders are open, as many as BATCHLENS_MAX_LOADERS and the memory allow, and all of them are busy.",
            )
        if len(self._loaders) + len(self._still_closing()) >= most:
            raise InsufficientMemory("Another loader is being closed to make room for this one.")

    def _close_longest_idle(self) -> bool:
        """Begin to close the loader that has been idle longest; return whether there was one."""
        idle = [name for name, loader in self._loaders.items() if loader.is_idle]
        if idle:
            self._begin_to_close(min(idle, key=self._uses.__getitem__))
        return bool(idle)

    def _share_images(self) -> None:
        """Give decoded images the memory that open loaders leave; those of the loaders used least recently go first."""
        self._budget.resize(self._limits.arena_bytes_beside(len(self._loaders)))
        for name in sorted(self._loaders, key=lambda each: self._uses.get(each, -1)):
            if self._budget.is_exceeded:
                self._loaders[name].drop_images()

    def _check_failed(self) -> None:
        """Look again whether there is memory for loaders that could not be opened; wait where something else was missing.

        Raises:
            NotReady: there still is none, or it is too early to try again.
        """
        if not self._failed:
            return
        name, reason = next(iter(self._failed.items()))
        not_ready = NotReady(f"No loader can be opened for {'/'.join(name)}: {reason}")
        try:
            Slab(self._limits.slab_bytes)
        except (InsufficientMemory, OSError) as exc:
            raise not_ready from exc
        if time.monotonic() < self._paused_until:
            raise not_ready
        self._failed.clear()

    def _still_closing(self) -> list[threading.Thread]:
        self._closing = [each for each in self._closing if each.is_alive()]
        return self._closing

    def _wait_for_closing(self) -> bool:
        """Wait until loaders that are being closed have given back their memory; return whether there were any."""
        with self._lock:
            closing = list(self._closing)
        ends = time.monotonic() + _CLOSING_SECONDS
        for thread in closing:
            thread.join(max(0.0, ends - time.monotonic()))
        return bool(closing)

    def _begin_to_close(self, name: Name, patience_seconds: float = GOODBYE_SECONDS) -> threading.Thread:
        """Close a loader in a thread of its own, so that no request waits for the end of its workers."""
        loader = self._loaders.pop(name)
        thread = threading.Thread(target=loader.close, args=(patience_seconds,), name=f"close {'/'.join(name)}")
        self._closing = [*self._still_closing(), thread]
        thread.start()
        return thread

    def _executor(self, device_id: str) -> DeviceExecutor | None:
        """Gives the thread that renders on a device; None for the CPU, where workers do everything."""
        if device_id == "cpu":
            return None
        if device_id not in self._executors:
            self._executors[device_id] = DeviceExecutor(self._torch_device(device_id))
        return self._executors[device_id]


def _unknown(name: Name, loaders: Iterable[Name]) -> NotFound:
    return UnknownLoader.among("/".join(name), ["/".join(each) for each in loaders])
