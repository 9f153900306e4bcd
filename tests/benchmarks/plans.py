"""What planning a batch costs, against the size of the split."""

import time
import tracemalloc
from dataclasses import dataclass
from functools import partial

from service.planning.address import Address
from service.planning.plan import make_plan
from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import BATCH_SIZE, Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.spread import Spread

_EXPONENTS = range(3, 9)
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Row:
    """The plan of a batch of 64, steps spread over the epoch.

    Attributes:
        size: samples in the split.
        seconds: for one plan.
        peak_bytes: most memory that Python and NumPy held for one at a time, the result included.
    """

    size: int
    seconds: Spread
    peak_bytes: int


def count_steps(_: Effort) -> int:
    """Says how often `measure` tells about a step."""
    return len(_EXPONENTS)


def measure(_: Ground, effort: Effort, tell: Tell, heart: Heartbeat) -> tuple[Row, ...]:
    """Measures all sizes."""
    return tuple(heart.undisturbed(partial(_measure_size, 10**exponent, effort, tell)) for exponent in _EXPONENTS)


def _measure_size(size: int, effort: Effort, tell: Tell) -> Row:
    tell(f"plans of {size:,} samples")
    steps = [size // BATCH_SIZE * part // _STEPS for part in range(_STEPS)]
    addresses = [Address("d", "v", "s", "r", 0, epoch, step, BATCH_SIZE, True, False, 0, 1, "uint8") for epoch in range(effort.runs) for step in steps]
    make_plan(addresses[0], size)
    taken = [_time(address, size) for address in addresses]
    tracemalloc.start()
    for address in addresses[:_STEPS]:
        make_plan(address, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Row(size, Spread.of(taken), peak)


def _time(address: Address, size: int) -> float:
    begun = time.perf_counter()
    make_plan(address, size)
    return time.perf_counter() - begun
