"""One setting, measured: a fresh loader, a first epoch, later ones, and a consumer of the given speed. In this process, so what HTTP costs is not in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from service.errors import NotReady
from service.loading.accounts import LoaderLimits
from service.loading.memory_plan import MemoryPlan
from service.loading.registry import Registry
from service.tuning.consumer import IN_FLIGHT, Log, consume
from service.tuning.memory_bound import Footprint
from service.tuning.setting import Measurement, Setting
from service.tuning.waiting import images_per_second, share_waiting

if TYPE_CHECKING:
    from service.devices.inventory import Inventory
    from service.settings import Settings
    from service.tuning.subject import Subject
    from service.tuning.watch import MemoryWatch

Tell = Callable[[str], None]
"""Called before each part of a trial, with what it is about."""

PARTS = ("starting workers", "first epoch", "later epochs", "consumer")
"""The parts of a trial, as they are told."""

_START_SECONDS = 60.0
_LEAST_STEPS = 3 * IN_FLIGHT
_FAR_EPOCH = 1 << 20
"""Later than any before it comes to, so that no batch is there already."""

_TICK_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the consumer is.

    Attributes:
        seconds_per_batch: what it computes on a batch; used where `images_per_second` is None.
        images_per_second: what it could take at most.
    """

    seconds_per_batch: float
    images_per_second: float | None = None

    def compute_seconds(self, batch_size: int) -> float:
        """Says how long it computes on a batch."""
        return self.seconds_per_batch if self.images_per_second is None else batch_size / self.images_per_second


@dataclass(frozen=True, slots=True)
class Logs:
    """What the consumers of one setting lived.

    Attributes:
        first: the first epoch.
        later: later ones.
        computing: likewise, at the pace that was given.
    """

    first: Log
    later: Log
    computing: Log


@dataclass(frozen=True, slots=True)
class Trial:
    """How settings are measured.

    Attributes:
        settings: of the service; its number of workers is replaced.
        inventory: the devices.
        device_id: where to render.
        subject: what is read.
        pace: of the consumer.
        seconds: for each setting, a third of them for each part.
        watch: tells and bounds memory.
    """

    settings: Settings
    inventory: Inventory
    device_id: str
    subject: Subject
    pace: Pace
    seconds: float
    watch: MemoryWatch

    def run(self, setting: Setting, tell: Tell) -> tuple[Measurement, Footprint]:
        """Measures a setting; its workers are gone when this returns or raises.

        Raises:
            MemoryExceeded: more memory was taken than is allowed.
            BatchlensError: the loader could not do it.
        """
        idle_bytes = self.watch.taken_bytes()
        tell(PARTS[0])
        registry = Registry(self.limits(setting.workers), self.device_id, self.inventory.torch_device)
        try:
            logs, most_bytes = asyncio.run(self.watch.guard(self._consume(registry, setting.batch_size, tell)))
            footprint = self._footprint(registry, setting, logs, most_bytes, idle_bytes)
        finally:
            registry.close()
        return _sum_up(setting, logs, most_bytes, max(most_bytes, footprint.predict(self.effective(setting), IN_FLIGHT))), footprint

    def limits(self, workers: int) -> LoaderLimits:
        """Gives what a loader of so many workers may use."""
        settings = self.settings.model_copy(update={"workers": workers})
        return LoaderLimits.of(settings, MemoryPlan.of_machine(settings))

    def effective(self, setting: Setting) -> Setting:
        """Gives the setting with batches as large as the split has samples for."""
        return replace(setting, batch_size=min(setting.batch_size, len(self.subject.split)))

    def least_bytes(self) -> int:
        """Says what any setting takes in the long run, at the least: what is taken already, and the slab."""
        return self.watch.taken_bytes() + self.settings.slab_bytes

    async def _consume(self, registry: Registry, batch_size: int, tell: Tell) -> Logs:
        """Takes the first epoch, or what there is time for, then more epochs over the same samples; then again as the consumer of the given speed."""
        subject, part, pace = self.subject, self.seconds / 3, self.pace.compute_seconds(batch_size)
        await _start(registry, subject)
        tell(PARTS[1])
        first = await consume(registry, subject.orders(subject.samples, batch_size, 0), 0.0, part)
        seen = np.array(sorted(first.indices), dtype=np.int64)
        tell(PARTS[2])
        later = await consume(registry, subject.endless_orders(seen, batch_size, 1), 0.0, part, _LEAST_STEPS)
        tell(PARTS[3])
        computing = await consume(registry, subject.endless_orders(seen, batch_size, _FAR_EPOCH), pace, part, _LEAST_STEPS)
        return Logs(first, later, computing)

    def _footprint(self, registry: Registry, setting: Setting, logs: Logs, most_bytes: int, idle_bytes: int) -> Footprint:
        """Tells shared memory from the rest, and how much there will be of it when it is full."""
        report = registry.report(self.subject.dataset.name, self.subject.split.name)
        slab, arena = report["slab"], report.get("arena") or {"used_bytes": 0, "size_bytes": 0}
        decoded = arena["used_bytes"] * len(self.subject.split) // max(1, len(logs.first.indices))
        held = IN_FLIGHT * self.effective(setting).batch_size * logs.first.sample_bytes
        private = most_bytes - idle_bytes - slab["used_bytes"] - arena["used_bytes"] - held
        return Footprint(
            idle_bytes=idle_bytes,
            worker_bytes=max(0, private) // max(1, setting.workers),
            shared_bytes=slab["size_bytes"] + min(arena["size_bytes"], decoded),
            sample_bytes=logs.first.sample_bytes,
        )


def _sum_up(setting: Setting, logs: Logs, most_bytes: int, full_bytes: int) -> Measurement:
    steady, settled = logs.later.steps[IN_FLIGHT:], logs.computing.steps[IN_FLIGHT:]  # Those before found the pipeline empty.
    return Measurement(
        setting=setting,
        first_rate=images_per_second(logs.first.steps),
        steady_rate=images_per_second(steady),
        consumer_rate=images_per_second(settled),
        wait_share=share_waiting(settled),
        memory_bytes=most_bytes,
        full_bytes=full_bytes,
        samples=len(logs.first.indices),
        unreadable=len(logs.first.unreadable),
    )


async def _start(registry: Registry, subject: Subject) -> None:
    """Starts the loader of the one split, and waits until all of its workers live.

    Raises:
        NotReady: they do not come.
    """
    registry.start(replace(subject.dataset, splits={subject.split.name: subject.split}))
    ends = time.monotonic() + _START_SECONDS
    while True:
        try:
            registry.check_ready()
        except NotReady:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(_TICK_SECONDS)
        else:
            return
