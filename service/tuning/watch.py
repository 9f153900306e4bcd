"""Keeps an eye on memory while a setting is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from service.processor import Processor
    from service.tuning.family import Family
    from service.tuning.memory_bound import MemoryBound

_LOOK_SECONDS = 0.5
T = TypeVar("T")


class MemoryExceeded(Exception):
    """More memory was taken than is allowed; its text says how much."""


@dataclass(frozen=True, slots=True)
class MemoryWatch:
    """Tells and bounds memory.

    Attributes:
        bound: what may be taken.
        family: this process and its descendants.
        processor: tells what is free.
    """

    bound: MemoryBound
    family: Family
    processor: Processor

    def taken_bytes(self) -> int:
        """Adds up what is taken now."""
        return self.family.memory_bytes()

    async def guard(self, work: Coroutine[Any, Any, T]) -> tuple[T, int]:
        """Waits for work, and looks at memory twice a second.

        Returns:
            what the work gives, and the most memory that was seen, in bytes.

        Raises:
            MemoryExceeded: the bound was passed; the work has been cancelled.
        """
        task, most_bytes = asyncio.ensure_future(work), 0
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=_LOOK_SECONDS)
                taken = await asyncio.to_thread(self.taken_bytes)  # Some 20 ms, in which the work goes on.
                most_bytes = max(most_bytes, taken)
                if done:
                    return task.result(), most_bytes
                objection = self.bound.objection(taken, self.processor.memory().free_bytes)
                if objection is not None:
                    raise MemoryExceeded(objection)
        finally:
            task.cancel()
            await asyncio.wait({task})
