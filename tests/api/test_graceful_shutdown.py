"""The end of the grace period: what has not begun to answer gets 503, what has is sent whole."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.graceful_shutdown import GracefulShutdown
from service.api.pending_requests import PendingRequests
from service.api.server import Server
from service.app import create_app
from service.settings import Settings
from tests.api.conftest import read_problem


class Service:
    """An app that answers when it is told to.

    Attributes:
        begun: a request has reached it.
        may_end: it may answer.
    """

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.pending = PendingRequests()
        self.app: ASGIApp = GracefulShutdown(self._answer, self.pending)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stream":
            await StreamingResponse(self._pieces())(scope, receive, send)
            return
        self.begun.set()
        await self.may_end.wait()
        await PlainTextResponse("done")(scope, receive, send)

    async def _pieces(self) -> Any:
        yield b"first "
        self.begun.set()
        await self.may_end.wait()
        yield b"last"

    def get(self, path: str) -> "asyncio.Task[httpx.Response]":
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://localhost") as client:
                return await client.get(path)

        return asyncio.create_task(ask())


def test_what_has_not_begun_is_refused() -> None:
    async def run() -> httpx.Response:
        service = Service()
        answer = service.get("/")
        await service.begun.wait()
        assert service.pending.refuse_all() == 1
        return await answer

    answer = asyncio.run(run())
    read_problem(answer, 503, "shutting-down")
    assert answer.headers["retry-after"]


def test_what_comes_later_is_refused() -> None:
    async def run() -> httpx.Response:
        service = Service()
        assert service.pending.refuse_all() == 0
        return await service.get("/")

    read_problem(asyncio.run(run()), 503, "shutting-down")


def test_what_has_begun_is_sent_whole() -> None:
    async def run() -> httpx.Response:
        service = Service()
        answer = service.get("/stream")
        await service.begun.wait()
        assert service.pending.refuse_all() == 0
        service.may_end.set()
        return await answer

    answer = asyncio.run(run())
    assert (answer.status_code, answer.text) == (200, "first last")


def test_a_cancellation_of_another_kind_is_none_of_its_business() -> None:
    async def run() -> None:
        service = Service()
        answer = service.get("/")
        await service.begun.wait()
        answer.cancel()
        await answer

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


@pytest.mark.parametrize(("count", "told"), [(0, []), (1, ["After 30 seconds, 1 request without an answer: 503"])])
def test_the_log_says_how_many_were_refused(settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture, count: int, told: list[str]) -> None:
    """None are where bodies alone are still being sent."""
    app = create_app(settings(workers=0))
    server = Server(app, lambda: None)

    async def run() -> None:
        tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(count)]
        for task in tasks:
            app.state.services.pending.add(task)
        server._end_grace()
        await asyncio.gather(*tasks, return_exceptions=True)

    with caplog.at_level(logging.WARNING, "service.api.server"):
        asyncio.run(run())
    app.state.services.inventory.close()
    assert [each.getMessage() for each in caplog.records if each.name == "service.api.server"] == told
