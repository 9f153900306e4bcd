"""How the memory of the machine, or of the control group, is shared out among service, workers, batches and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from service.errors import MemoryTooSmall
from service.processor import Memory, Processor
from service.settings import MEBIBYTE, Settings

WORKER_BYTES = 64 * MEBIBYTE
"""Memory of one worker beside what it shares with the process it is forked from: 15 MiB at rest, 25 to 40 MiB after
batches of 64 images of 224 x 224 (measured), and the pixels that it works on."""

_IMAGES_SHARE = 4
_LEAST_SLAB_BYTES = 16 * MEBIBYTE
_RESERVE_SHARE = 10
_MOST_RESERVE_BYTES = 512 * MEBIBYTE
_LOADERS_WISHED = 2
"""Training and validation are read by turns; memory for batches shrinks until both loaders fit."""

_THREADS_SPACE_BYTES = 512 * MEBIBYTE
"""Address space of the threads that one loader adds to the server: stacks of 8 MiB, heaps of 64 MiB (measured: 430 MiB
for all of them)."""

_SPARE_SPACE_BYTES = 1024 * MEBIBYTE
"""Address space that a process needs beside what it has mapped when it starts: the server for the threads that encode,
a worker for the images that it decodes."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Who may take how much of the memory, in bytes.

    Attributes:
        limit_bytes: the whole.
        service_bytes: the server and the process that workers are forked from.
        reserve_bytes: left free, for the kernel and for what cannot be foreseen.
        worker_bytes: the workers of one loader.
        slab_bytes: rendered batches of one loader.
        body_bytes: copies of batches that are being sent, of all loaders together.
        arena_bytes: decoded images, of all loaders together; less while more loaders are open than fit beside it.
        loaders: that may be open at once.
        space_bytes: address space that each process may have; None where that is not limited.
    """

    limit_bytes: int
    service_bytes: int
    reserve_bytes: int
    worker_bytes: int
    slab_bytes: int
    body_bytes: int
    arena_bytes: int
    loaders: int
    space_bytes: int | None = None

    @classmethod
    def of_machine(cls, settings: Settings) -> Self:
        """Share out what this process may use now that everything is loaded; raises what `of` raises."""
        processor = Processor()
        return cls.of(settings, processor.memory(), _service_bytes(settings.workers, processor), processor.address_space())

    @classmethod
    def of(
        cls,
        settings: Settings,
        memory: Memory,
        service_bytes: int = 0,
        address_space: Memory | None = None,
    ) -> Self:
        """Share the memory out, with less than the settings say for batches and images where not so much is there.

        Args:
            settings: of the service.
            memory: what there is.
            service_bytes: what the service takes without any loader, measured.
            address_space: a limit of virtual memory that holds for each process, and what it leaves to this one;
                None where there is none.

        Raises:
            MemoryTooSmall: not even one loader fits.
        """
        workers = settings.workers * WORKER_BYTES
        reserve = min(memory.total_bytes // _RESERVE_SHARE, _MOST_RESERVE_BYTES)
        most_slab, most_images, most_loaders = _fit_address_space(settings, memory, address_space)
        left = memory.total_bytes - service_bytes - reserve
        counts = range(min(_LOADERS_WISHED, most_loaders), 0, -1)
        shares = [(left - loaders * workers) // (loaders + 2) for loaders in counts]  # One for bodies, one for images.
        least = min(_LEAST_SLAB_BYTES, most_slab)
        share = next((each for each in shares if each >= least), None)
        if share is None:
            needed = service_bytes + reserve + workers + 3 * least
            raise MemoryTooSmall(
                f"There are {_gib(memory.total_bytes)} GiB of memory; the service needs {_gib(needed)} GiB"
                f" with {settings.workers} workers. Raise the limit, or lower BATCHLENS_WORKERS."
            )
        slab = min(most_slab, share)
        pool = left - slab
        images = max(0, min(most_images, pool - slab - workers))
        loaders = min(most_loaders, max(1, pool // (slab + workers)))
        space = None if address_space is None else address_space.total_bytes
        return cls(memory.total_bytes, service_bytes, reserve, workers, slab, slab, images, loaders, space)

    def arena_bytes_beside(self, loaders: int) -> int:
        """Return how much memory decoded images may take while so many loaders are open."""
        taken = self.service_bytes + self.reserve_bytes + self.body_bytes
        taken += loaders * (self.slab_bytes + self.worker_bytes)
        return max(0, min(self.arena_bytes, self.limit_bytes - taken))

    def is_less_than(self, settings: Settings) -> bool:
        """Whether batches or images get less memory than the settings say."""
        return self.slab_bytes < settings.slab_bytes or self.arena_bytes < (settings.arena_bytes or 0)

    def __str__(self) -> str:
        """Return the plan as a sentence for the log."""
        space, loaders = "", f"up to {self.loaders} loaders can be open"
        if self.space_bytes is not None:
            space = f" (and {_gib(self.space_bytes)} GiB of address space for each process)"
        if self.loaders == 1:
            loaders = "one loader can be open at a time"
        return (
            f"Of {_gib(self.limit_bytes)} GiB of memory{space}, {_gib(self.service_bytes)} are for the service itself,"
            f" {_gib(self.worker_bytes)} for the workers of a loader, {_gib(self.slab_bytes)} for its batches,"
            f" {_gib(self.body_bytes)} for batches being sent and {_gib(self.arena_bytes)} for decoded images,"
            f" which further loaders take from; {loaders}."
        )


def _service_bytes(workers: int, processor: Processor) -> int:
    """Return what the service takes now that everything is loaded, without any loader.

    The process that workers are forked from loads what this one has loaded, and workers share it (measured: both have
    the same within 10 %).
    """
    return processor.private_bytes() * (2 if workers else 1)


def _fit_address_space(settings: Settings, memory: Memory, address_space: Memory | None) -> tuple[int, int, int]:
    """Return the most bytes for a loader's batches and for decoded images, and the most loaders, that can be mapped.

    The server maps the batches of each loader, a worker those of its own loader and the decoded images; without
    workers, the server maps both for each.
    """
    slab, loaders = settings.slab_bytes, settings.max_loaders
    images = memory.total_bytes // _IMAGES_SHARE if settings.arena_bytes is None else settings.arena_bytes
    if address_space is None:
        return slab, images, loaders
    left = max(0, (address_space.free_bytes or 0) - _SPARE_SPACE_BYTES)
    shares = [left // each - _THREADS_SPACE_BYTES for each in range(min(_LOADERS_WISHED, loaders), 0, -1)]
    parts = 1 if settings.workers else 2
    share = next((each // parts for each in shares if each // parts >= min(_LEAST_SLAB_BYTES, slab)), None)
    if share is None:
        taken = address_space.total_bytes - (address_space.free_bytes or 0)
        needed = taken + _SPARE_SPACE_BYTES + _THREADS_SPACE_BYTES + parts * min(_LEAST_SLAB_BYTES, slab)
        raise MemoryTooSmall(
            f"A process may have {_gib(address_space.total_bytes)} GiB of address space (ulimit -v); the service needs {_gib(needed)} GiB. Raise that limit.",
        )
    slab = min(slab, share)
    images = min(images, left - slab if settings.workers else share)
    each = _THREADS_SPACE_BYTES + slab + (0 if settings.workers else images)
    return slab, images, min(loaders, max(1, left // each))


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.2f}"
