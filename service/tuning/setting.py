"""What is tried, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from service.plural import count_of


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """What is tried.

    Attributes:
        workers: processes of the loader; 0 renders in the server itself.
        batch_size: samples in a batch.
    """

    workers: int
    batch_size: int

    def __str__(self) -> str:
        return f"{count_of(self.workers, 'worker')}, batch size {self.batch_size}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What came of it. Rates are images a second.

    Attributes:
        setting: what was tried.
        first_rate: of a consumer that only takes, in the first epoch: nothing has been decoded before.
        steady_rate: of the same in later epochs.
        consumer_rate: of a consumer of the given speed, in later epochs.
        wait_share: part of its time that this consumer waits for the loader, 0..1.
        memory_bytes: most that this process and its workers were seen to hold.
        full_bytes: what they hold in the long run, when the loader's shared memory is full.
        samples: different images that were read; the first epoch ends early where it takes too long.
        unreadable: those among them that could not be read.
    """

    setting: Setting
    first_rate: float
    steady_rate: float
    consumer_rate: float
    wait_share: float
    memory_bytes: int
    full_bytes: int
    samples: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A setting that is no choice.

    Attributes:
        setting: which.
        reason: why, one sentence.
    """

    setting: Setting
    reason: str


Result = Measurement | LeftOut
