"""What a loader learns from its work: how large samples get, which batches end workers, when to pause. Bounded; not thread-safe: its loader holds a lock."""

import time
from collections import OrderedDict
from typing import Any, TypeAlias

from service.errors import BatchTooLarge, RenderCrashed
from service.loading.job import Job
from service.loading.order import Order
from service.plural import count_of

_Culprit: TypeAlias = tuple[str, str, int]
"""Version, recipe, index."""

_GUESS_BYTES = 1 << 20
_MARGIN = 4
"""A quarter more than the largest batch so far had for each sample: what is too much is given back, what is too little has to be rendered again."""

_MOST_GUESSED = 4
"""A guess takes a quarter of the memory at the most, so that one batch cannot push all others out."""

_REMEMBERED = 256
_CRASH_SECONDS = 600.0
_FRUITLESS_DEATHS = 3
_LONGEST_PAUSE_SECONDS = 5.0


class SampleSizes:
    """How large the samples of a recipe get whose shape is not known beforehand. A batch that turns out larger than its guess is rendered once more."""

    def __init__(self) -> None:
        self._largest: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def estimate(self, job: Job, available_bytes: int) -> int:
        """Says how large a slot a job needs.

        Raises:
            BatchTooLarge: larger than all that there is.
        """
        exact = job.needed_bytes or len(job.order) * (job.known_sample_bytes or 0)
        if exact > available_bytes:
            raise BatchTooLarge(
                f"A batch of {count_of(len(job.order), 'sample')} needs {exact:,} bytes with this recipe; a loader has {available_bytes:,} for batches."
                " Ask for a smaller batch_size, or raise BATCHLENS_SLAB_BYTES and, where a memory limit has lowered it, that limit.",
                needed_bytes=exact,
                available_bytes=available_bytes,
            )
        known = self._largest.get(job.size_key)
        guess = len(job.order) * (_GUESS_BYTES if known is None else known + known // _MARGIN)
        return exact or min(guess, max(1, available_bytes // _MOST_GUESSED))

    def least(self, job: Job) -> int:
        """Says how many bytes a job is known to need at least, or has needed before; 0 where nothing is known of its samples."""
        return len(job.order) * (job.known_sample_bytes or self._largest.get(job.size_key, 0))

    def learn(self, job: Job) -> None:
        """Takes note of a job that needed more than it was given."""
        self._add(job, job.needed_bytes)

    def note(self, job: Job) -> None:
        """Takes note of a job that is done, whose size had to be guessed."""
        if len(job.order):
            self._add(job, job.used_bytes)

    def _add(self, job: Job, size_bytes: int) -> None:
        per_sample = -(-size_bytes // len(job.order))
        self._largest[job.size_key] = max(self._largest.get(job.size_key, 0), per_sample)
        _trim(self._largest)


class Crashes:
    """Samples that have ended their workers too often; what holds one is refused for ten minutes, since what ended them may pass.

    At first one order alone is refused; once a second one fails on the same sample and recipe, every order that holds it is, whatever its seed and epoch: else
    each of them would cost two more crews.
    """

    def __init__(self) -> None:
        self._orders: OrderedDict[str, tuple[float, _Culprit, RenderCrashed]] = OrderedDict()
        self._samples: OrderedDict[_Culprit, tuple[float, RenderCrashed]] = OrderedDict()

    def holds(self, key: str) -> bool:
        """Says whether an order has crashed itself."""
        return key in self._orders

    def refuses(self, order: Order) -> bool:
        """Says whether `check` raises."""
        try:
            self.check(order)
        except RenderCrashed:
            return True
        return False

    def check(self, order: Order) -> None:
        """Raises RenderCrashed for an order that has crashed lately, or holds a sample that has crashed others."""
        now = time.monotonic()
        _forget(self._orders, now)
        _forget(self._samples, now)
        if order.key in self._orders:
            raise _copy(self._orders[order.key][2])
        for (version, recipe, index), (_, error) in self._samples.items():
            if (version, recipe) == (order.address.version, order.address.recipe) and index in order.plan.indices:
                raise _copy(error)

    def add(self, job: Job, position: int) -> RenderCrashed:
        """Takes note of a crash, and gives the error that names the sample."""
        address, index, label = job.order.address, int(job.order.plan.indices[position]), job.order.file(position).label
        error = RenderCrashed(f"Rendering sample {index} ({label}) has ended its worker process again and again.", sample=index, file=label)
        now, culprit = time.monotonic(), (address.version, address.recipe, index)
        if any(key != job.order.key and other == culprit for key, (_, other, _) in self._orders.items()):
            self._samples[culprit] = (now, error)
            _trim(self._samples)
        self._orders[job.order.key] = (now, culprit, error)
        _trim(self._orders)
        return _copy(error)


class Setbacks:
    """Workers that die before they have done anything: new ones come after longer and longer pauses."""

    def __init__(self) -> None:
        self._fruitless = 0

    @property
    def is_lasting(self) -> bool:
        """Whether there were so many in a row that new workers come after pauses only."""
        return self._fruitless > _FRUITLESS_DEATHS

    def clear(self) -> None:
        """Takes note of work done."""
        self._fruitless = 0

    def add(self) -> float:
        """Takes note of a death; gives the seconds to wait."""
        self._fruitless += 1
        late = self._fruitless - _FRUITLESS_DEATHS
        return min(_LONGEST_PAUSE_SECONDS, 0.1 * 2 ** min(10, late)) if late > 0 else 0.0


def _forget(crashed: OrderedDict[Any, Any], now_seconds: float) -> None:
    """Drops what is ten minutes old; the oldest come first."""
    while crashed and now_seconds - next(iter(crashed.values()))[0] > _CRASH_SECONDS:
        crashed.popitem(last=False)


def _copy(error: RenderCrashed) -> RenderCrashed:
    """Gives an error of its own to each who raises it: a traceback hangs on it."""
    return RenderCrashed(error.detail, **error.facts)


def _trim(memory: OrderedDict[Any, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
