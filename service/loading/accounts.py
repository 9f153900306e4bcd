"""What a loader may use, and what it has done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoaderLimits:
    """What a loader may use.

    Attributes:
        workers: processes; 0 renders in the server.
        slab_bytes: shared memory for batches.
        queue_length: jobs that may wait.
        deadline_seconds: longest time a batch may take.
    """

    workers: int
    slab_bytes: int
    queue_length: int
    deadline_seconds: float


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
