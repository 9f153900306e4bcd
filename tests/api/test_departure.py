"""Clients that hang up, in the very moment that their answer is there."""

import asyncio
from contextlib import suppress

from service.api.departure import ClientGone, ended_by_departure


class Request:
    """Tells of the client's departure when it is told to."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, str]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def answer(request: Request, is_there: asyncio.Event) -> str:
    async with ended_by_departure(request):  # type: ignore[arg-type]
        await is_there.wait()
    await asyncio.sleep(0.01)
    return "sent"


def test_who_leaves_when_the_answer_is_there_ends_nothing_any_more() -> None:
    async def run() -> str:
        request, is_there = Request(), asyncio.Event()
        task = asyncio.create_task(answer(request, is_there))
        await asyncio.sleep(0.01)
        request.gone.set()  # The watch ends in the same round of the loop in which the work goes on.
        is_there.set()
        return await task

    assert asyncio.run(run()) == "sent"


def test_who_leaves_before_ends_the_work() -> None:
    async def run() -> bool:
        request, is_there = Request(), asyncio.Event()
        task = asyncio.create_task(answer(request, is_there))
        await asyncio.sleep(0.01)
        request.gone.set()
        with suppress(ClientGone):
            await task
        return task.done() and isinstance(task.exception(), ClientGone)

    assert asyncio.run(run())
