"""From what the user wants to a report: checks it, measures it, and tells how far it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.devices.inventory import Inventory
from service.devices.selection import Selection
from service.errors import InvalidParameter
from service.processor import Processor
from service.settings import read_settings
from service.sources.source import no_progress
from service.tuning.family import Family
from service.tuning.load import Load
from service.tuning.memory_bound import MemoryBound
from service.tuning.report import Report
from service.tuning.setting import Result
from service.tuning.subject import Subject
from service.tuning.trial import PARTS, Pace, Trial
from service.tuning.tuner import list_settings, tune, worker_counts
from service.tuning.watch import MemoryWatch

if TYPE_CHECKING:
    from service.settings import Settings
    from service.sources.source import Progress

_DEFAULT_FRACTION = 0.8
_LOOK_SECONDS = 0.5
_TUTORIAL_MS = 100.0
"""What PyTorch's tutorial supposes that a GPU computes on a batch."""

Show = Callable[[str, int, int], None]
"""Called with what is done now, how many parts are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user said; None where nothing.

    Attributes:
        dataset: name of the one to read.
        split: of its part.
        recipe: a name or text.
        workers: numbers to try, as text: "0,1,2".
        batch_sizes: likewise.
        consumer_ms: what the consumer computes on a batch, in milliseconds.
        consumer_images_per_second: or what it takes at most.
        memory_bytes: most that may be taken in all.
        memory_fraction: or which part of the free memory may be taken in addition, 0..1.
        seconds_per_setting: for measuring each setting.
    """

    dataset: str | None = None
    split: str | None = None
    recipe: str | None = None
    workers: str | None = None
    batch_sizes: str = "16,64"
    consumer_ms: float | None = None
    consumer_images_per_second: float | None = None
    memory_bytes: int | None = None
    memory_fraction: float | None = None
    seconds_per_setting: float = 6.0


class Tuning:
    """One tuning of the service on this machine. Results gather while it runs, so that an interrupted one has some, too.

    Args:
        settings: of the service.
        wishes: of the user.
        progress: told while datasets are listed.

    Raises:
        InvalidParameter, InvalidSettings: a wish cannot be granted; names it and says what is allowed.
        BatchlensError: the dataset, split, recipe or device does not exist.
    """

    def __init__(self, settings: Settings, wishes: Wishes, progress: Progress = no_progress) -> None:
        processor, self._inventory = Processor(), Inventory()
        pace = _read_pace(wishes)
        workers = _read_numbers("--workers", wishes.workers) if wishes.workers else worker_counts(processor.count())
        sizes = _read_numbers("--batch-sizes", wishes.batch_sizes)
        _check(settings, workers, sizes)
        self._settings = list_settings(workers, sizes)
        family = Family()
        bound = _read_bound(wishes, processor, family.memory_bytes())
        subject = Subject.find(settings, wishes.dataset, wishes.split, wishes.recipe, progress)
        device = Selection(self._inventory, settings.device).id
        watch = MemoryWatch(bound, family, processor)
        self._trial = Trial(settings, self._inventory, device, subject, pace, wishes.seconds_per_setting, watch)
        self._results: list[Result] = []
        self._load = Load(family, processor.count())
        self.report = Report(subject, pace, bound, processor.count(), self._results, self._load)

    def run(self, show: Show, warn: Callable[[str], None] = lambda _: None) -> None:
        """Measures all settings; whatever ends it, no workers are left.

        Args:
            show: told how far it is.
            warn: told at once if the machine is busy with other things.

        Raises:
            BatchlensError: what stands in the way of every setting.
        """
        total, done = len(PARTS) * len(self._settings), 0

        def tell(part: str) -> None:
            setting = self._settings[len(self._results)]
            show(f"{setting}: {part}", done + PARTS.index(part), total)

        show("looking whether the machine is busy", 0, total)
        self._look(warn)
        started = self._load.read()
        show("reading files", 0, total)
        self._trial.subject.read_files(self._trial.seconds)
        try:
            with closing(tune(self._trial, self._settings, tell)) as results:
                for result in results:
                    self._results.append(result)
                    done += len(PARTS)
        finally:
            self._load.during = self._load.since(started)
            self._inventory.close()
        show("done", total, total)

    def _look(self, warn: Callable[[str], None]) -> None:
        started = self._load.read()
        time.sleep(_LOOK_SECONDS)
        self._load.before = self._load.since(started)
        if self._load.is_busy:
            warn(f"The machine is busy: other programs use {self._load.before:.1f} of its processors. What is measured now is uncertain.")


def _read_pace(wishes: Wishes) -> Pace:
    if wishes.consumer_ms is not None and wishes.consumer_images_per_second is not None:
        raise InvalidParameter("--consumer-ms and --consumer-images-per-second say the same thing; give one of them.")
    milliseconds = _TUTORIAL_MS if wishes.consumer_ms is None else wishes.consumer_ms
    return Pace(milliseconds / 1000, wishes.consumer_images_per_second)


def _read_bound(wishes: Wishes, processor: Processor, taken_bytes: int) -> MemoryBound:
    if wishes.memory_bytes is not None and wishes.memory_fraction is not None:
        raise InvalidParameter("--memory-bytes and --memory-fraction bound the same thing; give one of them.")
    fraction = _DEFAULT_FRACTION if wishes.memory_fraction is None else wishes.memory_fraction
    return MemoryBound.of(processor.memory(), taken_bytes, allowed_bytes=wishes.memory_bytes, fraction=fraction)


def _read_numbers(flag: str, text: str) -> list[int]:
    if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*", text, re.ASCII):
        raise InvalidParameter(f"{flag} {text[:60]!r} is no list of whole numbers like 0,1,2.")
    return [int(each) for each in text.split(",")]


def _check(settings: Settings, workers: list[int] | tuple[int, ...], sizes: list[int]) -> None:
    read_settings(workers=max(workers))  # It knows what is allowed.
    for size in sizes:
        if not 1 <= size <= settings.max_batch_size:
            raise InvalidParameter(f"--batch-sizes: {size} is not between 1 and {settings.max_batch_size} (BATCHLENS_MAX_BATCH_SIZE).")
