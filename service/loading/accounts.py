"""What loaders may use, and what one has done."""

from dataclasses import dataclass
from typing import Self

from service.settings import Settings

_ARENA_SHARE = 4


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
    """

    workers: int
    slab_bytes: int
    queue_length: int
    deadline_seconds: float
    arena_bytes: int
    loaders: int = 16

    @classmethod
    def of(cls, settings: Settings, memory_bytes: int) -> Self:
        """Reads the limits from the settings.

        Args:
            settings: of the service.
            memory_bytes: what the machine has; a quarter of it is for decoded photos where the settings do not say.
        """
        arena_bytes = memory_bytes // _ARENA_SHARE if settings.arena_bytes is None else settings.arena_bytes
        return cls(settings.workers, settings.slab_bytes, settings.queue_length, settings.deadline_seconds, arena_bytes, settings.max_loaders)


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
