"""Which batches come next: a client that walks an epoch step after step gets them rendered before it asks. Not thread-safe: its loader holds a lock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from service.loading.order import Order
from service.planning.address import Address
from service.planning.plan import count_steps, make_plan

_DEPTH = 4
"""Batches ahead of the last one asked for. A client that leaves costs no more than these."""

_STRIDE = 8
"""A request so far ahead of the last one still belongs to the same walk: clients ask for several steps at once."""

_MOST_STREAMS = 64


@dataclass(slots=True)
class _Stream:
    """One walk.

    Attributes:
        order: the furthest one asked for.
        is_walking: whether it has ever moved on.
    """

    order: Order
    is_walking: bool = False
    _following: list[tuple[str, Address]] = field(default_factory=list)

    def following(self) -> list[tuple[str, Address]]:
        """Lists the addresses that come next, with their texts; none before it has moved on. Worked out once, and only when somebody has the time to render."""
        if self.is_walking and not self._following:
            self._following = [(address.text, address) for address in _following(self.order)]
        return self._following


class ReadAhead:
    """Follows the walks through a split, and says which batch is worth rendering next; each walk in turn."""

    def __init__(self) -> None:
        self._streams: OrderedDict[Address, _Stream] = OrderedDict()

    def note(self, order: Order) -> None:
        """Takes note of a request."""
        if order.key != order.address.text:
            return  # Views of one sample are no walk.
        key = _key(order.address)
        stream = self._streams.pop(key, None)
        if stream is None or not 0 <= _distance(stream.order, order) <= _STRIDE:
            stream = stream if stream is not None and -_STRIDE <= _distance(stream.order, order) < 0 else _Stream(order)
        elif stream.order.key != order.key:
            stream = _Stream(order, is_walking=True)
        self._streams[key] = stream
        if len(self._streams) > _MOST_STREAMS:
            self._streams.popitem(last=False)

    def leave(self, order: Order) -> None:
        """Forgets a walk: its client has gone, or what comes next cannot be rendered."""
        self._streams.pop(_key(order.address), None)

    def clear(self) -> None:
        """Forgets every walk."""
        self._streams.clear()

    def next(self, is_there: Callable[[str], bool]) -> Order | None:
        """Gives the order that is worth rendering next, or None.

        Args:
            is_there: says whether an order of that key is rendered already, or under way.
        """
        for key in list(self._streams):
            stream = self._streams[key]
            for text, address in stream.following():
                if not is_there(text):
                    self._streams.move_to_end(key)
                    order = stream.order
                    return Order(text, address, order.dataset, order.split, order.recipe, make_plan(address, len(order.split)))
        return None


def _key(address: Address) -> Address:
    return replace(address, epoch=0, step=0)


def _distance(before: Order, after: Order) -> int:
    """Counts the steps from one order to another, over the end of an epoch."""
    return (after.address.epoch - before.address.epoch) * _steps(before) + after.address.step - before.address.step


def _following(order: Order) -> Iterator[Address]:
    address, steps = order.address, _steps(order)
    for _ in range(_DEPTH):
        is_last = address.step + 1 >= steps
        address = replace(address, epoch=address.epoch + 1, step=0) if is_last else address.at(address.step + 1)
        yield address


def _steps(order: Order) -> int:
    address = order.address
    return count_steps(len(order.split), address.batch_size, address.world_size, address.drop_last)
