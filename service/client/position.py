"""A place in training: the next batch, and everything that decides which samples come from there on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.client.errors import DatasetChanged, PositionMismatch
from service.planning.address import Address
from service.plural import count_of

_FORMAT = 1
_ORIGIN = "worker_origin"
_SHARED = ("dataset", "split", "recipe", "seed", "shuffle", "drop_last", "on_error")


@dataclass(frozen=True, slots=True)
class Position:
    """The batch that comes next.

    Attributes:
        epoch: which pass over the split.
        step: how many steps of it are done; as many as the epoch has where only its end is left.
        origin: in a worker of a DataLoader, the step at which the workers began to share the pass; None elsewhere.
    """

    epoch: int
    step: int = 0
    origin: int | None = None

    def skip_end(self, steps: int) -> "Position":
        """Return the beginning of the next epoch if nothing but the end of this one is left.

        A worker's position stays: its share of a pass may end before the pass does.
        """
        return Position(self.epoch + 1) if self.origin is None and self.step >= steps else self

    def in_worker(self) -> "Position":
        """Return this position as that of a worker of a DataLoader, whose pass begins here unless it began earlier."""
        return self if self.origin is not None else replace(self, origin=self.step)

    def share(self, steps: int, worker: int, workers: int) -> range:
        """Return the steps from here to the end that one worker of a DataLoader reads.

        Every step counts from where the pass began, so each is read once even if the workers go on from different places. A DataLoader takes from its
        workers in turn, so the batches come out in order.

        Args:
            steps: in an epoch.
            worker: which one, from 0.
            workers: number of workers.
        """
        done = 0 if self.origin is None else self.step - self.origin
        return range(self.step + (worker - done) % workers, steps, workers)


def save_position(position: Position, address: Address) -> dict[str, Any]:
    """Writes a position as a dictionary of plain values, the same on every rank.

    Args:
        position: the batch that comes next.
        address: of any batch of the same loader.
    """
    shared = {name: getattr(address, name) for name in _SHARED}
    if address.max_resolution is not None:
        shared["max_resolution"] = address.max_resolution
    if position.origin is not None:
        shared[_ORIGIN] = position.origin
    samples = address.batch_size * address.world_size
    return {"format": _FORMAT, **shared, "version": address.version, "samples_in_step": samples, "epoch": position.epoch, "step": position.step}


def load_position(state: Mapping[str, Any], address: Address, steps: int) -> Position:
    """Reads a position for a loader.

    The number of ranks may be another as long as batch_size * world_size is the same: then step k means the same samples.

    Args:
        state: what `save_position` gave, in whatever run.
        address: of any batch of the loader.
        steps: in an epoch of the loader.

    Raises:
        DatasetChanged: the position was saved on another version of the dataset.
        PositionMismatch: something else differs; names each and says what is allowed.
    """
    try:
        saved = {"max_resolution": None, **state}
        origin = saved.get(_ORIGIN)
        position = Position(int(saved["epoch"]), int(saved["step"]), None if origin is None else int(origin))
        expected = {"max_resolution": None, **save_position(position, address)}
        differing = {name: (saved[name], value) for name, value in expected.items() if saved[name] != value}
    except (KeyError, TypeError, ValueError) as exc:
        raise PositionMismatch(f"This is no state of a RemoteLoader: {type(exc).__name__}: {exc}.", differing=[]) from exc
    if differing.keys() == {"version"}:
        raise DatasetChanged(
            f"The position was saved on version {saved['version']!r} of {address.dataset!r}; now it is {address.version!r}.", current=address.version
        )
    if differing:
        told = "; ".join(f"{name}: {old!r} then, {new!r} now" for name, (old, new) in differing.items())
        hint = " Keep batch_size * world_size the same when the number of ranks changes." if "samples_in_step" in differing else ""
        raise PositionMismatch(f"The saved position does not fit this loader. {told}.{hint}", differing=sorted(differing))
    if position.epoch < 0 or not 0 <= position.step <= steps:
        raise PositionMismatch(
            f"Epoch {position.epoch}, step {position.step} does not exist: an epoch has {count_of(steps, 'step')}.", differing=["epoch", "step"]
        )
    return position
