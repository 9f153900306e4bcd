"""Clients that hang up before their answer is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request


class ClientGone(Exception):
    """Nobody waits for this answer any more; `service.api.middleware.envelope` takes note of it."""


@asynccontextmanager
async def ended_by_departure(request: Request) -> AsyncIterator[None]:
    """Ends what waits inside as soon as the client hangs up, so that nothing is rendered for nobody.

    Args:
        request: what it sends after its head is read and thrown away.

    Raises:
        ClientGone: that happened.
    """
    work, is_gone, is_over = asyncio.current_task(), False, False
    assert work is not None  # noqa: S101  every request has a task

    def end(watch: asyncio.Task[None]) -> None:
        nonlocal is_gone
        if not is_over and not watch.cancelled() and watch.exception() is None:  # A body that is too long is no departure.
            is_gone = True
            work.cancel()

    watch = asyncio.create_task(_await_departure(request))
    watch.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if is_gone and work.uncancel() == 0:
            raise ClientGone from None
        raise
    finally:
        is_over = True  # The callback may be under way already.
        watch.remove_done_callback(end)
        watch.cancel()


async def _await_departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
