"""Reading epochs: passes, their connections, and where the loader is."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from service.client.cursor import Cursor, PassStart
from service.client.delivery import Arrays, Delivery
from service.client.description import Description
from service.client.epoch_pass import EpochPass
from service.client.errors import PositionUnknown
from service.client.gradient_sync import EpochEnd
from service.client.keeper import SessionKeeper
from service.client.position import Position, load_position, save_position
from service.client.prefetch import fetch_ahead
from service.client.ranks import Ranks
from service.client.session import Session
from service.client.share import Share, Uneven
from service.client.worker_reads import WorkerReads, find_worker
from service.planning.address import Address

MapFn = Callable[[tuple[Any, ...]], Any]


class EpochReader:
    """Reads a split's epochs for one rank, which is settled at the first use.

    Args:
        description: what is read.
        ranks: who reads.
        uneven: see `Share`; None for "share" with a warning if that leaves ranks without samples.
        sessions: where connections come from.
        delivery: makes batches of answers.
        map_fn: makes of a batch what is yielded; None to leave it as it is.
        prefetch: batches to fetch ahead.
    """

    def __init__(
        self,
        description: Description,
        ranks: Ranks,
        uneven: Uneven | None,
        sessions: SessionKeeper,
        delivery: Delivery,
        map_fn: MapFn | None,
        prefetch: int,
    ) -> None:
        self.description = description
        self.ranks = ranks
        self._uneven = uneven
        self._sessions = sessions
        self._delivery = delivery
        self._map_fn = map_fn
        self._prefetch = prefetch
        self._share: Share | None = None
        self._cursor = Cursor()
        self._worker_reads = WorkerReads()
        self._passes: weakref.WeakSet[EpochPass] = weakref.WeakSet()
        self._latest: weakref.ref[EpochPass] | None = None

    def __getstate__(self) -> dict[str, Any]:
        self.ranks.settle_in_group()
        cursor = Cursor()
        cursor.__dict__.update(self._cursor.__dict__)
        cursor.rewind_to_position(None if self._share is None else self._share.steps)
        return {**self.__dict__, "_cursor": cursor, "_passes": None, "_latest": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._passes = weakref.WeakSet()

    @property
    def position(self) -> Position:
        """The batch that comes next, as far as this process knows."""
        return self._cursor.position

    @property
    def share(self) -> Share:
        """What this rank reads; settles the ranks.

        Raises:
            RanksChanged: they were settled before a process group came up that says otherwise.
        """
        rank, world_size = self.ranks.settle()
        if self._share is None:
            address = replace(self.description.address, rank=rank, world_size=world_size)
            self._share = Share(address, self.description.size, self._uneven or "share")
            if self._uneven is None and self._share.has_empty_batch and find_worker() is None:
                warnings.warn(
                    f"The last step of {address.dataset}/{address.split} has fewer samples than there are ranks: some of the {world_size} ranks get an empty"
                    " batch, whose mean loss is NaN. Choose uneven='pad' or 'drop', or 'share' to keep it without this warning.",
                    stacklevel=2,
                )
        return self._share

    def begin(self) -> EpochPass:
        """Begin the next pass; its epoch is fixed from now on."""
        share = self.share
        if find_worker() is None:
            self._worker_reads.clear()
        begun = EpochPass(self._cursor.take(), partial(self._read, share), self._give_up)
        self._passes.add(begun)
        self._latest = weakref.ref(begun)
        return begun

    def read_from(self, position: Position) -> EpochPass:
        """Begin a pass at a position."""
        self._cursor.choose(position, self.share.steps)
        return self.begin()

    def read_batch(self, position: Position) -> Any:  # noqa: ANN401  whatever `map_fn` makes
        """Read one batch, in a worker of a DataLoader."""
        self._worker_reads.mark()
        session = self._sessions.take()
        try:
            arrays = self._fetch(self.share, session, position.epoch, position.step)
        except BaseException:
            session.close()
            raise
        self._sessions.keep(session)
        return self._hand_over(arrays)

    def take_keys(self) -> list[tuple[int, int]]:
        """Begin the next pass for somebody who reads its batches by (epoch, step); return these."""
        steps = self.share.steps
        self._worker_reads.clear()
        start = self._cursor.take().position
        return [(start.epoch, step) for step in range(start.step, steps)]

    def choose_epoch(self, epoch: int) -> None:
        """See `Cursor.choose_epoch`."""
        self._worker_reads.clear()
        self._cursor.choose_epoch(epoch)

    def redirect(self, epoch: int) -> None:
        """Make the next pass the one of this epoch; if the latest has given no batch yet, that pass."""
        latest = None if self._latest is None else self._latest()
        if latest is None or latest.has_begun:
            self.choose_epoch(epoch)
        elif latest.start.position.epoch != epoch:
            self._cursor.give_back(latest.start)
            self._cursor.choose_epoch(epoch)
            latest.start = self._cursor.take()

    def skip(self, steps: int) -> None:
        """Leave out the next steps of the next pass."""
        share, start = self.share, self._cursor.next_start
        self._cursor.choose(Position(start.epoch, min(start.step + steps, share.steps)), share.steps)

    def save(self) -> dict[str, Any]:
        """Return the position as plain values.

        Raises:
            PositionUnknown: workers of a DataLoader read.
        """
        if find_worker() is None and self._worker_reads.is_marked:
            raise PositionUnknown(
                "Workers of a DataLoader read copies of this loader, and how many of their batches were used is known to that DataLoader alone. Save the"
                " state of torchdata's StatefulDataLoader, or count the batches and use set_epoch and skip_batches."
            )
        return save_position(self._cursor.position, self.share.address)

    def load(self, state: Mapping[str, Any]) -> None:
        """Make the next pass go on at a saved position; raises what `load_position` raises."""
        share = self.share
        position = load_position(state, share.address, share.steps)
        self._cursor.choose(position if find_worker() is not None else replace(position, origin=None), share.steps)
        self._worker_reads.clear()

    def close(self) -> None:
        """Close the connections that are kept, and end the passes that are under way."""
        for each in list(self._passes):
            each.abort()
        self._sessions.close()

    def _give_up(self, start: PassStart) -> None:
        """Forget a pass that gave no batch. torchdata begins one and, before it drops that, another, of which it expects the same."""
        latest = None if self._latest is None else self._latest()
        if latest is None or latest.has_begun:
            self._cursor.give_back(start)
        else:
            latest.start = self._cursor.take_over(start, latest.start) or latest.start

    def _read(self, share: Share, start: PassStart) -> Generator[Any, None, None]:
        """Yield a pass's batches."""
        position, steps = self._divide(share, start.position)
        session, pid, end = self._sessions.take(), os.getpid(), EpochEnd()
        fetch = partial(self._fetch, share, session, position.epoch)
        try:
            with closing(fetch_ahead(fetch, steps, self._prefetch, session.close)) as batches, end:
                for step, arrays in zip(steps, batches, strict=True):
                    self._cursor.advance(start, replace(position, step=step + 1))
                    if step + 1 == share.steps:
                        end.announce(has_repeats=share.has_repeats)
                    yield self._hand_over(arrays)
        except BaseException:
            if os.getpid() == pid:  # A forked child that drops the iterator must not end its parent's requests.
                session.close()
            raise
        self._sessions.keep(session)
        self._cursor.advance(start, replace(position, step=share.steps).skip_end(share.steps))

    def _divide(self, share: Share, position: Position) -> tuple[Position, range]:
        """Return where this process begins a pass and which steps it reads: all, or a worker's share of them."""
        worker = find_worker()
        if worker is None:
            return position, range(position.step, share.steps)
        if self._worker_reads.begin_pass(worker[0]) and share.address.shuffle:
            warnings.warn(
                f"Workers of a DataLoader read epoch {position.epoch} once more, with the same order and augmentations: they read copies, and no copy knows of"
                " passes before. Call set_epoch before each pass, or set persistent_workers=True.",
                stacklevel=2,
            )
        return position.in_worker(), position.share(share.steps, *worker)

    def _fetch(self, share: Share, session: Session, epoch: int, step: int) -> Arrays:
        arrays = self._get(session, share.address_of(epoch, step))
        filler = share.filler_of(epoch, step)
        return arrays if filler is None else arrays.fill(self._get(session, filler))

    def _get(self, session: Session, address: Address) -> Arrays:
        answer = session.get(f"{address.path}.safetensors?{address.query}", turn=address.step + address.rank)
        return self._delivery.read(answer.body, address)

    def _hand_over(self, arrays: Arrays) -> Any:  # noqa: ANN401  whatever `map_fn` makes
        batch = self._delivery.hand_over(arrays)
        return batch if self._map_fn is None else self._map_fn(batch)
