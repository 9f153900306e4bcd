"""One pass over an epoch: the iterator that a loader returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Any

from service.client.cursor import PassStart
from service.client.errors import ClientError, ForkedIterator


class EpochPass(Iterator[Any]):
    """Iterates over what is left of an epoch. Nothing is fetched before the first `next`.

    Args:
        start: where it begins.
        read: makes the generator of batches. That must not refer to this object: both have to go as soon as the consumer drops the iterator.
        give_up: called if it ends before it was asked for a batch.

    Attributes:
        start: may be changed as long as the pass has not begun.
    """

    def __init__(self, start: PassStart, read: Callable[[PassStart], Generator[Any, None, None]], give_up: Callable[[PassStart], None]) -> None:
        self.start = start
        self._read = read
        self._give_up = give_up
        self._pid = os.getpid()
        self._batches: Generator[Any, None, None] | None = None
        self._is_aborted = False

    @property
    def has_begun(self) -> bool:
        """Whether it was asked for a batch, or has ended."""
        return self._batches is not None

    def __next__(self) -> Any:  # noqa: ANN401  whatever the loader yields
        if self._is_aborted:
            raise ClientError("The loader was closed in the midst of this pass.")
        if self._batches is None:
            self._pid = os.getpid()
            self._batches = self._read(self.start)
            del self._read, self._give_up  # A finished iterator that somebody still has keeps nothing of its loader.
        elif self._pid != os.getpid():
            raise ForkedIterator("This iterator belongs to the parent process; call iter(loader) in the child.")
        return next(self._batches)

    def close(self) -> None:
        """End the pass, with its threads and connections."""
        if self._batches is None:
            self._batches = _read_nothing()
            self._give_up(self.start)
        elif self._pid == os.getpid():
            with suppress(ValueError):  # Another thread is in the midst of `next`, and goes on to its end.
                self._batches.close()

    def abort(self) -> None:
        """End the pass; going on with it is an error instead of a short epoch."""
        is_over = self._batches is not None and getgeneratorstate(self._batches) == GEN_CLOSED
        self.close()
        self._is_aborted = self._is_aborted or not is_over

    def __del__(self) -> None:
        if self._batches is None:  # One that was begun ends with its generator.
            self.close()


def _read_nothing() -> Generator[Any, None, None]:
    yield from ()
