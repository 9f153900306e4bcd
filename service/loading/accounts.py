"""What loaders may use, and what one has done."""

from dataclasses import dataclass
from typing import Self

from service.loading.memory_plan import MemoryPlan
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class LoaderLimits:
    """What loaders may use.

    Attributes:
        workers: processes of each; 0 renders in the server.
        slab_bytes: shared memory of each for batches.
        queue_length: jobs that may wait in each.
        deadline_seconds: longest time a batch may take.
        arena_bytes: shared memory for decoded photos, of all loaders together.
        loaders: that may be open at once.
        plan: how the memory is shared out; None where nothing bounds it.
        most_sample_bytes: largest result of one sample that is no fault of its image; None for `slab_bytes`.
    """

    workers: int
    slab_bytes: int
    queue_length: int
    deadline_seconds: float
    arena_bytes: int
    loaders: int = 16
    plan: MemoryPlan | None = None
    most_sample_bytes: int | None = None

    @classmethod
    def of(cls, settings: Settings, plan: MemoryPlan) -> Self:
        """Return the limits of loaders, within what the memory has been shared out for.

        Which samples are masked follows from the settings alone: memory differs between machines and between starts.
        """
        return cls(
            workers=settings.workers,
            slab_bytes=plan.slab_bytes,
            queue_length=settings.queue_length,
            deadline_seconds=settings.deadline_seconds,
            arena_bytes=plan.arena_bytes,
            loaders=plan.loaders,
            plan=plan,
            most_sample_bytes=settings.slab_bytes,
        )

    @property
    def body_bytes(self) -> int:
        """Memory for copies of batches that are being sent, of all loaders together."""
        return self.slab_bytes if self.plan is None else self.plan.body_bytes

    def arena_bytes_beside(self, loaders: int) -> int:
        """Return how much memory decoded images may take while so many loaders are open."""
        return self.arena_bytes if self.plan is None else self.plan.arena_bytes_beside(loaders)


@dataclass(slots=True)
class Counts:
    """What a loader has done since it was opened.

    Attributes:
        served: batches handed out.
        rendered: batches rendered.
        images: images in them.
        reused: requests that shared or found a batch made for another.
        ahead: batches begun before anybody asked for them.
        refused: requests turned away because the queue was full.
        restarts: times that the workers were replaced.
    """

    served: int = 0
    rendered: int = 0
    images: int = 0
    reused: int = 0
    ahead: int = 0
    refused: int = 0
    restarts: int = 0
